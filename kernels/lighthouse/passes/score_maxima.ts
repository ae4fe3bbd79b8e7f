/**
 * Score maxima: extends base scores to all pyramid entries by the maximum over each window.
 *
 * Shape: scores f32 `[heads, P]`; the first N of each head are given, levels 1 … L-1 are written.
 * For scorers that write one score per base row; the pyramid pass computes the maxima of norm
 * scores.
 *
 * Numerics: exact. Scores must not be negative (squared norms are not); NaN ranks above all
 * numbers.
 *
 * @module
 */
import code from "./score_maxima.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, type Dispatch, requireBytes } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams, type UniformValues } from "../../gpu/uniform.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

const PARAMS = {
  entries: "u32",
  below: "u32",
  offset: "u32",
  count: "u32",
  gridWidth: "u32",
} as const;

/** The plan of score maxima for a block of heads. */
export interface ScoreMaximaPlan {
  readonly code: string;
  /** One dispatch per level, finest first. */
  readonly levels: readonly {
    readonly params: UniformValues<typeof PARAMS>;
    readonly workgroups: readonly [number, number, number];
  }[];
  readonly scoreBytes: number;
}

/** Compiled score maxima. */
export interface ScoreMaxima {
  /** `scores`: f32 `[heads, P]`, query scores or key scores. */
  readonly bind: (scores: BufferSlice) => Dispatch[];
  readonly destroy: () => void;
}

/**
 * Plans the maxima of a block of heads.
 *
 * @example
 * ```ts
 * import { planGeometry } from "../lighthouse_geometry.ts";
 * import { planScoreMaxima } from "./score_maxima.ts";
 * import assert from "node:assert/strict";
 * const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
 * assert.equal(planScoreMaxima(geometry, 8).levels.length, 2);
 * ```
 */
export function planScoreMaxima(geometry: LighthouseGeometry, heads: number): ScoreMaximaPlan {
  const { levels, pooling, entries, levelOffsets, levelEntries } = geometry;
  return {
    code: wgsl`
      ${code}
      const pooling = ${pooling}u;
      fn most(first: u32) -> u32 {
        var bits = 0u;
        ${range(pooling).map((child) => `bits = max(bits, scores[first + ${child}u]);`)}
        return bits;
      }

    `,
    levels: range(levels - 1).map((n) => {
      const count = levelEntries[n + 1];
      const [x, y] = foldGrid(Math.ceil(count / 256));
      return {
        params: {
          entries,
          below: levelOffsets[n],
          offset: levelOffsets[n + 1],
          count,
          gridWidth: x,
        },
        workgroups: [x, y, heads] as const,
      };
    }),
    scoreBytes: heads * entries * 4,
  };
}

/** Compiles the maxima. */
export async function createScoreMaxima(gpu: Gpu, plan: ScoreMaximaPlan): Promise<ScoreMaxima> {
  const pipeline = await createPipeline(gpu, {
    label: "lighthouse score maxima",
    code: plan.code,
    bindings: ["read-write", "uniform"],
  });
  const uniforms = plan.levels.map(({ params }) => createParams(gpu, PARAMS, params));
  return {
    bind(scores) {
      requireBytes("score maxima: scores", scores, plan.scoreBytes);
      return plan.levels.map(({ workgroups }, level) =>
        bindDispatch(gpu, pipeline, {
          slices: [scores, { buffer: uniforms[level], offset: 0, size: uniforms[level].size }],
          workgroups,
        })
      );
    },
    destroy: () => uniforms.forEach((uniform) => uniform.destroy()),
  };
}
