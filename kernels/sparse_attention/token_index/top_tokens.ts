/**
 * The k largest scores of each query, exactly: of equal scores the smaller position, NaN last.
 * Lists are ascending, padded with -1.
 *
 * Scores of rows are read as vectors: `stride` is a multiple of 4.
 *
 * A query t ranks the keys `0 … t / keyRows`, or with candidates the tokens up to t of the blocks
 * of its list. The result does not depend on the order of any sum, so it is the same on every
 * device.
 *
 * @module
 */
import code from "./top_tokens.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, type Dispatch, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import type { Strip } from "./index_scores.ts";

const PARAMS = {
  rows: "u32",
  firstRow: "u32",
  width: "u32",
  stride: "u32",
  keyRows: "u32",
  blockRows: "u32",
  blockCount: "u32",
  forced: "u32",
} as const;

/** Scores that a workgroup holds at most. */
const MOST_HELD = 4096;

/**
 * Scores of a query below this many times those that are held are read three times instead: it is
 * faster.
 */
const HELD_SHARE = 4;

/** What is held where scores are read three times: as good as nothing. */
const LEAST_HELD = 4;

/** Threads of a workgroup. */
const THREADS = 256;

/**
 * Bytes of workgroup memory beside what is held: `top_tokens.wgsl`, and at most what scans need.
 */
const OTHER_BYTES = 2048 * 4 + 2 * THREADS * 4 + 2 * THREADS * 8 + 64;

/**
 * Sums of all threads' values up to each: in eight steps of two halves of the memory, one barrier
 * each.
 */
const PORTABLE_SCAN = wgsl`
  var<workgroup> sums: array<vec2u, 2 * THREADS>;
  fn scan(local: u32, value: vec2u) -> vec2u {
    var half = 0u;
    sums[local] = value;
    for (var step = 1u; step < THREADS; step *= 2u) {
      workgroupBarrier();
      var sum = sums[half + local];
      if (local >= step) { sum += sums[half + local - step]; }
      half = THREADS - half;
      sums[half + local] = sum;
    }
    // After eight steps the sums are where the values were, each written by its own thread.
    let sum = sums[local];
    if (local == THREADS - 1u) { all = sum; }
    return sum;
  }

`;

/** The same in subgroups, then over the sums of subgroups. */
function subgroupScan(size: number): string {
  return wgsl`
    var<workgroup> sums: array<vec2u, THREADS / ${size}u>;
    fn scan(local: u32, value: vec2u) -> vec2u {
      var sum = subgroupInclusiveAdd(value);
      if (local % ${size}u == ${size - 1}u) { sums[local / ${size}u] = sum; }
      workgroupBarrier();
      for (var i = 0u; i < local / ${size}u; i++) { sum += sums[i]; }
      if (local == THREADS - 1u) { all = sum; }
      return sum;
    }

  `;
}

/** The size of all subgroups, where it is one and known; else 0. */
function subgroupSize(
  { subgroups, subgroupMinSize, subgroupMaxSize }: Gpu["capabilities"],
): number {
  const known = subgroups && subgroupMinSize === subgroupMaxSize && subgroupMinSize > 1;
  return known && THREADS % subgroupMinSize === 0 ? subgroupMinSize : 0;
}

/**
 * How many scores a workgroup holds, and whether a sample says which: where there are many, and k
 * is far enough from what fits.
 */
function heldScores(
  { capabilities: { maxWorkgroupBytes } }: Pick<Gpu, "capabilities">,
  { rows, width, held, keyRows = 1, candidates }: TopTokensOptions,
): { readonly held: number; readonly sampled: boolean } {
  let fitting = held ?? MOST_HELD;
  while (fitting > LEAST_HELD && 8 * fitting + OTHER_BYTES > maxWorkgroupBytes) fitting /= 2;
  const most = candidates
    ? candidates.blockRows * candidates.blockCount
    : Math.ceil(rows / keyRows);
  const sampled = 5 * width <= 3 * fitting && most >= HELD_SHARE * fitting;
  return { held: sampled || held !== undefined ? fitting : LEAST_HELD, sampled };
}

/** What is ranked. */
export interface TopTokensOptions {
  /** N. */
  readonly rows: number;
  /** k. */
  readonly width: number;
  /** Tokens of a key. Default 1. */
  readonly keyRows?: number;
  /** The first and the last key are selected whatever their score. Default false. */
  readonly forced?: boolean;
  /** Only tokens of the blocks of a query's list are ranked. Default: all keys. */
  readonly candidates?: { readonly blockRows: number; readonly blockCount: number };
  /**
   * Scores that a workgroup holds, a power of two. Default: 4,096 or what fits, where there are
   * many.
   */
  readonly held?: number;
}

/** How many entries the list of a query has, without padding. */
export function listLength(
  { width, candidates }: Pick<TopTokensOptions, "width" | "candidates">,
  row: number,
): number {
  if (!candidates) return Math.min(width, row + 1);
  const { blockRows, blockCount } = candidates;
  const held = Math.min(blockCount, Math.floor(row / blockRows) + 1);
  return Math.min(width, (held - 1) * blockRows + row % blockRows + 1);
}

/** The shader. */
export function topTokensSource(
  gpu: Pick<Gpu, "capabilities">,
  options: TopTokensOptions,
): PipelineSource {
  const { held, sampled } = heldScores(gpu, options);
  const lanes = subgroupSize(gpu.capabilities);
  return {
    label: "top tokens",
    code: wgsl`
      ${lanes > 0 ? [gpu.capabilities.subgroupsDirective] : []}
      ${code}
      const HELD = ${held}u;
      const SAMPLED = ${sampled ? "true" : "false"};
      ${lanes > 0 ? subgroupScan(lanes) : PORTABLE_SCAN}
    `,
    bindings: ["uniform", "read", "read", "read-write"],
  };
}

/** Compiles the kernel. */
export async function createTopTokens(gpu: Gpu, options: TopTokensOptions): Promise<{
  /** The dispatch of a strip: `scores` `[strip, stride]`, `blocks` and `lists` of its queries. */
  readonly bind: (
    buffers: {
      readonly scores: BufferSlice;
      readonly stride: number;
      /** `[strip, blockCount]`; needed with candidates. */
      readonly blocks?: BufferSlice;
      /** `[strip, width]`. */
      readonly lists: BufferSlice;
    },
    strip: Strip,
  ) => Dispatch;
  readonly destroy: () => void;
}> {
  const pipeline = await createPipeline(gpu, topTokensSource(gpu, options));
  const uniforms: GPUBuffer[] = [];
  const { rows, width, keyRows = 1, forced = false, candidates } = options;
  return {
    bind: ({ scores, stride, blocks = scores, lists }, { firstRow, endRow }) => {
      const uniform = createParams(gpu, PARAMS, {
        rows,
        firstRow,
        width,
        stride,
        keyRows,
        blockRows: candidates?.blockRows ?? 0,
        blockCount: candidates?.blockCount ?? 0,
        forced: Number(forced),
      });
      uniforms.push(uniform);
      return bindDispatch(gpu, pipeline, {
        slices: [slice(uniform), scores, blocks, lists],
        workgroups: [endRow - firstRow, 1, 1],
      });
    },
    destroy: () => uniforms.splice(0).forEach((uniform) => uniform.destroy()),
  };
}
