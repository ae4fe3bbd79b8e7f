import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { shaderValidator } from "../gpu/_test_gpu.ts";
import { recordEntry } from "../gpu/_catalog_entry.ts";
import { SPARSE_CATALOG } from "./_sparse_catalog.ts";

Deno.test({
  ...slow("every kernel of sparse attention compiles in Dawn's front end"),
  fn: async (t) => {
    const gpu = await shaderValidator(t);
    if (!gpu) return;
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
  },
});
