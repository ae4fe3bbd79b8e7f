/**
 * The gla scorer of a Lighthouse layer: gated linear attention scores of base rows, then their
 * maxima over the windows of the pyramid.
 *
 * @module
 */
import {
  createStorageBuffer,
  createTensor,
  slice,
  type Tensor,
  writeTensor,
} from "../../../gpu/buffers.ts";
import { whyNotOnMatrixUnits } from "../../../dense_attention/matrix/dense_matrix.ts";
import type { DenseKernel } from "../../../dense_attention/types.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { collectOwned } from "../../../gpu/owned.ts";
import { requireNumbers } from "../../../gpu/require.ts";
import { fillGates } from "./gla_gates.ts";
import { matrixGlaBytes } from "./gla_matrix_pipelines.ts";
import {
  createGlaScores,
  type GlaScoresPlan,
  type GlaScratch,
  planGlaScores,
} from "./gla_scores.ts";
import { createScoreMaxima, planScoreMaxima } from "../../passes/score_maxima.ts";
import type { AttentionShape } from "../../../implementation.ts";
import { DILATION_OPTION, dilationOf } from "../dilation.ts";
import type { BlockScorer, Scorer, ScorerBindings, ScorerProblem } from "../scorer.ts";

/** Options of {@linkcode glaScorer}. */
export interface GlaScorerOptions {
  /** Seed of the gates. Default 4. */
  readonly seed?: number;
  /** Log gates f32 `[H, N]`, at most 0, instead of seeded gates. */
  readonly gates?: Float32Array;
  /**
   * Maximum bytes for the states of a segment; limited to one binding. Default 128 MiB, on matrix
   * units, which hold both directions, 256 MiB.
   */
  readonly scratchBytes?: number;
  /** Default: matrix units where the device has them and they take the shape. */
  readonly kernel?: DenseKernel;
}

/** The kernels that score a layer on a device. */
export function glaKernel(
  { capabilities }: Pick<Gpu, "capabilities">,
  { context, headDim, dtype, dilation }: Omit<AttentionShape, "heads"> & { dilation: number },
): DenseKernel {
  const rows = context / dilation;
  return whyNotOnMatrixUnits(capabilities, { rows, headDim, dtype }) === undefined &&
      matrixGlaBytes(headDim) <= capabilities.maxWorkgroupBytes
    ? "matrix"
    : "portable";
}

/**
 * A scorer based on gated linear attention.
 *
 * @example
 * ```ts
 * import { glaScorer } from "./gla_scorer.ts";
 * import assert from "node:assert/strict";
 * assert.equal(glaScorer({ seed: 7 }).name, "gla");
 * ```
 */
