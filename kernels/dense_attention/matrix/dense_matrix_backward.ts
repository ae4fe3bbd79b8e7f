/**
 * The schedule of the backward passes on matrix units (`dense_matrix_backward_codegen.ts`).
 *
 * The gradients of scores (dS) are computed once and passed on in a buffer that holds one rectangle
 * of them: some queries times some keys, of all heads of a group. Rectangles are ordered by key,
 * then by query. Sums of dK and dV continue across the rectangles of the same keys, sums of dQ
 * across all rectangles, in f32. Sequences that fit one rectangle need no partial sums.
 *
 * Each rectangle takes two dispatches, keys and values first. Large rectangles keep the device busy
 * and the partial sums rare: at 8,192 × 8,192 these add a tenth to the bytes of dS.
 *
 * @module
 */
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  type Dispatch,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Pipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { groupOf } from "../../key_heads.ts";
import type { MatrixBackwardTiling, MatrixBackwardTilings } from "../tilings.ts";
import type { WalkBuffers } from "../tile_walk.ts";
import type { DenseBackwardBuffers } from "../types.ts";
import { matrixTileRows } from "./matrix_layout.ts";
import type { MatrixBackwardSchedule } from "./matrix_schedule.ts";
import { createSumParts } from "./matrix_sum_parts.ts";

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

/** The same with a walk. */
export const WALKED_PARAMS = {
  ...PARAMS,
  parts: "u32",
  partQueries: "u32",
  carried: "u32",
  complete: "u32",
} as const;

/**
 * Buffers between the passes of one schedule. Kernels that do not run at the same time may share
 * them.
 */
