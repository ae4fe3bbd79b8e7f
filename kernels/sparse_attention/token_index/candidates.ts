/**
 * The two passes by which HISA narrows an index down: means of the index keys of each block, and
 * the scores of the tokens of selected blocks.
 *
 * @module
 */
import scoreCode from "./candidate_scores.wgsl" with { type: "text" };
import clearCode from "../gathered_tokens/clear_words.wgsl" with { type: "text" };
import markCode from "../gathered_tokens/mark_tokens.wgsl" with { type: "text" };
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
import { whyNoMatrixUnits } from "../../dense_attention/matrix/dense_matrix.ts";
import { foldGroups } from "../gathered_queries/packing.ts";
import {
  CANDIDATE_QUERIES,
  generateMatrixCandidates,
  whyNoMatrixCandidates,
} from "./candidate_matrix_codegen.ts";
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

const MATRIX_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  queries: "u32",
  blockRows: "u32",
  blockCount: "u32",
  stride: "u32",
  words: "u32",
} as const;
const CLEAR_PARAMS = { words: "u32", width: "u32" } as const;
const MARK_PARAMS = {
  firstRow: "u32",
  listRow: "u32",
  width: "u32",
  firstKey: "u32",
  keys: "u32",
  words: "u32",
} as const;

/** Why the scores of candidates are not computed on matrix units; undefined when they are. */
export function whyPortableCandidates(
  { capabilities }: Pick<Gpu, "capabilities">,
  options: Pick<CandidateOptions, "rows" | "heads" | "dim" | "dtype" | "blockRows">,
): string | undefined {
  return whyNoMatrixUnits(capabilities) ?? whyNoMatrixCandidates(capabilities, options);
}

/** Words of bits of the queries of a strip that keep a block. */
function wordsOf({ firstRow, endRow }: Strip): number {
  return Math.ceil((endRow - firstRow) / 32);
}

/** Bytes of the bits of a strip's queries, one for each block; few where no kernel reads them. */
export function candidateBitBytes(
  gpu: Pick<Gpu, "capabilities">,
  options: CandidateOptions,
  strip: Strip,
): number {
  if (whyPortableCandidates(gpu, options) !== undefined) return 16;
  return Math.ceil(options.rows / options.blockRows) * wordsOf(strip) * 4;
}

/** Buffers of the scores of candidates. */
interface CandidateBuffers extends IndexBuffers {
  /** `[strip, m]`. */
  readonly blocks: BufferSlice;
  /** `[strip, stride]`. */
  readonly scores: BufferSlice;
  readonly stride: number;
  /** Of {@linkcode candidateBitBytes} of the longest strip. */
  readonly bits: BufferSlice;
}

/** The passes that score candidates, compiled. */
interface CandidateScores {
  readonly bind: (buffers: CandidateBuffers, strip: Strip) => Dispatch[];
  readonly destroy: () => void;
}

/** Compiles the passes that score candidates. */
export function createCandidateScores(
  gpu: Gpu,
  options: CandidateOptions,
): Promise<CandidateScores> {
  return whyPortableCandidates(gpu, options) === undefined
    ? createMatrixScores(gpu, options)
    : createPortableScores(gpu, options);
}

/** Blocks whose queries are marked as bits, then multiplied block by block. */
async function createMatrixScores(gpu: Gpu, options: CandidateOptions): Promise<CandidateScores> {
  const { rows, heads, dim, blockRows, blockCount } = options;
  const [clear, mark, score] = await Promise.all([
    createPipeline(gpu, {
      label: "clear words",
      code: clearCode,
      bindings: ["uniform", "read-write"],
    }),
    createPipeline(gpu, {
      label: "mark blocks",
      code: markCode,
      bindings: ["uniform", "read", "read-write"],
    }),
    createPipeline(gpu, {
      label: `candidate scores on matrix units J=${heads} c=${dim}`,
      code: generateMatrixCandidates({ heads, dim }),
      bindings: ["uniform", "read", "read", "read", "read", "read", "read-write"],
    }),
  ]);
  const { own, destroy } = collectOwned();
  return {
    bind: ({ q, k, w, blocks, scores, stride, bits }, strip) => {
      const { firstRow, endRow } = strip;
      const queries = endRow - firstRow;
      const words = wordsOf(strip);
      // Blocks that some query of the strip may keep.
      const seen = Math.ceil(endRow / blockRows);
      const [x, y] = foldGroups(Math.ceil(seen * words / 256));
      const keep = (uniform: GPUBuffer) => slice(own(uniform));
      return [
        bindDispatch(gpu, clear, {
          slices: [
            keep(createParams(gpu, CLEAR_PARAMS, { words: seen * words, width: x * 256 })),
            bits,
          ],
          workgroups: [x, y, 1],
        }),
        bindDispatch(gpu, mark, {
          slices: [
            keep(createParams(gpu, MARK_PARAMS, {
              firstRow: 0,
              listRow: 0,
              width: blockCount,
              firstKey: 0,
              keys: seen,
              words,
            })),
            blocks,
            bits,
          ],
          workgroups: [queries, 1, 1],
        }),
        bindDispatch(gpu, score, {
          slices: [
            keep(createParams(gpu, MATRIX_PARAMS, {
              rows,
              firstRow,
              queries,
              blockRows,
              blockCount,
              stride,
              words,
            })),
            q,
            k,
            w,
            blocks,
            bits,
            scores,
          ],
          workgroups: [seen, Math.ceil(queries / CANDIDATE_QUERIES), 1],
          flops: candidateFlops(options, strip),
        }),
      ];
    },
    destroy,
  };
}

/** FLOP of the candidates of a strip, as if each query had as many as the last. */
function candidateFlops(
  { heads, dim, blockRows, blockCount }: CandidateOptions,
  { firstRow, endRow }: Strip,
): number {
  const seen = Math.min(blockRows * blockCount, Math.ceil(endRow / blockRows) * blockRows);
  return 2 * dim * heads * seen * (endRow - firstRow);
}

/** A candidate a thread. */
async function createPortableScores(
  gpu: Gpu,
  options: CandidateOptions,
): Promise<CandidateScores> {
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
    bind: ({ q, k, w, blocks, scores, stride }, strip) => {
      const { firstRow, endRow } = strip;
      const uniform = own(
        createParams(gpu, SCORE_PARAMS, { rows, firstRow, blockRows, blockCount, stride }),
      );
      const seen = Math.min(blockRows * blockCount, (Math.ceil(endRow / blockRows)) * blockRows);
      const dispatch = bindDispatch(gpu, pipeline, {
        slices: [slice(uniform), q, k, w, blocks, scores],
        workgroups: [Math.ceil(seen / 128), endRow - firstRow, 1],
        flops: candidateFlops(options, strip),
      });
      return [dispatch];
    },
    destroy,
  };
}
