import assert from "node:assert/strict";
import { sampleResult } from "./_sample_result.ts";
import { sampleRetrieval } from "./_sample_retrieval.ts";
import { unknownFields } from "./_strict_schema.ts";
import { readResult } from "./read_result.ts";

Deno.test("the schema knows every field of the committed baselines", async () => {
  const folder = new URL("../../fixtures/baselines/", import.meta.url);
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".json")) continue;
    const result = await readResult(new URL(name, folder).pathname);
    assert.deepEqual(unknownFields(result), [], name);
  }
});

Deno.test("unknownFields finds a field at any depth, and ignores maps with free keys", () => {
  const result = {
    ...sampleResult({ extras: true, sweeps: true, variants: true }),
    retrieval: sampleRetrieval(),
  };
  assert.deepEqual(unknownFields(result), []);
  const changed = structuredClone(result);
  changed.configuration.whatever = { deep: 1 };
  changed.environment.limits.another = 1;
  assert.deepEqual(unknownFields(changed), []);
  changed.cases[0].samples[0].novel = 1;
  changed.retrieval.cells[0].lost.novel = 1;
  const found = unknownFields(changed);
  assert.equal(found.length, 2);
  assert.match(found[0], /^cases\.samples: .*novel/);
  assert.match(found[1], /^retrieval\.cells\.lost: .*novel/);
});
