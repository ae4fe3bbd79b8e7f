import assert from "node:assert/strict";
import { recordEntry } from "../gpu/_catalog_entry.ts";
import { openDawn } from "../gpu/dawn.ts";
import { DeviceError, type Gpu, openDevice } from "../gpu/device.ts";
import { SPARSE_CATALOG } from "./_sparse_catalog.ts";

Deno.test("every kernel of sparse attention compiles in Dawn's front end", async () => {
  let gpu: Gpu;
  try {
    gpu = await openDevice({ stack: "dawn", gpu: await openDawn("backend=null") });
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.warn(`skipped: ${error.message}`);
    return;
  }
  let count = 0;
  for (const entry of SPARSE_CATALOG) {
    const capabilities = { subgroupsDirective: "enable subgroups;\n", ...entry.capabilities };
    for (const { code, label } of await recordEntry({ ...entry, capabilities })) {
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), [], `${entry.name}: ${label}`);
      count++;
    }
  }
  assert.ok(count > 50);
  gpu.destroy();
});
