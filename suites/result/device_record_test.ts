import assert from "node:assert/strict";
import {
  deviceIdentity,
  type DeviceParts,
  deviceRecord,
  UNTOLD_PROCESSOR,
} from "./device_record.ts";
import { readResult } from "./read_result.ts";
import type { EnvironmentRecord } from "./result.ts";
import { sampleResult } from "./_sample_result.ts";

const DAWN = {
  vendor: "nvidia",
  architecture: "",
  device: "nvidia-h100-80gb-hbm3",
  description: "NVIDIA: 580.159.04 580.159.4.0",
};
const DENO = {
  vendor: "4318",
  architecture: "",
  device: "9008",
  description: "NVIDIA H100 80GB HBM3",
};

Deno.test("deviceRecord: prefers a field with a name to a description of the driver", () => {
  const name = (driver: string | null, adapter: DeviceParts["adapter"]) =>
    deviceRecord({ adapter, driver }).name;
  for (const driver of ["NVIDIA 580.159.04", null]) {
    assert.equal(name(driver, DAWN), DAWN.device);
    assert.equal(name(driver, { ...DAWN, device: "" }), DAWN.description);
    assert.equal(name(driver, DENO), DENO.description);
  }
  const llvmpipe = "llvmpipe (LLVM 15.0.6, 256 bits)";
  const software = { ...DENO, device: "0", description: llvmpipe };
  assert.equal(name("llvmpipe LLVM 15.0.6", software), llvmpipe);
  assert.equal(name(null, { ...DENO, vendor: "", description: "" }), "unnamed adapter");
});

Deno.test("deviceRecord takes the name of a card, and its ids if it is the only candidate", () => {
  const card = { name: "NVIDIA H100 80GB HBM3", uuid: "GPU-1", busId: "00000000:17:00.0" };
  const parts = { adapter: DAWN, driver: null };
  assert.deepEqual(deviceRecord(parts, { card }), { name: card.name });
  assert.deepEqual(deviceRecord(parts, { card, only: true }), card);
});

Deno.test("deviceIdentity is equal for a device under two stacks, and differs between devices", () => {
  const { environment } = sampleResult();
  const identity = (adapter: DeviceParts["adapter"], more: Partial<EnvironmentRecord> = {}) => {
    const own = { ...environment, ...more, adapter: { ...environment.adapter, ...adapter } };
    return deviceIdentity({ ...own, device: deviceRecord(own) });
  };
  assert.equal(identity(DAWN), identity(DENO));
  assert.notEqual(identity(DAWN), identity({ ...DENO, description: "NVIDIA H200" }));
  assert.notEqual(
    identity({ ...DENO, description: "显卡 甲" }),
    identity({ ...DENO, description: "显卡 乙" }),
  );
  const software = {
    ...environment,
    adapter: { ...environment.adapter, software: true },
    device: { name: "llvmpipe (LLVM 15.0.6, 256 bits)" },
  };
  assert.notEqual(deviceIdentity(software), deviceIdentity({ ...software, cpu: "another" }));
  // A browser tells no processor, so the adapter's name stands alone.
  const inBrowser = { ...software, cpu: UNTOLD_PROCESSOR, device: { name: "Two cores" } };
  assert.equal(deviceIdentity(inBrowser), "twocores");
});

Deno.test("the committed baselines are all of one device, under two stacks", async () => {
  const folder = new URL("../../fixtures/baselines/", import.meta.url);
  const found = new Map<string, Set<string>>();
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.startsWith("h100-") || !name.endsWith(".json")) continue;
    const { environment, stack } = await readResult(new URL(name, folder).pathname);
    const key = deviceIdentity(environment);
    found.set(key, (found.get(key) ?? new Set()).add(stack));
  }
  assert.deepEqual([...found.values()], [new Set(["dawn", "deno"])]);
});
