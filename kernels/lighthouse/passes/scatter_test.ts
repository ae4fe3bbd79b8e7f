import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { readBuffer } from "../../gpu/buffers.ts";
import { pcgSum4 } from "../../gpu/random.ts";
import { submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { scatterGradientReference } from "../lighthouse_backward_reference.ts";
import { planGeometry } from "../lighthouse_geometry.ts";
import {
  maximaReference,
  scatterReference,
  selectReference,
  uncoveredReference,
} from "../lighthouse_reference.ts";
import { createScatter, planScatter } from "./scatter.ts";
import { NOT_SELECTED } from "./select.ts";

const shapes = [
  { context: 2048, levels: 3, pooling: 4, k: 128, rowsPerThread: 4 },
  { context: 131 * 8, levels: 4, pooling: 2, k: 128, rowsPerThread: undefined },
  { context: 300 * 16, levels: 2, pooling: 16, k: 256, rowsPerThread: 1 },
  { context: 128 * 64, levels: 3, pooling: 8, k: 128, rowsPerThread: 8 },
];

for (const { context, rowsPerThread, ...options } of shapes) {
  for (const [headDim, dtype] of [[32, "f32"], [64, "f16"], [128, "f16"]] as const) {
    for (const gradient of [false, true]) {
      const name = `${gradient ? "gradient, " : ""}N ${context} L ${options.levels} ` +
        `p ${options.pooling} d ${headDim} ${dtype}`;
      Deno.test(`scatter matches the reference, ${name}`, async (t) => {
        const gpu = await testGpu(t);
        if (!gpu) return;
        const heads = 2;
        const geometry = planGeometry(context, options);
        const { gathered, entries } = geometry;
        const plan = planScatter(geometry, { heads, headDim, dtype, rowsPerThread, gradient });
        const kernel = await createScatter(gpu, plan);
        const count = heads * gathered * headDim;
        const halves = dtype === "f16" && !gradient;
        const rows = halves ? new Float16Array(count) : new Float32Array(count);
        // Gradients of gathered rows are f32, and may not fit f16 before the division.
        const size = gradient ? 2 ** 13 : 1;
        for (let i = 0; i < count; i++) rows[i] = size * pcgSum4(3, i);
        const slotsOfAll = new Uint32Array(heads * entries).fill(NOT_SELECTED);
        const selections = [0, 1].map((head) => {
          const base = Float64Array.from({ length: context }, (_, i) => Math.abs(pcgSum4(head, i)));
          // The first window never wins, so that some rows have no contributor.
          base.fill(0, 0, geometry.windowRows);
          const scores = maximaReference(base, geometry);
          const selection = selectReference(scores, scores, geometry);
          selection.forEach((entry, s) => slotsOfAll[head * entries + entry] = s);
          return selection;
        });
        const slices = {
          gathered: await upload(gpu, rows),
          slots: await upload(gpu, slotsOfAll),
          output: await uploadGarbage(gpu, plan.bytes.output),
        };
        await submit(gpu, kernel.bind(slices));
        const bytes = await readBuffer(gpu, { ...slices.output, size: plan.bytes.output });
        const got = dtype === "f16"
          ? new Float16Array(bytes.buffer)
          : new Float32Array(bytes.buffer);
        selections.forEach((selection, head) => {
          const part = rows.subarray(head * gathered * headDim, (head + 1) * gathered * headDim);
          const reference = gradient ? scatterGradientReference : scatterReference;
          const want = reference(part, selection, geometry);
          // At most L values below 4 (times a power of two): L - 1 additions in f32 (division by
          // p^l is exact), one rounding to storage; f16 sums below 2^-14 may lose a whole step of
          // 2^-24.
          const sum = size * options.levels * 4 * options.levels * 2 ** -24;
          const store = dtype === "f16" ? 2 ** -11 : 0;
          let worst = 0;
          want.forEach((value, i) => {
            const error = Math.abs(got[head * want.length + i] - value);
            worst = Math.max(worst, error / (sum + store * Math.abs(value)));
          });
          assert.ok(
            worst <= 1,
            `head ${head}: ${worst} times the rounding of ${options.levels} sums`,
          );
          // As a mean, every base row is part of its coarsest entry, which is always selected.
          if (gradient) return;
          const zeros = uncoveredReference(selection, geometry);
          if (options.k === 128 && context > 2048) assert.ok(zeros.length > 0);
          for (const row of zeros) {
            const first = (head * context + row) * headDim;
            assert.ok(got.subarray(first, first + headDim).every((x) => Object.is(x, 0)));
          }
        });
        gpu.destroy();
      });
    }
  }
}

Deno.test("scatter clips the last windows and adds every level", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const geometry = planGeometry(512, { levels: 3, pooling: 2, k: 128 });
  const plan = planScatter(geometry, { heads: 1, headDim: 32, dtype: "f32" });
  const kernel = await createScatter(gpu, plan);
  const slots = new Uint32Array(geometry.entries).fill(NOT_SELECTED);
  // Row 511 is reached by entries 511, 255 of level 1 and 127 of level 2; row 510 by 510 of
  // level 0, 254 of level 1 and 126 of level 2.
  slots[511] = 0;
  slots[512 + 255] = 1;
  slots[512 + 256 + 127] = 2;
  slots[510] = 3;
  slots[0] = 4;
  const rows = new Float32Array(geometry.gathered * 32);
  for (let s = 0; s < 5; s++) rows.fill(10 ** s, s * 32, (s + 1) * 32);
  const slices = {
    gathered: await upload(gpu, rows),
    slots: await upload(gpu, slots),
    output: await uploadGarbage(gpu, plan.bytes.output),
  };
  await submit(gpu, kernel.bind(slices));
  const got = new Float32Array((await readBuffer(gpu, slices.output)).buffer);
  const want = new Float32Array(512 * 32);
  want.fill(111, 511 * 32);
  want.fill(1000, 510 * 32, 511 * 32);
  want.fill(10000, 0, 32);
  assert.deepEqual(got, want);
  // The same slots as means: entry 255 of level 1 covers rows 510 and 511, entry 127 of level 2
  // rows 508 to 511, and rows under no selected entry are zero.
  const mean = planScatter(geometry, { heads: 1, headDim: 32, dtype: "f32", gradient: true });
  await submit(gpu, (await createScatter(gpu, mean)).bind(slices));
  const gradient = new Float32Array((await readBuffer(gpu, slices.output)).buffer);
  want.fill(0);
  want.fill(25, 508 * 32);
  want.fill(1000 + 5 + 25, 510 * 32, 511 * 32);
  want.fill(1 + 5 + 25, 511 * 32);
  want.fill(10000, 0, 32);
  assert.deepEqual(gradient, want);
  gpu.destroy();
});
