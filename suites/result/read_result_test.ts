import { repeatedKey } from "./repeated_key.ts";
import assert from "node:assert/strict";
import { sampleResult } from "./_sample_result.ts";
import {
  parseResult,
  readResult,
  RESULT_FILE_LIMIT_BYTES,
  ResultFileError,
} from "./read_result.ts";

const good = JSON.stringify(sampleResult({ contexts: [8192] }));

function refusal(text: string): string {
  try {
    parseResult(text, "r.json");
  } catch (error) {
    assert.ok(error instanceof ResultFileError);
    assert.equal(error.exitCode, 2);
    assert.ok(!error.message.includes("\n"), "the error has one line");
    return error.message;
  }
  throw new Error("the text was accepted");
}

Deno.test("parseResult keeps unknown fields", () => {
  const value = JSON.parse(good);
  value.cases[0].later = { nested: 1 };
  assert.deepEqual(parseResult(JSON.stringify(value), "r.json"), value);
});

Deno.test("parseResult says when the JSON is cut off", () => {
  for (const length of [good.length - 1, good.length >> 1, 1000, 1]) {
    assert.match(
      refusal(good.slice(0, length)),
      /^cannot use result file r\.json: the JSON is cut off/,
    );
  }
});

Deno.test("parseResult says when the text is not JSON, empty, or not an object", () => {
  assert.match(refusal("<html>"), /not JSON \(/);
  assert.match(refusal(" \n"), /it is empty/);
  assert.match(refusal("[]"), /expected a JSON object, found an array/);
  assert.match(refusal("null"), /found null/);
});

Deno.test("parseResult refuses input that is nested too deep", () => {
  const nested = "[".repeat(200_000) + "]".repeat(200_000);
  assert.match(
    refusal(good.replace(/^\{/, `{"later":${nested},`)),
    /^cannot use result file r\.json: it is nested deeper than 100 levels$/,
  );
});

Deno.test("parseResult refuses millions of arrays before it creates them", () => {
  const many = `[${"[],".repeat(2_100_000)}0]`;
  assert.match(
    refusal(good.replace(/^\{/, `{"later":${many},`)),
    /2100\d+ objects and arrays, the limit/,
  );
  // Brackets in a string are text.
  const value = { ...JSON.parse(good), later: `"\\${"[".repeat(3_000_000)}` };
  assert.deepEqual(parseResult(JSON.stringify(value), "r.json"), value);
});

Deno.test("parseResult names both versions", () => {
  const version = (schemaVersion: unknown) => refusal(JSON.stringify({ schemaVersion }));
  assert.match(version(7), /written by a newer version: schemaVersion 7, this tool reads up to 2$/);
  assert.match(version(0), /unknown schemaVersion 0, expected 2$/);
  assert.match(version("1"), /unknown schemaVersion "1", expected 2$/);
  assert.match(refusal("{}"), /no schemaVersion, expected 2/);
});

Deno.test("parseResult names a time that is none", () => {
  for (const time of ["yesterday", "2026-13-45T00:00:00.000Z"]) {
    assert.equal(
      refusal(JSON.stringify({ ...JSON.parse(good), startedAt: time })),
      `cannot use result file r.json: startedAt: "${time}" is not a time like ` +
        "2026-11-30T17:00:00.000Z",
    );
  }
});

Deno.test("parseResult names the first offending path and what was expected", () => {
  const value = JSON.parse(good);
  value.cases[1].samples[2].seconds = "fast";
  assert.equal(
    refusal(JSON.stringify(value)),
    "cannot use result file r.json: cases[1].samples[2].seconds: expected number, received string",
  );
  value.cases[0].status = "fine";
  assert.match(
    refusal(JSON.stringify(value)),
    /cases\[0\]\.status: expected one of .* \(and 1 more\)$/,
  );
});

Deno.test("readResult reads a file and refuses a missing one, a folder and a huge one", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/good.json`, good);
    assert.equal((await readResult(`${folder}/good.json`)).cases.length, 2);
    await assert.rejects(readResult(`${folder}/none.json`), /none\.json: there is no such file$/);
    await assert.rejects(readResult(folder), /it is a folder, a file was expected$/);
    // Sparse: takes no room on disk.
    await Deno.writeTextFile(`${folder}/huge.json`, "");
    await Deno.truncate(`${folder}/huge.json`, RESULT_FILE_LIMIT_BYTES + 1);
    await assert.rejects(
      readResult(`${folder}/huge.json`),
      /it has 67,[\d,]+ bytes, the limit is 67,108,864 bytes/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ResultFileError keeps a hostile path on one line", () => {
  const { message } = new ResultFileError("a\n\u001b[2Jb", "c\nd");
  assert.equal(message, "cannot use result file a [2Jb: c d");
});

Deno.test("parseResult refuses a result that names a case twice", () => {
  const result = JSON.parse(good);
  result.cases.push(result.cases[0]);
  assert.throws(
    () => parseResult(JSON.stringify(result), "x.json"),
    (error) => error instanceof ResultFileError && / it names case \S+ twice$/.test(error.message),
  );
});

Deno.test("repeatedKey: keys, not values; in each object by itself; however they are written", () => {
  const cases: [string, string | undefined][] = [
    ['{"a": 1, "b": {"a": [{"a": 2}, {"a": "a"}]}, "c": "a"}', undefined],
    ['["a", "a", {"b": ["b", "b"]}]', undefined],
    ['{"a": "\\"a\\": 1", "b\\"": 2, "b": 3}', undefined],
    ['{"a": {"x": 1}, "b" : 2,\n"a"\n: 3}', "a"],
    ['{"a": [{"x": 1, "\\u0078": 2}]}', "x"],
    ['"a"', undefined],
  ];
  for (const [text, key] of cases) {
    JSON.parse(text);
    assert.equal(repeatedKey(text), key, text);
  }
  const text = JSON.stringify(sampleResult()).replace("{", '{"seed": 1,');
  assert.throws(() => parseResult(text, "a.json"), {
    message: "cannot use result file a.json: it names seed twice",
  });
});
