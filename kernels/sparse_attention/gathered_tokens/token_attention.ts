/**
 * Attention over gathered tokens, forward and backward: each query attends to the tokens of its
 * list, which all heads share.
 *
 * Shapes: Q, O, dO, dQ `[heads, N, d]`; K, V, dK, dV `[kvHeads, N, d]`; log-sum-exp and delta
 * `[heads, N]` f32; lists i32 `[queries, width]` in blocks of queries, ascending, padded with -1.
 *
 * Numerics: f16 or f32 storage, all products and sums f32; forward on matrix units f16 products and
 * weights rounded to f16, as in dense attention. dK and dV of a token add up the queries that list
 * it, ascending, and of each query its heads: lists become rows of bits, one strip of keys at a
 * time. No float atomics; the same bits every time.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import clearCode from "./clear_words.wgsl" with { type: "text" };
import markCode from "./mark_tokens.wgsl" with { type: "text" };
import { whyNoMatrixUnits } from "../../dense_attention/matrix/dense_matrix.ts";
import { bindDelta } from "../../dense_attention/delta_pass.ts";
import { planDenseBackward } from "../../dense_attention/dense_attention_backward.ts";
import type { DenseBackwardBuffers } from "../../dense_attention/types.ts";
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { groupOf } from "../../key_heads.ts";
import { generateTokenForward, generateTokenQuery } from "./token_codegen.ts";
import { generateTokenKeyValue } from "./token_key_value_codegen.ts";
import { generateTokenMatrix, whyNoTokenMatrix } from "./token_matrix_codegen.ts";
import { type TokenProgram, tokenWorkgroupBytes } from "./token_parts_codegen.ts";

const LIST_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  listRow: "u32",
  width: "u32",
  blockRows: "u32",
  blockCount: "u32",
  scale: "f32",
} as const;
const KEY_PARAMS = {
  rows: "u32",
  firstKey: "u32",
  stripKey: "u32",
  words: "u32",
  scale: "f32",
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

/** Maximum bytes of the bits of a strip of keys. */
const STRIP_BYTES = 64 * 2 ** 20;

/** Queries of one dispatch: a device runs at least 65,535 workgroups of a dimension. */
const DISPATCH_ROWS = 32_768;

/** What to plan for: one block of heads. */
export interface TokenAttentionOptions {
  /** Query heads of the block. */
  readonly heads: number;
  /** Heads of keys and values of the block. Default: `heads`. */
  readonly kvHeads?: number;
  /** N. */
  readonly rows: number;
  /** d. */
  readonly headDim: number;
  /** Storage of all tensors. */
  readonly dtype: DType;
  /** Entries of a list. */
  readonly width: number;
  /** (query, key) pairs of one head. */
  readonly pairs: number;
  /** Lists hold tokens of that many blocks; it sets how long they are. Default: of all keys. */
  readonly candidates?: { readonly blockRows: number; readonly blockCount: number };
  /** Maximum FLOP of one dispatch. Default: never split for that reason. */
  readonly flopsPerDispatch?: number;
}

/** The kernels, before they are compiled. */
export interface TokenAttentionPlan extends TokenAttentionOptions {
  readonly variant: string;
  readonly backwardVariant: string;
  readonly pipelines: Readonly<
    Record<"forward" | "query" | "keyValue" | "clear" | "mark", PipelineSource>
  >;
  /** Keys whose bits are in memory at the same time. */
  readonly stripKeys: number;
  /** Bytes of the bits. */
  readonly bitBytes: number;
}

/**
 * Plans the kernels.
 *
 * @throws {RangeError} when the query heads of a key head do not fit workgroup memory.
 */
