/**
 * What the inner loop of attention costs besides its products, on a GPU with subgroup matrices:
 *
 *     deno run -A examples/subgroup_matrices/main.ts
 *
 * Prints the rate of the loop with and without the exchange of scores through workgroup memory, and with
 * and without staging. All variants do the same products. Results are checked before times count.
 *
 * @module
 */
import manifest from "../../deno.json" with { type: "json" };
import { DEPTH, shader, SUBGROUPS, TILE } from "./shader.ts";

const STEPS = 4096;
const TILES = 1024; // 16 MiB of rows, so that workgroups read different ones
const WORKGROUPS = 528; // four for each of 132 multiprocessors
const ROUNDS = 7;
/** FLOP of one dispatch: 2 · 8 products of 16 × 16 × 16 in each step of a subgroup. */
const FLOPS = WORKGROUPS * SUBGROUPS * STEPS * (2 * DEPTH / 16) * 2 * 16 ** 3;

const { create, globals } = await import(manifest.imports.webgpu);
Object.assign(globalThis, globals);
const gpu: GPU = create([
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init",
  "disable-dawn-features=timestamp_quantization",
]);
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
const needed = ["shader-f16", "timestamp-query", "chromium-experimental-subgroup-matrix"] as const;
const missing = needed.filter((name) => !adapter?.features.has(name as GPUFeatureName));
if (!adapter || missing.length > 0) {
  console.error(`subgroup matrices: the adapter has no ${missing.join(", no ") || "device"}`);
  Deno.exit(2);
}
const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = adapter.limits;
const device = await adapter.requestDevice({
  requiredFeatures: [...needed] as GPUFeatureName[],
  requiredLimits: { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup },
});
const buffer = (size: number, usage: number) =>
  device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
const rows = buffer(TILES * TILE * DEPTH * 2, GPUBufferUsage.STORAGE);
const weights = buffer(512, GPUBufferUsage.STORAGE);
const results = buffer(WORKGROUPS * SUBGROUPS * 512 * 4, GPUBufferUsage.STORAGE);
const params = buffer(16, GPUBufferUsage.UNIFORM);
const read = device.createBuffer({
  size: 4096,
  usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
});
const times = device.createQuerySet({ type: "timestamp", count: 2 });
const resolved = buffer(256, GPUBufferUsage.QUERY_RESOLVE);
// Every row is 1/16, so a score is 128 / 256 = 1/2, its weight 2^(2 / 2) = 2, and an output 2 · 16 / 16 a step.
device.queue.writeBuffer(rows, 0, new Float16Array(TILES * TILE * DEPTH).fill(1 / 16));
device.queue.writeBuffer(weights, 0, new Float16Array(256).fill(2));
device.queue.writeBuffer(params, 0, new Uint32Array([STEPS, TILES, 0, 0]));

async function readBack(from: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, read, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ, 0, bytes);
  const copy = read.getMappedRange(0, bytes).slice(0);
  read.unmap();
  return copy;
}

const VARIANTS = [
  { name: "products alone", exchange: false, staging: false },
  { name: "and staging", exchange: false, staging: true },
  { name: "and the exchange", exchange: true, staging: false },
  { name: "and both", exchange: true, staging: true },
];
const loops = VARIANTS.map(({ name, ...costs }) => {
  const module = device.createShaderModule({ code: shader(costs) });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const entries = [rows, weights, results, params].map((buffer, binding) => ({
    binding,
    resource: { buffer },
  }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const run = async () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet: times, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(WORKGROUPS);
    pass.end();
    encoder.resolveQuerySet(times, 0, 2, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const [begin, end] = new BigUint64Array(await readBack(resolved, 16));
    return Number(end - begin) / 1e9;
  };
  return { name, ...costs, run, seconds: [] as number[] };
});
for (const { name, run, exchange } of loops) {
  await run();
  const found = new Float32Array(await readBack(results, 2048));
  const scores = exchange ? 0 : STEPS / 2; // a sum, unless weights are made of them
  const right = found.every((x, i) => x === (i < 256 ? 2 * STEPS : scores));
  if (!right) {
    console.error(`${name}: results are ${found[0]} and ${found[256]}`);
    Deno.exit(1);
  }
}
for (let round = 0; round < ROUNDS; round++) {
  for (const loop of [...loops, ...loops.toReversed()]) loop.seconds.push(await loop.run());
}
console.log(`${adapter.info.description || adapter.info.device}, TFLOP/s, median of ${2 * ROUNDS}`);
for (const { name, seconds } of loops) {
  const median = seconds.sort((a, b) => a - b)[ROUNDS];
  console.log(`${name.padEnd(18)}${(FLOPS / median / 1e12).toFixed(0).padStart(5)}`);
}
Deno.exit(0);
