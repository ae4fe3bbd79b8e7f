/**
 * The dilated scorer (specification, section 3): norms of causal softmax attention within each
 * residue class of positions modulo δ, in both directions: queries score by A(Q, K, V), keys by
 * A(K, Q, V).
 *
 * Shapes: Q, K, V `[heads, N, d]`; scores f32 `[heads, P]`, SQUARED norms like the norm scorer's.
 * Only norms are written: the attention's rows stay in registers, and residue classes are read in
 * place.
 *
 * Cost: 4·N²·d·H/δ FLOP, quadratic in N.
 *
 * @module
 */
import {
  createSquaredNorms,
  planSquaredNorms,
} from "../../../dense_attention/dense_squared_norms.ts";
import { createPipeline } from "../../../gpu/pipeline.ts";
import { createScoreMaxima, planScoreMaxima } from "../../passes/score_maxima.ts";
import { DILATION_OPTION, dilationOf } from "../dilation.ts";
import type { Scorer, ScorerProblem } from "../scorer.ts";

function normsOptions(
  { shape, options: layer, geometry }: ScorerProblem,
  options: { heads: number; flopsPerDispatch?: number },
) {
  return {
    ...options,
    rows: shape.context,
    headDim: shape.headDim,
    dtype: shape.dtype,
    dilation: dilationOf(layer),
    resultRows: geometry.entries,
  };
}

/** Norms of attention within residue classes. */
export const dilatedScorer: Scorer = {
  name: "dilated",
  exactSelection: false,
  quadratic: true,
  options: [DILATION_OPTION],
  style: { color: { light: "#009e73", dark: "#2fc79c" }, mark: "triangle" },
  pass: {
    plan: (gpu, problem) => {
      const { heads } = problem.shape;
      const { flops, bytes } = planSquaredNorms(gpu, normsOptions(problem, { heads }));
      // The plan is for a block of heads, as executed.
      const block = { heads: Math.min(heads, problem.headsPerBlock) };
      const { variant } = planSquaredNorms(gpu, normsOptions(problem, block)).launch;
      return { flops: 2 * flops, bytes: 2 * bytes, buffers: [], variant };
    },
    compile: (gpu, problem) => {
      const heads = Math.min(problem.shape.heads, problem.headsPerBlock);
      const { launch } = planSquaredNorms(gpu, normsOptions(problem, { heads }));
      return createPipeline(gpu, launch.pipeline);
    },
    create: async (gpu, problem, options) => {
      const norms = await createSquaredNorms(
        gpu,
        planSquaredNorms(gpu, normsOptions(problem, options)),
      );
      const maxima = await createScoreMaxima(gpu, planScoreMaxima(problem.geometry, options.heads));
      return {
        bind: ({ q, k, v, queryScores, keyScores }) => [
          ...norms.bind({ q, k, v, squaredNorms: queryScores }),
          ...norms.bind({ q: k, k: q, v, squaredNorms: keyScores }),
          ...maxima.bind(queryScores),
          ...maxima.bind(keyScores),
        ],
        destroy: () => {
          norms.destroy();
          maxima.destroy();
        },
      };
    },
  },
};
