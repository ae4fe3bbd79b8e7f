/**
 * The order of work of the backward passes on matrix units (`dense_matrix_backward_codegen.ts`).
 *
 * The gradients of scores (dS) are computed once and passed on in a buffer, which holds a rectangle of
 * them: some queries times some keys, of all heads of a group. Rectangles are ordered by key, then by
 * query. Sums of dK and dV continue from one rectangle to the next of the same keys, sums of dQ over all
 * rectangles, in f32. Sequences that fit one rectangle need none of these partial sums.
 *
 * Each rectangle takes two dispatches, keys and values first. Large rectangles keep the device busy and
 * the partial sums rare: at 8,192 × 8,192 these add a tenth to the bytes of dS.
 *
 * @module
 */
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Capabilities, Gpu } from "../../gpu/device.ts";
import type { Pipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { MatrixBackwardTiling, MatrixBackwardTilings } from "../tilings.ts";
import type { DenseBackwardBuffers } from "../types.ts";
import { matrixTileRows } from "./matrix_layout.ts";
import { showExcess } from "../../gpu/bytes.ts";

/** Parameters of both passes. */
const PARAMS = {
  rows: "u32",
  scale: "f32",
  firstKey: "u32",
  endKey: "u32",
  firstQuery: "u32",
  endQuery: "u32",
  keyBlocks: "u32",
  queryBlocks: "u32",
  partialRows: "u32",
  firstHead: "u32",
} as const;

/** Most bytes of dS: more was not faster on an H100. */
const MOST_SCORE_BYTES = 2 ** 30;

/** Bytes of one f32 matrix, the least that may be bound where a shader loads one. */
const LEAST_BYTES = 16 * 16 * 4;

/** Queries and keys whose dS are in the buffer at a time; ends are exclusive. */
export interface ScoreRectangle {
  /** The first key. */
  readonly firstKey: number;
  /** Past the last key. */
  readonly endKey: number;
  /** The first query. */
  readonly firstQuery: number;
  /** Past the last query. */
  readonly endQuery: number;
  /** Pairs of a query and a key that it sees. */
  readonly pairs: number;
}

/** The order of work, and the memory that it takes. */
export interface MatrixBackwardSchedule {
  /** Tilings of the two kernels. */
  readonly tilings: MatrixBackwardTilings;
  /** Heads that share a rectangle. */
  readonly groupHeads: number;
  /** Keys of a whole rectangle. */
  readonly keys: number;
  /** Queries of a whole rectangle. */
  readonly queries: number;
  /** N, rounded up to whole tiles of both passes. */
  readonly paddedRows: number;
  /** In order, for each group of heads. */
  readonly rectangles: readonly ScoreRectangle[];
  /** Bytes of buffers between the passes. */
  readonly bytes: {
    readonly scoreGradients: number;
    readonly exponents: number;
    readonly keyPartials: number;
    readonly queryPartials: number;
    /** dO as matrix units multiply it, and its scales; where dO is f32. */
    readonly scaledGradients?: number;
    readonly gradientScales?: number;
  };
}

/**
 * Cuts a shape into rectangles.
 *
 * @param options `pairsAtMost`: pairs of a query and a key in one dispatch of one head; a rectangle has
 * at least one tile of each. `gradientType`: of dO and the results, f16 unless given.
 * @throws {RangeError} when one head's partial sums do not fit one binding.
 */
export function planMatrixSchedule(
  { maxBindingBytes, maxBufferBytes }: Pick<Capabilities, "maxBindingBytes" | "maxBufferBytes">,
  options: {
    readonly heads: number;
    readonly rows: number;
    readonly headDim: number;
    readonly tilings: MatrixBackwardTilings;
    readonly pairsAtMost?: number;
    readonly gradientType?: DType;
  },
): MatrixBackwardSchedule {
  const { heads, rows, headDim, tilings, pairsAtMost = Infinity, gradientType } = options;
  const limit = Math.min(maxBindingBytes, maxBufferBytes);
  const unit = [tilings.query, tilings.keyValue].flatMap((tiling) => [
    matrixTileRows(tiling),
    tiling.tileColumns,
  ]).reduce(leastCommonMultiple);
  const padded = Math.ceil(rows / unit) * unit;
  const cut = (groupHeads: number) => {
    const scores = Math.min(
      Math.floor(Math.min(limit, MOST_SCORE_BYTES) / 2 / groupHeads),
      pairsAtMost,
    );
    const down = (count: number) => Math.max(unit, Math.floor(count / unit) * unit);
    const keys = Math.min(padded, down(Math.sqrt(scores)));
    return { groupHeads, keys, queries: Math.min(padded, down(scores / keys)) };
  };
  let { groupHeads, keys, queries } = cut(heads);
  const partialBytes = padded * headDim * 4;
  if (keys < padded) {
    const most = Math.floor(limit / partialBytes);
    if (most < 1) {
      const sizes = showExcess(partialBytes, limit);
      throw new RangeError(
        `plan dense attention backward on matrix units: partial sums of one head need a binding ` +
          `of ${sizes.bytes}; the limit is ${sizes.limit}`,
      );
    }
    ({ groupHeads, keys, queries } = cut(Math.ceil(heads / Math.ceil(heads / most))));
  }
  const rectangles: ScoreRectangle[] = [];
  for (let firstKey = 0; firstKey < rows; firstKey += keys) {
    const endKey = Math.min(firstKey + keys, rows);
    // The queries before the first key see none of them.
    for (let firstQuery = firstKey; firstQuery < rows;) {
      const endQuery = Math.min(firstQuery + queries, rows);
      rectangles.push({
        firstKey,
        endKey,
        firstQuery,
        endQuery,
        pairs: causalPairs({ firstKey, endKey, firstQuery, endQuery }),
      });
      firstQuery = endQuery;
    }
  }
  const whole = rectangles.length === 1;
  return {
    tilings,
    groupHeads,
    keys,
    queries,
    paddedRows: padded,
    rectangles,
    bytes: {
      scoreGradients: groupHeads * keys * queries * 2,
      exponents: Math.max(16, groupHeads * keys / 16 * 4),
      keyPartials: whole ? LEAST_BYTES : 2 * groupHeads * keys * headDim * 4,
      queryPartials: whole ? LEAST_BYTES : groupHeads * partialBytes,
      ...gradientType === "f32" && {
        scaledGradients: heads * rows * headDim * 2,
        gradientScales: heads * Math.ceil(rows / 16) * 4,
      },
    },
  };
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => y === 0 ? x : divisor(y, x % y);
  return a / divisor(a, b) * b;
}

function causalPairs(
  { firstKey, endKey, firstQuery, endQuery }: Omit<ScoreRectangle, "pairs">,
): number {
  const whole = Math.max(0, Math.min(endKey, firstQuery) - firstKey);
  const from = Math.max(firstKey, firstQuery);
  const rest = Math.max(0, endKey - from); // keys from, …, endKey - 1: endQuery - key queries each
  return whole * (endQuery - firstQuery) + rest * (endQuery - from) - rest * (rest - 1) / 2;
}

/** Buffers between the passes of one schedule. Kernels that do not run at once may share them. */
export interface MatrixBackwardScratch {
  /** dS; f16 `[group heads, keys / 16, queries / 16, 16, 16]`. */
  readonly scoreGradients: BufferSlice;
  /** Exponents of what dS is multiplied by; f32 `[group heads, workgroups of keys]`. */
  readonly exponents: BufferSlice;
  /** f32 `[2, group heads, keys, d]`. */
  readonly keyPartials: BufferSlice;
  /** f32 `[group heads, N, d]`, N rounded up. */
  readonly queryPartials: BufferSlice;
  /** dO divided by its scales, f16 `[heads, N, d]`; where dO is f32. */
  readonly scaledGradients?: BufferSlice;
  /** The scales, powers of two, f32 `[heads, N / 16]`, rounded up. */
  readonly gradientScales?: BufferSlice;
  /** Frees them. */
  readonly destroy: () => void;
}

/**
 * Allocates the buffers between the passes.
 *
 * @throws {MemoryError} when the device has no room; nothing stays allocated then.
 */
export async function createMatrixScratch(
  gpu: Gpu,
  { bytes }: MatrixBackwardSchedule,
): Promise<MatrixBackwardScratch> {
  const made: GPUBuffer[] = [];
  const destroy = () => made.splice(0).forEach((buffer) => buffer.destroy());
  const create = async (label: string, size: number) => {
    const buffer = await createStorageBuffer(gpu, size, { label });
    made.push(buffer);
    return slice(buffer);
  };
  try {
    return {
      scoreGradients: await create("gradients of scores", bytes.scoreGradients),
      exponents: await create("exponents of gradients of scores", bytes.exponents),
      keyPartials: await create("partial sums of keys and values", bytes.keyPartials),
      queryPartials: await create("partial sums of queries", bytes.queryPartials),
      ...bytes.scaledGradients !== undefined && bytes.gradientScales !== undefined && {
        scaledGradients: await create("scaled output gradients", bytes.scaledGradients),
        gradientScales: await create("scales of output gradients", bytes.gradientScales),
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Whether buffers that were made for one schedule are large enough for another. */
export function hasRoom(
  scratch: MatrixBackwardScratch,
  { bytes }: Pick<MatrixBackwardSchedule, "bytes">,
): boolean {
  return Object.entries(bytes).every(([name, size]) =>
    (scratch[name as keyof typeof bytes]?.size ?? 0) >= size
  );
}

/** dO as matrix units multiply it, and its scales, for a schedule whose dO is f32. */
export function scaledOf(
  { scaledGradients, gradientScales }: MatrixBackwardScratch,
  { bytes }: MatrixBackwardSchedule,
): { readonly gradients: BufferSlice; readonly scales: BufferSlice } | undefined {
  if (bytes.scaledGradients === undefined || !scaledGradients || !gradientScales) return undefined;
  return { gradients: scaledGradients, scales: gradientScales };
}

/** One dispatch of a pass: its parameters and its size. */
interface PassLaunch {
  readonly uniform: GPUBuffer;
  readonly workgroups: readonly [number, number, number];
}

/** Dispatches of a schedule, by pass: rectangle i of both passes before rectangle i + 1 of any. */
export function createMatrixBinding(
  gpu: Gpu,
  options: {
    readonly heads: number;
    readonly rows: number;
    readonly scale: number;
    /** FLOP of one product over all heads. */
    readonly productFlops: number;
    readonly schedule: MatrixBackwardSchedule;
    readonly pipelines: { readonly query: Pipeline; readonly keyValue: Pipeline };
    readonly scratch: MatrixBackwardScratch;
  },
): {
  bind: (buffers: Omit<DenseBackwardBuffers, "o">) => { query: Dispatch[]; keyValue: Dispatch[] };
  destroy: () => void;
} {
  const { heads, rows, scale, productFlops, schedule, pipelines, scratch } = options;
  const { tilings, groupHeads, keys, queries, paddedRows, rectangles } = schedule;
  const scaled = scaledOf(scratch, schedule);
  const allPairs = rectangles.reduce((sum, { pairs }) => sum + pairs, 0);
  const launches: {
    readonly flops: number;
    readonly keyValue: PassLaunch;
    readonly query: PassLaunch;
  }[] = [];
  for (let firstHead = 0; firstHead < heads; firstHead += groupHeads) {
    const count = Math.min(groupHeads, heads - firstHead);
    for (const rectangle of rectangles) {
      const { firstKey, endKey, firstQuery, endQuery, pairs } = rectangle;
      const uniform = (partialRows: number) =>
        createParams(gpu, PARAMS, {
          rows,
          scale: scale * Math.LOG2E,
          firstKey,
          endKey,
          firstQuery,
          endQuery,
          keyBlocks: keys / 16,
          queryBlocks: queries / 16,
          partialRows,
          firstHead,
        });
      const groups = (count: number, tiling: MatrixBackwardTiling) =>
        Math.ceil(count / matrixTileRows(tiling));
      launches.push({
        flops: productFlops * (count / heads) * (pairs / allPairs),
        keyValue: {
          uniform: uniform(keys),
          workgroups: [count, groups(endKey - firstKey, tilings.keyValue), 1] as const,
        },
        query: {
          uniform: uniform(paddedRows),
          workgroups: [count, groups(endQuery - firstQuery, tilings.query), 1] as const,
        },
      });
    }
  }
  return {
    bind: (t) => ({
      keyValue: launches.map(({ flops, keyValue: { uniform, workgroups } }) =>
        bindDispatch(gpu, pipelines.keyValue, {
          slices: [
            t.q,
            t.k,
            t.v,
            scaled ? scaled.gradients : t.outputGradient,
            t.lse,
            t.delta,
            ...scaled ? [scaled.scales] : [],
            t.keyGradient,
            t.valueGradient,
            scratch.scoreGradients,
            scratch.exponents,
            scratch.keyPartials,
            slice(uniform),
          ],
          workgroups,
          flops: 4 * flops,
        })
      ),
      query: launches.map(({ flops, query: { uniform, workgroups } }) =>
        bindDispatch(gpu, pipelines.query, {
          slices: [
            t.k,
            scratch.scoreGradients,
            scratch.exponents,
            ...scaled ? [scaled.scales] : [],
            t.queryGradient,
            scratch.queryPartials,
            slice(uniform),
          ],
          workgroups,
          flops,
        })
      ),
    }),
    destroy: () =>
      launches.forEach(({ query, keyValue }) => {
        query.uniform.destroy();
        keyValue.uniform.destroy();
      }),
  };
}