export interface MatrixBackwardScratch {
  /** dS; f16 `[group heads, keys / 16, queries / 16, 16, 16]`. */
  readonly scoreGradients: BufferSlice;
  /** Exponents of the factors of dS; f32 `[group heads, workgroups of keys]`. */
  readonly exponents: BufferSlice;
  /** f32 `[2, group heads, keys, d]`. */
  readonly keyPartials: BufferSlice;
  /** f32 `[group heads, N, d]`, N rounded up. */
  readonly queryPartials: BufferSlice;
  /** dO divided by its scales, f16 `[heads, N, d]`; only if dO is f32. */
  readonly scaledGradients?: BufferSlice;
  /** Classes of the scales, a bit for each: u32 `[heads, N / 16]`, rounded up. */
  readonly classMasks?: BufferSlice;
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
      ...bytes.scaledGradients !== undefined && bytes.classMasks !== undefined && {
        scaledGradients: await create("scaled output gradients", bytes.scaledGradients),
        classMasks: await create("classes of output gradients", bytes.classMasks),
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Whether buffers allocated for one schedule are large enough for another. */
export function hasRoom(
  scratch: MatrixBackwardScratch,
  { bytes }: Pick<MatrixBackwardSchedule, "bytes">,
): boolean {
  return Object.entries(bytes).every(([name, size]) =>
    (scratch[name as keyof typeof bytes]?.size ?? 0) >= size
  );
}

/** The scaled f16 copy of dO and the classes of its scales, for a schedule whose dO is f32. */
export function scaledOf(
  { scaledGradients, classMasks }: MatrixBackwardScratch,
  { bytes }: MatrixBackwardSchedule,
): { readonly gradients: BufferSlice; readonly masks: BufferSlice } | undefined {
  if (bytes.scaledGradients === undefined || !scaledGradients || !classMasks) return undefined;
  return { gradients: scaledGradients, masks: classMasks };
}

/** One dispatch of a pass: its parameters and its size. */
interface PassLaunch {
  readonly uniform: GPUBuffer;
  readonly workgroups: readonly [number, number, number];
}

/**
 * Dispatches of a schedule, by pass: rectangle i of both passes before rectangle i + 1 of either.
 */
export function createMatrixBinding(
  gpu: Gpu,
  options: {
    readonly heads: number;
    readonly kvHeads?: number;
    readonly rows: number;
    readonly scale: number;
    /** FLOP of one product over all heads. */
    readonly productFlops: number;
    readonly schedule: MatrixBackwardSchedule;
    readonly pipelines: {
      readonly query: Pipeline;
      readonly keyValue: Pipeline;
      readonly sum?: Pipeline;
    };
    readonly headDim: number;
    readonly scratch: MatrixBackwardScratch;
    readonly walks?: Record<keyof MatrixBackwardTilings, WalkBuffers>;
  },
): {
  bind: (buffers: Omit<DenseBackwardBuffers, "o">) => {
    query: Dispatch[];
    keyValue: Dispatch[];
    inOrder: Dispatch[];
  };
  destroy: () => void;
} {
  const { heads, rows, scale, productFlops, schedule, pipelines, scratch, walks } = options;
  const { headDim } = options;
  const group = groupOf(options);
  const { tilings, groupHeads, keys, queries, paddedRows, rectangles } = schedule;
  const scaled = scaledOf(scratch, schedule);
  const allPairs = rectangles.reduce((sum, { pairs }) => sum + pairs, 0);
  const launches: {
    readonly flops: number;
    readonly keyValue: PassLaunch;
    readonly query: PassLaunch;
    readonly sum?: ReturnType<typeof createSumParts>;
  }[] = [];
  for (let firstHead = 0; firstHead < heads; firstHead += groupHeads) {
    const count = Math.min(groupHeads, heads - firstHead);
    for (const rectangle of rectangles) {
      const { firstKey, endKey, firstQuery, endQuery, pairs, parts = 1 } = rectangle;
      const { carried, complete } = rectangle;
      const { partQueries = queries } = rectangle;
      const [ownKeys, ownQueries] = parts > 1 ? [endKey, paddedRows] : [keys, queries];
      const uniform = (partialRows: number) => {
        const values = {
          rows,
          scale: scale * Math.LOG2E,
          firstKey,
          endKey,
          firstQuery,
          endQuery,
          keyBlocks: ownKeys / 16,
          queryBlocks: ownQueries / 16,
          partialRows,
          firstHead,
        };
        return walks
          ? createParams(gpu, WALKED_PARAMS, {
            ...values,
            parts,
            partQueries,
            carried,
            complete: Number(complete),
          })
          : createParams(gpu, PARAMS, values);
      };
      const groups = (count: number, tiling: MatrixBackwardTiling) =>
        Math.ceil(count / matrixTileRows(tiling));
      // Without pairs, only the start or the end of sums remains to be done.
      const keyCount = pairs > 0 || complete ? count : 0;
      const queryCount = pairs > 0 || firstKey === 0 ? count : 0;
      launches.push({
        flops: productFlops * (count / heads) * (pairs / allPairs),
        keyValue: {
          uniform: uniform(ownKeys),
          workgroups: [keyCount, groups(endKey - firstKey, tilings.keyValue) * parts, 1] as const,
        },
        query: {
          uniform: uniform(paddedRows),
          workgroups: [queryCount, groups(endQuery - firstQuery, tilings.query), 1] as const,
        },
        ...(parts > 1 || (group > 1 && complete)) && pipelines.sum && {
          sum: createSumParts(gpu, pipelines.sum, {
            rows,
            headDim,
            scale,
            keys: endKey - firstKey,
            ...group > 1 && { firstKey },
            parts,
            partialRows: ownKeys,
            heads: count / group,
            firstHead: firstHead / group,
          }),
        },
      });
    }
  }
  return {
    bind: (t) => {
      const keyValue = launches.map(({ flops, keyValue: { uniform, workgroups } }) =>
        bindDispatch(gpu, pipelines.keyValue, {
          slices: [
            t.q,
            t.k,
            t.v,
            scaled ? scaled.gradients : t.outputGradient,
            t.lse,
            t.delta,
            ...scaled ? [scaled.masks] : [],
            t.keyGradient,
            t.valueGradient,
            scratch.scoreGradients,
            scratch.exponents,
            scratch.keyPartials,
            slice(uniform),
            ...walks?.keyValue.slices(t.firstHead ?? 0) ?? [],
          ],
          workgroups,
          flops: 4 * flops,
        })
      );
      const query = launches.map(({ flops, query: { uniform, workgroups } }) =>
        bindDispatch(gpu, pipelines.query, {
          slices: [
            t.k,
            scratch.scoreGradients,
            scratch.exponents,
            ...scaled ? [t.delta] : [],
            t.queryGradient,
            scratch.queryPartials,
            slice(uniform),
            ...walks?.query.slices(t.firstHead ?? 0) ?? [],
          ],
          workgroups,
          flops,
        })
      );
      const sums = launches.map(({ sum }) =>
        sum ? [sum.bind(scratch.keyPartials, t.keyGradient, t.valueGradient)] : []
      );
      return {
        query,
        keyValue: keyValue.flatMap((dispatch, i) => [dispatch, ...sums[i]]),
        inOrder: keyValue.flatMap((dispatch, i) => [dispatch, ...sums[i], query[i]]),
      };
    },
    destroy: () =>
      launches.forEach(({ query, keyValue, sum }) => {
        query.uniform.destroy();
        keyValue.uniform.destroy();
        sum?.destroy();
      }),
  };
}
