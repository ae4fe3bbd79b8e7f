import assert from "node:assert/strict";
import { recordEntry } from "../gpu/_catalog_entry.ts";
import { openDawn } from "../gpu/dawn.ts";
import { DeviceError, type Gpu, openDevice } from "../gpu/device.ts";
import { TRAINING_CATALOG } from "./_training_catalog.ts";

Deno.test("every kernel of training compiles in Dawn's front end", async () => {
  let gpu: Gpu;
  try {
    gpu = await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.warn(`skipped: ${error.message}`);
    return;
  }
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
