/**
 * The two passes by which HISA narrows an index down: means of the index keys of each block, and the
 * scores of the tokens of selected blocks.
 *
 * @module
 */
import scoreCode from "./candidate_scores.wgsl" with { type: "text" };
import poolCode from "./pool_keys.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { IndexBuffers, Strip } from "./index_scores.ts";

const POOL_PARAMS = { rows: "u32", blocks: "u32", block: "u32" } as const;
const SCORE_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  blockRows: "u32",
  blockCount: "u32",
  stride: "u32",
} as const;

/** An index whose tokens are grouped into blocks. */
export interface CandidateOptions {
  /** N. */
  readonly rows: number;
  /** J. */
  readonly heads: number;
  /** c. */
  readonly dim: number;
  /** Storage of index queries and keys. */
  readonly dtype: DType;
  /** B, tokens of a block. */
  readonly blockRows: number;
  /** m, blocks of a list. */
  readonly blockCount: number;
}

/** Compiles the pass that pools keys. */
export async function createKeyPool(
  gpu: Gpu,
  { rows, dim, dtype, blockRows }: CandidateOptions,
): Promise<{
  /** `means`: f32 `[blocks, c]`. */
  readonly bind: (keys: BufferSlice, means: BufferSlice) => Dispatch;
  readonly destroy: () => void;
}> {
  const element = dtype === "f16"
    ? "let pair = unpack2x16float(keys[i / 2u]); return select(pair.x, pair.y, i % 2u == 1u);"
    : "return bitcast<f32>(keys[i]);";
  const pipeline = await createPipeline(gpu, {
    label: `pool index keys c=${dim} ${dtype}`,
    code: `${poolCode}const COLUMNS = ${dim}u;\nfn element(i: u32) -> f32 { ${element} }\n`,
    bindings: ["uniform", "read", "read-write"],
  });
  const blocks = Math.ceil(rows / blockRows);
  const uniform = createParams(gpu, POOL_PARAMS, { rows, blocks, block: blockRows });
  return {
    bind: (keys, means) =>
      bindDispatch(gpu, pipeline, {
        slices: [slice(uniform), keys, means],
        workgroups: [Math.ceil(blocks * dim / 64), 1, 1],
        flops: rows * dim,
      }),
    destroy: () => uniform.destroy(),
  };
}

/** Compiles the pass that scores candidates. */
export async function createCandidateScores(
  gpu: Gpu,
  options: CandidateOptions,
): Promise<{
  /** `blocks` `[strip, m]` and `scores` `[strip, stride]` of a strip. */
  readonly bind: (
    buffers: IndexBuffers & {
      readonly blocks: BufferSlice;
      readonly scores: BufferSlice;
      readonly stride: number;
    },
    strip: Strip,
  ) => Dispatch;
  readonly destroy: () => void;
}> {
  const { rows, heads, dim, dtype, blockRows, blockCount } = options;
  const four = dtype === "f16"
    ? "alias Four = vec2u;\nfn four(x: Four) -> vec4f { " +
      "return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }"
    : "alias Four = vec4f;\nfn four(x: Four) -> vec4f { return x; }";
  const pipeline = await createPipeline(gpu, {
    label: `candidate scores J=${heads} c=${dim} ${dtype}`,
    code: `${scoreCode}const HEADS = ${heads}u;\nconst VECTORS = ${dim / 4}u;\n${four}\n`,
    bindings: ["uniform", "read", "read", "read", "read", "read-write"],
  });
  const { own, destroy } = collectOwned();
  return {
    bind: ({ q, k, w, blocks, scores, stride }, { firstRow, endRow }) => {
      const uniform = own(
        createParams(gpu, SCORE_PARAMS, { rows, firstRow, blockRows, blockCount, stride }),
      );
      const seen = Math.min(blockRows * blockCount, (Math.ceil(endRow / blockRows)) * blockRows);
      return bindDispatch(gpu, pipeline, {
        slices: [slice(uniform), q, k, w, blocks, scores],
        workgroups: [Math.ceil(seen / 128), endRow - firstRow, 1],
        flops: 2 * dim * heads * seen * (endRow - firstRow),
      });
    },
    destroy,
  };
}
