import assert from "node:assert/strict";
import { shaderValidator } from "../gpu/_test_gpu.ts";
import { recordEntry } from "../gpu/_catalog_entry.ts";
import { TRAINING_CATALOG } from "./_training_catalog.ts";

Deno.test("every kernel of training compiles in Dawn's front end", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  const seen = new Set<string>();
  for (const entry of TRAINING_CATALOG) {
    for (const { code } of await recordEntry(entry)) {
      if (seen.has(code)) continue;
      seen.add(code);
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), [], entry.name);
    }
  }
  assert.ok(seen.size > 0);
  gpu.destroy();
});
