import assert from "node:assert/strict";
import { chooseFew } from "../../../../tools/_cases.ts";
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

const GATES = { usual, slow, none: () => 0, memoryless, resetting } as const;

interface Case {
  readonly context: number;
  readonly dilation: number;
  readonly heads: number;
  readonly headDim: number;
  readonly gate: keyof typeof GATES;
}

const CASES = (Object.keys(GATES) as Case["gate"][]).flatMap((gate): Case[] => [
  { context: 300, dilation: 4, heads: 2, headDim: 64, gate },
  { context: 512, dilation: 1, heads: 1, headDim: 128, gate },
]);

const EMULATED = chooseFew(
  CASES,
  ({ gate, headDim }) => headDim === 64 && (gate === "none" || gate === "resetting"),
);

/** Rows of very different sizes, in which products of f16 would overflow. */
const loud = (x: Float16Array, headDim: number) =>
  x.map((value, i) => Math.floor(i / headDim) % 37 === 5 ? value * 4000 : value);

async function checkScores(gpu: Gpu, cases: readonly Case[]) {
  for (const { context, gate, ...options } of cases) {
    const { heads, headDim, dilation } = options;
    const drawn = seededInputs({ ...options, context, dtype: "f16" }, GATES[gate]);
    const inputs = gate !== "none" ? drawn : {
      ...drawn,
      q: loud(drawn.q as Float16Array, headDim),
      k: loud(drawn.k as Float16Array, headDim),
    };
    const problem = { ...options, dtype: "f16", inputs, kernel: "matrix" } as const;
    const { segments: whole, ...got } = await scoresOnDevice(gpu, context, problem);
    assert.equal(whole, 1);
    // Segments of one chunk carry the state from one to the next.
    const { segments, ...again } = await scoresOnDevice(gpu, context, {
      ...problem,
      scratchBytes: heads * dilation * headDim ** 2 * 4,
    });
    assert.equal(segments, Math.ceil(context / dilation / 64));
    assert.deepEqual(again, got);
    for (let head = 0; head < heads; head++) {
      const worst = worstError(got, { ...problem, head });
      assert.ok(worst <= 1, `d ${headDim}, ${gate} gates, head ${head}: ${worst} times the error`);
    }
  }
}

Deno.test("gla scores on matrix units are within rounding of the reference", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  await checkScores(gpu, CASES);
  gpu.destroy();
});

Deno.test(
  `gla scores on emulated matrix units are within rounding of the reference${EMULATED.note}`,
  async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    await checkScores(withEmulatedMatrices(gpu), EMULATED.cases);
    gpu.destroy();
  },
);
