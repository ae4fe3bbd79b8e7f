/**
 * Detects whether a device flushes subnormal f16; WGSL leaves that to the device. The tolerance of
 * a correct kernel depends on it: gradients are often below 2^-14.
 *
 * @module
 */
import {
  bindDispatch,
  createStorageBuffer,
  readBuffer,
  runDispatches,
  slice,
  writeBuffer,
} from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { createPipeline } from "./pipeline.ts";

/** 2^-15 as f16, and as f32. */
const HALF_BITS = 0x0200;
const FLOAT_BITS = 0x38000000;

const CODE = `
@group(0) @binding(0) var<storage, read> given: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;
@compute @workgroup_size(1)
fn main() {
  found[0] = bitcast<u32>(unpack2x16float(given[0]).x);
  found[1] = pack2x16float(vec2f(bitcast<f32>(given[1]), 0.0));
}
`;

const known = new WeakMap<GPUDevice, Promise<boolean>>();

/**
 * Whether a device flushes subnormal f16 to zero where kernels read or store them. Tested once per
 * device.
 *
 * @throws {RefusedError} when the device refused the test.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function flushesHalves(gpu: Gpu): Promise<boolean> {
  let answer = known.get(gpu.device);
  if (!answer) {
    known.set(gpu.device, answer = ask(gpu));
    answer.catch(() => known.delete(gpu.device));
  }
  return answer;
}

async function ask(gpu: Gpu): Promise<boolean> {
  const pipeline = await createPipeline(gpu, {
    label: "subnormals",
    code: CODE,
    bindings: ["read", "read-write"],
  });
  const given = slice(await createStorageBuffer(gpu, 16, { label: "subnormals given" }));
  const found = slice(await createStorageBuffer(gpu, 16, { label: "subnormals found" }));
  try {
    writeBuffer(gpu, given, Uint32Array.of(HALF_BITS, FLOAT_BITS, 0, 0));
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [given, found],
      workgroups: [1, 1, 1],
    });
    await runDispatches(gpu, "subnormals", [dispatch]);
    const [read, stored] = new Uint32Array((await readBuffer(gpu, found)).buffer);
    return read !== FLOAT_BITS || stored !== HALF_BITS;
  } finally {
    given.buffer.destroy();
    found.buffer.destroy();
  }
}
