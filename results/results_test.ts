import assert from "node:assert/strict";
import { readResult } from "../suites/result/read_result.ts";

/** Largest file: a run of hours with all samples stays below it. */
const MOST_BYTES = 4 * 2 ** 20;

const FOLDER = new URL("./", import.meta.url);

for (const { name } of Deno.readDirSync(FOLDER)) {
  if (name === "README.md" || name === "results_test.ts") continue;
  Deno.test(`the contributed result ${name} can be shown`, async () => {
    assert.match(name, /^[a-z0-9][a-z0-9.-]{0,120}\.json$/);
    const { size } = await Deno.stat(new URL(name, FOLDER));
    assert.ok(size <= MOST_BYTES, `${size} bytes, the limit is ${MOST_BYTES}`);
    const { cases } = await readResult(new URL(name, FOLDER).pathname);
    assert.ok(cases.some(({ status }) => status === "ok"), "it has no case that passed");
  });
}
