import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { type DType, readBuffer } from "../../gpu/buffers.ts";
import { pcgSum4 } from "../../gpu/random.ts";
import { submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { createGatherGradient, planGatherGradient } from "./gather_gradient.ts";
import { gatherGradientReference } from "../lighthouse_backward_reference.ts";
import { planGeometry } from "../lighthouse_geometry.ts";
import { scatterReference } from "../lighthouse_reference.ts";

interface GradientCase {
  readonly context: number;
  readonly levels: number;
  readonly pooling: number;
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  readonly rowsInFlight?: number;
  readonly threads?: number;
}

const cases: readonly GradientCase[] = [
  { context: 131 * 8, levels: 4, pooling: 2, heads: 2, headDim: 32, dtype: "f32" },
  { context: 2048, levels: 3, pooling: 4, heads: 2, headDim: 128, dtype: "f16", rowsInFlight: 1 },
  { context: 300 * 16, levels: 2, pooling: 16, heads: 1, headDim: 64, dtype: "f16", threads: 64 },
  // Windows of 512 and 4,096 rows, shared by lanes.
  { context: 2 ** 16, levels: 4, pooling: 8, heads: 1, headDim: 64, dtype: "f16", rowsInFlight: 4 },
  { context: 2 ** 19, levels: 4, pooling: 16, heads: 1, headDim: 8, dtype: "f32" },
];

for (const { heads, headDim, dtype, rowsInFlight, threads, ...shape } of cases) {
  const { context, levels, pooling } = shape;
  const name = `N ${context} L ${levels} p ${pooling} d ${headDim} ${dtype}`;
  Deno.test(`gather gradient matches the reference, ${name}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const geometry = planGeometry(context, { ...shape, k: 128 });
    const { gathered, entries, levelOffsets, levelEntries } = geometry;
    const plan = planGatherGradient(geometry, { heads, headDim, dtype, rowsInFlight, threads });
    const kernel = await createGatherGradient(gpu, plan);
    const count = heads * context * headDim;
    const rows = dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
    // Multiples of 2^4 up to 2^15: sums of 4,096 are exact in f32, so that a lost row is detected.
    // Most sums do not fit f16.
    for (let i = 0; i < count; i++) rows[i] = Math.round(pcgSum4(7, i) * 2 ** 9) * 2 ** 4;
    // Any entries in any order, including the first and last of each level.
    const indices = Uint32Array.from({ length: heads * gathered }, (_, i) => (i * 389) % entries);
    indices.set(levelOffsets.flatMap((first, level) => [first, first + levelEntries[level] - 1]));
    const slices = {
      outputGradient: await upload(gpu, rows),
      indices: await upload(gpu, indices),
      gathered: await uploadGarbage(gpu, plan.bytes.gathered),
    };
    await submit(gpu, kernel.bind(slices));
    const bytes = await readBuffer(gpu, { ...slices.gathered, size: plan.bytes.gathered });
    const got = new Float32Array(bytes.buffer);
    for (let head = 0; head < heads; head++) {
      const part = rows.subarray(head * context * headDim, (head + 1) * context * headDim);
      const selection = indices.subarray(head * gathered, (head + 1) * gathered);
      const want = gatherGradientReference(part, selection, geometry);
      const wrong = want.findIndex((value, i) => got[head * want.length + i] !== value);
      assert.equal(wrong, -1, `head ${head}, element ${wrong}`);
    }
    gpu.destroy();
  });
}

Deno.test("gatherGradientReference is the transpose of the scatter", () => {
  const geometry = planGeometry(256, { levels: 2, pooling: 2, k: 128 });
  const { context, gathered, entries } = geometry;
  const selection = Int32Array.from({ length: gathered }, (_, s) => (s * 5) % entries);
  const rows = Float64Array.from({ length: gathered }, (_, i) => pcgSum4(1, i));
  const gradient = Float64Array.from({ length: context }, (_, i) => pcgSum4(2, i));
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  // Exact: all terms are multiples of 2^-30 and their sums below 2^13.
  assert.equal(
    dot(scatterReference(rows, selection, geometry), gradient),
    dot(rows, gatherGradientReference(gradient, selection, geometry)),
  );
});
