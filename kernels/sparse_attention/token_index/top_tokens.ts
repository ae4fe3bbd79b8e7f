/**
 * The k largest scores of each query, exactly: of equal scores the smaller position, NaN last. Lists are
 * ascending, padded with -1.
 *
 * A query t ranks the keys `0 … t / keyRows`, or with candidates the tokens up to t of the blocks of its
 * list. The result does not depend on the order of any sum, so it is the same on every device.
 *
 * @module
 */
import code from "./top_tokens.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, type Dispatch, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
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
  const pipeline = await createPipeline(gpu, {
    label: "top tokens",
    code,
    bindings: ["uniform", "read", "read", "read-write"],
  });
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
