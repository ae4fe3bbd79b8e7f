import assert from "node:assert/strict";
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "../../../dense_attention/matrix/_matrix_gpu.ts";
import type { Gpu } from "../../../gpu/device.ts";
import {
  memoryless,
  resetting,
  scoresOnDevice,
  seededInputs,
  slow,
  usual,
  worstError,
} from "./_gla_cases.ts";

const CASES = [
  { context: 300, dilation: 4, heads: 2, headDim: 64 },
  { context: 512, dilation: 1, heads: 1, headDim: 128 },
] as const;

const GATES = { usual, slow, "none": () => 0, memoryless, resetting } as const;

/** Rows of very different sizes, in which products of f16 would overflow. */
const loud = (x: Float16Array, headDim: number) =>
  x.map((value, i) => Math.floor(i / headDim) % 37 === 5 ? value * 4000 : value);

async function checkScores(gpu: Gpu) {
  for (const { context, ...options } of CASES) {
    for (const [name, gate] of Object.entries(GATES)) {
      const { heads, headDim } = options;
      const drawn = seededInputs({ ...options, context, dtype: "f16" }, gate);
      const quiet = name !== "none";
      const inputs = quiet ? drawn : {
        ...drawn,
        q: loud(drawn.q as Float16Array, headDim),
        k: loud(drawn.k as Float16Array, headDim),
      };
      const problem = { ...options, dtype: "f16", inputs, kernel: "matrix" } as const;
      const got = await scoresOnDevice(gpu, context, problem);
      // Segments of one chunk carry the state from one to the next.
      const state = headDim ** 2 * 2;
      const { segments, ...again } = await scoresOnDevice(gpu, context, {
        ...problem,
        scratchBytes: heads * options.dilation * state,
      });
      assert.equal(segments, Math.ceil(context / options.dilation / 64));
      assert.deepEqual(again, { queryScores: got.queryScores, keyScores: got.keyScores });
      for (let head = 0; head < heads; head++) {
        const worst = worstError(got, { ...problem, head });
        assert.ok(
          worst <= 1,
          `d ${headDim}, ${name} gates, head ${head}: ${worst} times the error`,
        );
      }
    }
  }
}

Deno.test("gla scores on matrix units are within rounding of the reference", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  await checkScores(gpu);
  gpu.destroy();
});

Deno.test("gla scores on emulated matrix units are within rounding of the reference", async (t) => {
  const gpu = await emulatingGpu(t);
  if (!gpu) return;
  await checkScores(withEmulatedMatrices(gpu));
  gpu.destroy();
});
