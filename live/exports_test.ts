import assert from "node:assert/strict";
import { sampleResult } from "../suites/result/_sample_result.ts";
import { parseResult } from "../suites/result/read_result.ts";
import { casesCsv, exportResult, fileBase } from "./exports.ts";
import { wrap } from "./picture.ts";

Deno.test("the JSON that a page saves is a result file", () => {
  const result = sampleResult();
  const { name, content } = exportResult("json", result);
  assert.match(name, /^lighthouse-[a-z0-9-]+-\d{4}-\d\d-\d\d\.json$/);
  assert.deepEqual(parseResult(content, name), JSON.parse(JSON.stringify(result)));
});

Deno.test("a CSV has a row for each case, and no cell that a spreadsheet runs", () => {
  const { cases } = sampleResult();
  const [record] = cases;
  const csv = casesCsv([
    { ...record, id: '=HYPERLINK("x")', reason: "a, b\nc" },
    { ...record, id: "@x" },
    ...cases,
  ]);
  const rows = csv.split("\r\n");
  assert.equal(rows.length, cases.length + 4);
  assert.ok(rows[1].startsWith(`"'=HYPERLINK(""x"")",`), rows[1]);
  assert.ok(rows[2].startsWith("'@x,"), rows[2]);
  assert.ok(csv.includes('"a, b\nc"'));
});

Deno.test("a file's name has letters, digits and hyphens only", () => {
  const result = sampleResult();
  const named = (name: string) =>
    fileBase({ ...result, environment: { ...result.environment, device: { name } } });
  assert.match(named("../../etc/passwd"), /^lighthouse-etc-passwd-/);
  assert.match(named("<b>"), /^lighthouse-b-/);
  assert.match(named("…"), /^lighthouse-device-/);
});

Deno.test("wrap breaks between words, and leaves a word that is too wide alone", () => {
  const width = (text: string) => text.length;
  assert.deepEqual(wrap("one two three", width, 7), ["one two", "three"]);
  assert.deepEqual(wrap("extraordinarily so", width, 5), ["extraordinarily", "so"]);
});
