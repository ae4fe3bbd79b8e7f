/**
 * The random scorer: seeded scores that do not depend on the inputs. It is a control: the quality
 * that a layer reaches with random scores is not due to the selection of Lighthouse attention.
 *
 * Scores f32 in [0, 1), exact and the same on every device. The seed is fixed, so that a layer
 * selects the same entries at every step.
 *
 * Cost: no arithmetic by the paper's convention; 8 bytes per base row and head.
 *
 * @module
 */
import code from "./random_scores.wgsl" with { type: "text" };
import { bindDispatch, requireBytes, slice } from "../../../gpu/buffers.ts";
import { createPipeline } from "../../../gpu/pipeline.ts";
import { pcg } from "../../../gpu/random.ts";
import { foldGrid } from "../../lighthouse_geometry.ts";
import { createScoreMaxima, planScoreMaxima } from "../../passes/score_maxima.ts";
import type { Scorer } from "../scorer.ts";
import { createParams } from "../../../gpu/uniform.ts";

/** Seed of the scores. */
export const RANDOM_SCORER_SEED = 20260511;

const PARAMS = {
  seedHash: "u32",
  firstHead: "u32",
  allHeads: "u32",
  rows: "u32",
  entries: "u32",
  gridWidth: "u32",
} as const;

/** A scorer that ranks entries at random. */
export const randomScorer: Scorer = {
  name: "random",
  exactSelection: true,
  role: "control",
  reference({ problem: { shape: { heads, context } }, head, rows }) {
    const { query, key } = randomScores({ head, heads, context });
    const exact = (score: number) => ({ score, tolerance: 0 });
    return Promise.resolve(
      rows.map((row) => ({ row, query: exact(query[row]), key: exact(key[row]) })),
    );
  },
  pass: {
    plan: (_gpu, { shape, geometry }) => ({
      flops: 0,
      bytes: 2 * shape.heads * geometry.entries * 4,
      buffers: [],
    }),
    async create(gpu, { shape, geometry }, { heads }) {
      const pipeline = await createPipeline(gpu, {
        label: "lighthouse random scores",
        code,
        bindings: ["read-write", "read-write", "uniform"],
      });
      const maxima = await createScoreMaxima(gpu, planScoreMaxima(geometry, heads));
      const [x, y] = foldGrid(Math.ceil(shape.context / 256));
      const uniforms: GPUBuffer[] = [];
      return {
        bind({ firstHead, queryScores, keyScores }) {
          const bytes = heads * geometry.entries * 4;
          requireBytes("random scores: query scores", queryScores, bytes);
          requireBytes("random scores: key scores", keyScores, bytes);
          const uniform = createParams(gpu, PARAMS, {
            seedHash: pcg(RANDOM_SCORER_SEED),
            firstHead,
            allHeads: shape.heads,
            rows: shape.context,
            entries: geometry.entries,
            gridWidth: x,
          });
          uniforms.push(uniform);
          return [
            bindDispatch(gpu, pipeline, {
              slices: [queryScores, keyScores, slice(uniform)],
              workgroups: [x, y, heads],
            }),
            ...maxima.bind(queryScores),
            ...maxima.bind(keyScores),
          ];
        },
        destroy() {
          maxima.destroy();
          uniforms.forEach((uniform) => uniform.destroy());
        },
      };
    },
  },
};

/**
 * Scores `[N]` of the base rows of one head, equal to those that the kernel writes.
 *
 * @example
 * ```ts
 * import { randomScores } from "./random_scorer.ts";
 * import assert from "node:assert/strict";
 * const { query } = randomScores({ head: 0, heads: 2, context: 4096 });
 * const mean = query.reduce((sum, score) => sum + score, 0) / query.length;
 * assert.ok(Math.abs(mean - 0.5) < 0.02);
 * ```
 */
export function randomScores(
  { head, heads, context }: { head: number; heads: number; context: number },
): { query: Float64Array; key: Float64Array } {
  const hash = pcg(RANDOM_SCORER_SEED);
  const scores = (which: number) =>
    Float64Array.from(
      { length: context },
      (_, row) => (pcg((hash + 2 * (row * heads + head) + which) >>> 0) >>> 8) / 2 ** 24,
    );
  return { query: scores(0), key: scores(1) };
}