export function planTokenAttention(
  gpu: Pick<Gpu, "capabilities">,
  options: TokenAttentionOptions,
): TokenAttentionPlan {
  const { headDim, dtype, rows } = options;
  const group = groupOf(options);
  const { maxWorkgroupBytes, maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  const program = (pass: "forward" | "query" | "key-value"): TokenProgram => {
    const all = [16, 8, 4].map((tile) => ({ headDim, dtype, group, tile }));
    const found = all.find((one) => tokenWorkgroupBytes(pass, one) <= maxWorkgroupBytes);
    if (found) return found;
    const { bytes, limit } = showExcess(tokenWorkgroupBytes(pass, all[2]), maxWorkgroupBytes);
    throw new RangeError(
      `plan gathered tokens: ${showCount(group, "query head")} of a key head ` +
        `${group === 1 ? "needs" : "need"} ${bytes} of workgroup memory; ` +
        `the device's limit is ${limit}`,
    );
  };
  const missing = whyNoMatrixUnits(gpu.capabilities) ??
    whyNoTokenMatrix({ group, headDim, dtype, rows });
  const forward = missing ? program("forward") : undefined;
  const types = `G=${group} d=${headDim} ${dtype}`;
  const words = Math.ceil(rows / 32);
  const most = Math.min(STRIP_BYTES, maxBindingBytes, maxBufferBytes);
  const stripKeys = Math.max(1, Math.min(rows, DISPATCH_ROWS, Math.floor(most / (4 * words))));
  const reads = (count: number) => Array<"read">(count).fill("read");
  return {
    ...options,
    variant: forward
      ? `portable, ${forward.tile} tokens × ${group} heads`
      : `matrix units, 16 tokens × ${group} heads`,
    backwardVariant: `portable, ${program("query").tile} tokens × ${group} heads`,
    pipelines: {
      forward: {
        label: `gathered tokens${forward ? "" : " on matrix units"} ${types}`,
        code: forward ? generateTokenForward(forward) : generateTokenMatrix({ headDim, group }),
        bindings: ["uniform", ...reads(4), "read-write", "read-write"],
      },
      query: {
        label: `gathered tokens backward, queries, ${types}`,
        code: generateTokenQuery(program("query")),
        bindings: ["uniform", ...reads(7), "read-write"],
      },
      keyValue: {
        label: `gathered tokens backward, keys and values, ${types}`,
        code: generateTokenKeyValue(program("key-value")),
        bindings: ["uniform", ...reads(7), "read-write", "read-write"],
      },
      clear: { label: "clear words", code: clearCode, bindings: ["uniform", "read-write"] },
      mark: { label: "mark tokens", code: markCode, bindings: ["uniform", "read", "read-write"] },
    },
    stripKeys,
    bitBytes: stripKeys * words * 4,
  };
}

/** Lists of some consecutive queries, `[rows, width]` i32. */
export interface ListBlock {
  readonly firstRow: number;
  readonly rows: number;
  readonly data: BufferSlice;
}

/** Ranges of queries that one dispatch computes, within blocks of lists. */
function rangesOf(
  lists: readonly ListBlock[],
  most: number,
): { firstRow: number; count: number; list: ListBlock }[] {
  return lists.flatMap((list) =>
    Array.from({ length: Math.ceil(list.rows / most) }, (_, i) => ({
      firstRow: list.firstRow + i * most,
      count: Math.min(most, list.rows - i * most),
      list,
    }))
  );
}

/** The forward pass, compiled. */
export interface TokenForward {
  readonly bind: (
    buffers: Record<"q" | "k" | "v" | "o" | "lse", BufferSlice>,
    lists: readonly ListBlock[],
  ) => Dispatch[];
  readonly destroy: () => void;
}

function rowsPerDispatch(plan: TokenAttentionPlan, products: number): number {
  const { flopsPerDispatch: limit, heads, headDim, width } = plan;
  const perRow = 2 * products * headDim * heads * width;
  return Math.max(1, Math.min(DISPATCH_ROWS, limit ? Math.floor(limit / perRow) : Infinity));
}

/** The uniform of a range of queries. */
function listUniform(
  gpu: Gpu,
  plan: TokenAttentionPlan,
  { firstRow, list }: { firstRow: number; list: ListBlock },
): GPUBuffer {
  const { rows, width, candidates, headDim } = plan;
  return createParams(gpu, LIST_PARAMS, {
    rows,
    firstRow,
    listRow: list.firstRow,
    width,
    blockRows: candidates?.blockRows ?? 0,
    blockCount: candidates?.blockCount ?? 0,
    scale: Math.LOG2E / Math.sqrt(headDim),
  });
}

/** Compiles the forward pass. */
export async function createTokenForward(
  gpu: Gpu,
  plan: TokenAttentionPlan,
): Promise<TokenForward> {
  const pipeline = await createPipeline(gpu, plan.pipelines.forward);
  const { own, destroy } = collectOwned();
  const { heads, kvHeads = heads, pairs, headDim, rows } = plan;
  return {
    bind: ({ q, k, v, o, lse }, lists) =>
      rangesOf(lists, rowsPerDispatch(plan, 2)).map((range) =>
        bindDispatch(gpu, pipeline, {
          slices: [
            slice(own(listUniform(gpu, plan, range))),
            q,
            k,
            v,
            range.list.data,
            o,
            lse,
          ],
          workgroups: [range.count, kvHeads, 1],
          flops: 4 * headDim * heads * pairs * range.count / rows,
        })
      ),
    destroy,
  };
}

/** The backward passes, compiled. */
export interface TokenBackward {
  readonly bind: (
    buffers: Omit<DenseBackwardBuffers, "firstHead">,
    lists: readonly ListBlock[],
  ) => Dispatch[];
  readonly destroy: () => void;
}

/**
 * Compiles the backward passes: delta, dQ, then dK and dV by strips of keys.
 *
 * @throws {MemoryError} when the device has no room for the bits of a strip.
 */
export async function createTokenBackward(
  gpu: Gpu,
  plan: TokenAttentionPlan,
): Promise<TokenBackward> {
  const { heads, kvHeads = heads, rows, headDim, dtype, width, pairs, stripKeys } = plan;
  const deltaPlan = planDenseBackward(gpu, { heads, rows, headDim, dtype, kernel: "portable" });
  const [delta, query, keyValue, clear, mark] = await Promise.all([
    createPipeline(gpu, deltaPlan.pipelines.delta),
    createPipeline(gpu, plan.pipelines.query),
    createPipeline(gpu, plan.pipelines.keyValue),
    createPipeline(gpu, plan.pipelines.clear),
    createPipeline(gpu, plan.pipelines.mark),
  ]);
  const { own, destroy } = collectOwned();
  try {
    const bits = slice(own(
      await createStorageBuffer(gpu, plan.bitBytes, { label: "queries of tokens" }),
    ));
    const first = own(bindDelta(gpu, { plan: deltaPlan, delta }));
    const scale = Math.LOG2E / Math.sqrt(headDim);
    const words = Math.ceil(rows / 32);
    const flopsOf = (products: number, part: number) =>
      2 * products * headDim * heads * pairs * part;
    const clearStrip = (keys: number) => {
      const groups = Math.ceil(keys * words / 256);
      const x = Math.min(groups, DISPATCH_ROWS);
      const uniform = own(createParams(gpu, CLEAR_PARAMS, { words: keys * words, width: x * 256 }));
      return bindDispatch(gpu, clear, {
        slices: [slice(uniform), bits],
        workgroups: [x, Math.ceil(groups / x), 1],
      });
    };
    const markStrip = (firstKey: number, keys: number, lists: readonly ListBlock[]) =>
      rangesOf(lists, DISPATCH_ROWS).filter(({ firstRow, count }) => firstRow + count > firstKey)
        .map(({ firstRow, count, list }) =>
          bindDispatch(gpu, mark, {
            slices: [
              slice(own(createParams(gpu, MARK_PARAMS, {
                firstRow,
                listRow: list.firstRow,
                width,
                firstKey,
                keys,
                words,
              }))),
              list.data,
              bits,
            ],
            workgroups: [count, 1, 1],
          })
        );
    return {
      bind: (b, lists) => {
        const inputs = [b.q, b.k, b.v, b.outputGradient, b.lse, b.delta];
        const queries = rangesOf(lists, rowsPerDispatch(plan, 3)).map((range) =>
          bindDispatch(gpu, query, {
            slices: [
              slice(own(listUniform(gpu, plan, range))),
              ...inputs,
              range.list.data,
              b.queryGradient,
            ],
            workgroups: [range.count, kvHeads, 1],
            flops: flopsOf(3, range.count / rows),
          })
        );
        const keys: Dispatch[] = [];
        for (let firstKey = 0; firstKey < rows; firstKey += stripKeys) {
          const count = Math.min(stripKeys, rows - firstKey);
          keys.push(clearStrip(count), ...markStrip(firstKey, count, lists));
          const most = Math.max(1, Math.min(count, rowsPerDispatch(plan, 4)));
          for (let at = 0; at < count; at += most) {
            const part = Math.min(most, count - at);
            const uniform = own(createParams(gpu, KEY_PARAMS, {
              rows,
              firstKey: firstKey + at,
              stripKey: firstKey,
              words,
              scale,
            }));
            keys.push(bindDispatch(gpu, keyValue, {
              slices: [
                slice(uniform),
                ...inputs,
                bits,
                b.keyGradient,
                b.valueGradient,
              ],
              workgroups: [part, kvHeads, 1],
              flops: flopsOf(4, part / rows),
            }));
          }
        }
        return [first.bind(b), ...queries, ...keys];
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
