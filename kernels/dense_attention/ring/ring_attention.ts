/**
 * Ring attention: dense causal attention of one sequence in pieces, one run of queries with one run
 * of keys at a time, merged by their log-sum-exp. Each device of a ring runs this when keys from
 * another device have arrived.
 *
 * Shapes: Q, K, V `[heads, S, d]`, f16 or f32; result f32 `[heads, S, d]` and log-sum-exp `[heads,
 * S]`, natural. Each query row must be paired once with the run that holds its own key, in any
 * step, and never with a run whose keys are all masked for it.
 *
 * Numerics: as `dense_attention.ts`; each merge also rounds the row once in f32.
 *
 * @module
 */
import code from "./ring_attention.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  type Dispatch,
  requireBytes,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createParams } from "../../gpu/uniform.ts";
import { planPortable } from "../portable/portable_plan.ts";
import type { Tiling } from "../tilings.ts";
import type { DenseAttentionBuffers, DenseAttentionOptions } from "../types.ts";
import { generateRing } from "./ring_attention_codegen.ts";

const PARAMS = {
  rows: "u32",
  tileCount: "u32",
  firstTile: "u32",
  scale: "f32",
  heads: "u32",
  gridWidth: "u32",
  queryFirst: "u32",
  queryEnd: "u32",
  keyFirst: "u32",
  keyEnd: "u32",
  fresh: "u32",
} as const;

/** Rows `first … end - 1`. */
export interface RowRun {
  readonly first: number;
  readonly end: number;
}

/** One piece of work: some queries against some keys, all heads. */
export interface RingPiece {
  readonly queries: RowRun;
  /** Either the same run as `queries` or a run that ends before it begins. */
  readonly keys: RowRun;
  /** True if there is no earlier result to merge with. */
  readonly fresh: boolean;
}

/** A planned kernel. */
export interface RingAttentionPlan extends DenseAttentionOptions {
  readonly scale: number;
  readonly tiling: Tiling;
  readonly pipeline: PipelineSource;
}

/**
 * Plans the kernel for one block of heads.
 *
 * @throws {RangeError} naming the value and the limit, when the kernel cannot run the shape.
 */
export function planRingAttention(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
): RingAttentionPlan {
  const { tiling, scale } = planPortable(gpu, options);
  const { headDim, dtype } = options;
  const { capabilities } = gpu;
  const subgroups = capabilities.subgroups && capabilities.subgroupMinSize >= tiling.threadsX;
  const generated = generateRing({ tiling, headDim, dtype }, { subgroups });
  return {
    ...options,
    scale,
    tiling,
    pipeline: {
      label: `ring attention d=${headDim} ${dtype}`,
      code: `${subgroups ? capabilities.subgroupsDirective : ""}${code}${generated}`,
      bindings: ["uniform", "read", "read", "read", "read-write", "read-write"],
    },
  };
}

/**
 * Query-key pairs of a piece in one head; N²/2 by convention for a run with itself.
 *
 * @throws {RangeError} when the runs overlap only in part, or the keys come after the queries.
 *
 * @example
 * ```ts
 * import { piecePairs } from "./ring_attention.ts";
 * import assert from "node:assert/strict";
 * const [early, late] = [{ first: 0, end: 4 }, { first: 4, end: 8 }];
 * assert.equal(piecePairs({ queries: late, keys: early, fresh: false }), 16);
 * assert.equal(piecePairs({ queries: late, keys: late, fresh: true }), 8);
 * ```
 */
export function piecePairs({ queries, keys }: RingPiece): number {
  const count = (queries.end - queries.first) * (keys.end - keys.first);
  if (queries.first === keys.first && queries.end === keys.end) return count / 2;
  if (keys.end <= queries.first) return count;
  throw new RangeError(
    `plan ring attention: keys ${keys.first}…${keys.end - 1} neither are nor precede queries ` +
      `${queries.first}…${queries.end - 1}`,
  );
}

/** A compiled kernel. */
export interface RingAttention {
  readonly plan: RingAttentionPlan;
  /** `o` is f32 for every storage type. */
  readonly bind: (buffers: DenseAttentionBuffers, piece: RingPiece) => Dispatch[];
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernel.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createRingAttention(
  gpu: Gpu,
  plan: RingAttentionPlan,
): Promise<RingAttention> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const { heads, rows, headDim, scale, flopsPerDispatch = Infinity } = plan;
  const { tileRows } = plan.tiling;
  const limit = gpu.capabilities.maxWorkgroupsPerDimension;
  const z = Math.ceil(heads / limit);
  const x = Math.ceil(heads / z);
  const uniforms: GPUBuffer[] = [];
  return {
    plan,
    bind({ q, k, v, o, lse }, piece) {
      const { queries, keys, fresh } = piece;
      const elements = heads * rows * headDim;
      for (const [name, part] of Object.entries({ q, k, v })) {
        requireBytes(`ring attention: ${name}`, part, elements * bytesPerElement(plan.dtype));
      }
      requireBytes("ring attention: o", o, elements * 4);
      requireBytes("ring attention: log-sum-exp", lse, heads * rows * 4);
      for (const [name, run] of Object.entries({ queries, keys })) {
        requireWhole(`bind ring attention: ${name}`, "first", run.first, { least: 0 });
        requireWhole(`bind ring attention: ${name}`, "end", run.end, { least: run.first + 1 });
      }
      if (queries.end > rows) {
        throw new RangeError(`bind ring attention: query row ${queries.end - 1} exceeds ${rows}`);
      }
      const flops = 4 * headDim * heads * piecePairs(piece);
      const tiles = Math.ceil((queries.end - queries.first) / tileRows);
      // The last tile of a run with itself costs at most twice the mean.
      const each = Math.max(1, Math.min(limit, Math.floor(flopsPerDispatch / (2 * flops / tiles))));
      const dispatches: Dispatch[] = [];
      for (let firstTile = 0; firstTile < tiles; firstTile += each) {
        const tileCount = Math.min(each, tiles - firstTile);
        const uniform = createParams(gpu, PARAMS, {
          rows,
          tileCount,
          firstTile,
          scale: scale * Math.LOG2E,
          heads,
          gridWidth: x,
          queryFirst: queries.first,
          queryEnd: queries.end,
          keyFirst: keys.first,
          keyEnd: keys.end,
          fresh: fresh ? 1 : 0,
        });
        uniforms.push(uniform);
        const slices: BufferSlice[] = [slice(uniform), q, k, v, o, lse];
        dispatches.push(bindDispatch(gpu, pipeline, {
          slices,
          workgroups: [x, tileCount, z],
          flops: flops * tileCount / tiles,
        }));
      }
      return dispatches;
    },
    destroy: () => uniforms.splice(0).forEach((uniform) => uniform.destroy()),
  };
}
