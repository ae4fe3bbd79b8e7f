import assert from "node:assert/strict";
import { sampleResult } from "../suites/result/_sample_result.ts";
import { sampleRetrieval } from "../suites/result/_sample_retrieval.ts";
import { parseResult } from "../suites/result/read_result.ts";
import { casesCsv, exportResult, fileBase } from "./exports.ts";
import { apart, footerOf, foundNeedles, wrap } from "./picture.ts";

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
  assert.ok(named("x".repeat(5000)).length < 100);
});

Deno.test("the CSV of a needle run has a row for each cell", () => {
  const retrieval = sampleRetrieval();
  const result = { ...sampleResult(), cases: [], retrieval };
  const rows = exportResult("csv", result).content.trim().split("\r\n");
  assert.match(rows[0], /^arm,context_tokens,/);
  assert.equal(rows.length, 1 + retrieval.cells.length);
});

Deno.test("a picture says what it was measured on, and leaves out labels without room", () => {
  const result = sampleResult();
  const { environment } = result;
  const footer = footerOf({
    ...result,
    environment: {
      ...environment,
      device: { name: "x\u202e\u001b[31m" },
      adapter: { ...environment.adapter, software: true },
      runtime: { browser: "Chrome 156.0.8078.108" },
    },
  });
  assert.deepEqual(footer.slice(0, 3), ["x [31m", "software adapter, not a GPU", "Chrome 156"]);
  assert.deepEqual(apart([0, 10, 50, 95, 100], 40), [1, 2, 4]);
  const shares = foundNeedles({ ...result, retrieval: sampleRetrieval() });
  assert.equal(shares[0].arm, "Dense");
  assert.ok(shares.every(({ share }) => share >= 0 && share <= 1));
  assert.deepEqual(foundNeedles({ ...result, retrieval: undefined }), []);
});

Deno.test("wrap breaks between words, and leaves a word that is too wide alone", () => {
  const width = (text: string) => text.length;
  assert.deepEqual(wrap("one two three", width, 7), ["one two", "three"]);
  assert.deepEqual(wrap("extraordinarily so", width, 5), ["extraordinarily", "so"]);
});
