import assert from "node:assert/strict";
import { hasName } from "./adapter_name.ts";

Deno.test("hasName: either field of the adapter identifies a device, however its words are separated", () => {
  const deno = { description: "NVIDIA H100 80GB HBM3", device: "9008" };
  const dawn = { description: "NVIDIA: 580.159.04 580.159.4.0", device: "nvidia-h100-80gb-hbm3" };
  for (const adapter of [deno, dawn]) {
    assert.ok(hasName(adapter, "NVIDIA H100 80GB HBM3"));
    assert.ok(!hasName(adapter, "NVIDIA B200"));
  }
});