export function glaScorer(options: GlaScorerOptions = {}): Scorer {
  return {
    name: "gla",
    exactSelection: false,
    withGates: (gates) => glaScorer({ ...options, gates }),
    wholeHeads: "has gates that belong to whole heads",
    options: [DILATION_OPTION],
    style: { color: { light: "#b8578e", dark: "#e39cc5" }, mark: "diamond" },
    pass: {
      plan(gpu, problem) {
        if (options.gates !== undefined) requireHostGates(options.gates, problem);
        const blocks = blockSizes(problem).map((heads) =>
          planBlock(gpu, problem, { ...options, heads })
        );
        const [first] = blocks;
        const { heads } = problem.shape;
        return {
          flops: first.flops / first.heads * heads,
          bytes: first.bytes / first.heads * heads,
          variant: first.kernel === "matrix" ? "matrix units" : undefined,
          buffers: blocks.flatMap(({ scratch, gateBytes, heads: each }) => [
            { name: `gates of blocks of ${each} heads`, bytes: gateBytes / each * heads },
            { name: `gla states of blocks of ${each} heads`, bytes: scratch.states },
            {
              name: `gla decays and carry of blocks of ${each} heads`,
              bytes: scratch.decays + scratch.carry + (scratch.scales ?? 0),
            },
          ]),
        };
      },
      async create(gpu, problem, { heads, flopsPerDispatch }) {
        if (options.gates !== undefined) requireHostGates(options.gates, problem);
        const plan = planBlock(gpu, problem, { ...options, heads, flopsPerDispatch });
        const { own, destroy } = collectOwned();
        try {
          const gates = own(
            await createTensor(gpu, {
              heads: problem.shape.heads,
              rows: problem.shape.context,
              dim: 1,
              dtype: "f32",
            }, { label: "gla gates", headsPerBlock: problem.headsPerBlock }),
          );
          if (options.gates) writeTensor(gpu, gates, options.gates);
          else await fillGates(gpu, gates, options.seed ?? GATE_SEED);
          const scratchBuffer = async (name: keyof GlaScratch) =>
            slice(own(
              await createStorageBuffer(gpu, plan.scratch[name]!, { label: `gla ${name}` }),
            ));
          const scratch = {
            states: await scratchBuffer("states"),
            decays: await scratchBuffer("decays"),
            carry: await scratchBuffer("carry"),
            ...plan.scratch.scales && { scales: await scratchBuffer("scales") },
          };
          const scores = own(await createGlaScores(gpu, plan));
          const maxima = own(
            await createScoreMaxima(gpu, planScoreMaxima(problem.geometry, heads)),
          );
          return {
            bind: (slices: ScorerBindings) => [
              ...scores.bind({
                ...slices,
                ...scratch,
                gates: gatesOf(gates, { heads, firstHead: slices.firstHead }),
              }),
              ...maxima.bind(slices.queryScores),
              ...maxima.bind(slices.keyScores),
            ],
            destroy,
          } satisfies BlockScorer;
        } catch (error) {
          destroy();
          throw error;
        }
      },
    },
  };
}

const SCRATCH_BYTES: Readonly<Record<DenseKernel, number>> = {
  portable: 128 * 2 ** 20,
  matrix: 256 * 2 ** 20,
};

/** Seed of the gates if a layer is given none. */
export const GATE_SEED = 4;

/** The distinct numbers of heads in a layer's blocks. */
function blockSizes({ shape, headsPerBlock }: ScorerProblem): number[] {
  const most = Math.min(headsPerBlock, shape.heads);
  const rest = shape.heads % most;
  return rest > 0 ? [most, rest] : [most];
}

function planBlock(
  gpu: Pick<Gpu, "capabilities">,
  problem: ScorerProblem,
  options: {
    heads: number;
    scratchBytes?: number;
    flopsPerDispatch?: number;
    kernel?: DenseKernel;
  },
): GlaScoresPlan {
  const { capabilities } = gpu;
  const { headDim, dtype } = problem.shape;
  const dilation = dilationOf(problem.options);
  const kernel = options.kernel ?? glaKernel(gpu, { ...problem.shape, dilation });
  const { heads, scratchBytes = SCRATCH_BYTES[kernel], flopsPerDispatch } = options;
  return planGlaScores(problem.geometry, {
    heads,
    headDim,
    dtype,
    dilation,
    scratchBytes: Math.min(scratchBytes, capabilities.maxBindingBytes),
    maxWorkgroupBytes: capabilities.maxWorkgroupBytes,
    flopsPerDispatch,
    kernel,
  });
}

/** The gates of one block of heads. */
function gatesOf(gates: Tensor, block: { heads: number; firstHead: number }) {
  const { firstHead } = block;
  const found = gates.blocks.find((b) => b.firstHead === firstHead && b.heads === block.heads);
  if (!found) {
    throw new RangeError(
      `bind gla scorer: no block of ${block.heads} heads begins at head ${firstHead}`,
    );
  }
  return found.data;
}

function requireHostGates(gates: Float32Array, { shape }: ScorerProblem): void {
  const { heads, context } = shape;
  requireNumbers("plan gla scorer", "gates", gates);
  if (gates.length !== heads * context) {
    throw new RangeError(
      `plan gla scorer: ${gates.length} gates given, [${heads}, ${context}] needs ${
        heads * context
      }`,
    );
  }
  let bad = 0;
  for (const gate of gates) if (!(gate <= 0)) bad++;
  if (bad > 0) {
    throw new RangeError(
      `plan gla scorer: ${bad} of ${gates.length} log gates are NaN or above 0, the largest allowed`,
    );
  }
}
