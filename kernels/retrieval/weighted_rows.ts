/**
 * The last row of an attention layer whose keys the host chose: sums of rows of V, each times a
 * weight. What sparse layers attend to differs; the sum is the same.
 *
 * Shapes: V `[heads, N, d]` in one block; lists `[heads, width]`; results float64.
 *
 * Numerics: weights and sums of a chunk f32, chunks added in float64. Output rows are not rounded
 * to the storage type.
 *
 * @module
 */
import code from "./weighted_rows.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type Dispatch,
  type DType,
  requireBytes,
  slice,
  writeBuffer,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { requireDType, requireWhole } from "../gpu/require.ts";
import { createParams } from "../gpu/uniform.ts";
import { cellCode } from "../lighthouse/rows.ts";
import { chunkRowsOf, generatePartials, requireQuads } from "./partial_rows.ts";

const PARAMS = { context: "u32", width: "u32", chunks: "u32", chunkRows: "u32" } as const;

/** The rows that the last query of a head attends to, and the weight of each. */
export interface WeightedList {
  /** Rows of V. */
  readonly rows: ArrayLike<number>;
  /** As many weights. */
  readonly weights: ArrayLike<number>;
}

/** Options of {@linkcode createWeightedRows}. */
export interface WeightedRowsOptions {
  /** Heads of V. */
  readonly heads: number;
  /** N. */
  readonly context: number;
  /** d, whose row is a power of two of 16-byte words, at most 64. */
  readonly headDim: number;
  /** Type of V. */
  readonly dtype: DType;
  /** Entries of the longest list. */
  readonly width: number;
}

/** A compiled kernel with its buffers. */
export interface WeightedRows {
  /** The dispatch over V. */
  readonly dispatch: Dispatch;
  /** Partial sums, for {@linkcode WeightedRows.outputs}. */
  readonly partials: BufferSlice;
  /**
   * Queues the lists of all heads for the next run.
   *
   * @throws {RangeError} when a list is longer than the width, or has another number of weights.
   */
  readonly write: (lists: readonly WeightedList[]) => void;
  /** The rows `[heads][d]` from the bytes of the partial sums. */
  readonly outputs: (partials: Float32Array) => Float64Array[];
  readonly destroy: () => void;
}

/**
 * Compiles the kernel and allocates its buffers.
 *
 * @throws {RangeError} naming the size and the limit.
 */
export async function createWeightedRows(
  gpu: Gpu,
  { heads, context, headDim, dtype, width }: WeightedRowsOptions,
  v: BufferSlice,
): Promise<WeightedRows> {
  const action = "sum weighted rows";
  for (const [name, value] of Object.entries({ heads, context, headDim, width })) {
    requireWhole(action, name, value);
  }
  requireDType(action, dtype);
  const quads = requireQuads(action, { headDim, dtype });
  requireBytes(`${action}: v`, v, heads * context * headDim * bytesPerElement(dtype));
  const chunkRows = chunkRowsOf(heads * width);
  const chunks = Math.ceil(width / chunkRows);
  const pipeline = await createPipeline(gpu, {
    label: "weighted rows",
    code: `${code}${cellCode(dtype)}${generatePartials({ headDim, dtype, quads })}`,
    bindings: ["read", "read", "read-write", "uniform"],
  });
  const { own, destroy } = collectOwned();
  try {
    const buffer = async (label: string, bytes: number) => ({
      ...slice(own(await createStorageBuffer(gpu, bytes, { label: `weighted rows ${label}` }))),
      size: bytes,
    });
    const entries = await buffer("entries", heads * width * 8);
    const partials = await buffer("partials", heads * chunks * headDim * 4);
    const params = slice(own(createParams(gpu, PARAMS, { context, width, chunks, chunkRows })));
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [v, entries, partials, params],
      workgroups: [chunks, heads, 1],
      flops: 2 * heads * width * headDim,
    });
    return {
      dispatch,
      partials,
      write: (lists) => {
        const bytes = new ArrayBuffer(heads * width * 8);
        const [rows, weights] = [new Uint32Array(bytes), new Float32Array(bytes)];
        for (const [head, list] of lists.entries()) {
          if (list.rows.length > width || list.rows.length !== list.weights.length) {
            throw new RangeError(
              `${action}: a list of ${list.rows.length} rows and ${list.weights.length} weights; ` +
                `the width is ${width}`,
            );
          }
          for (let i = 0; i < list.rows.length; i++) {
            const at = 2 * (head * width + i);
            rows[at] = list.rows[i];
            weights[at + 1] = list.weights[i];
          }
        }
        writeBuffer(gpu, entries, rows);
      },
      outputs: (sums) =>
        Array.from({ length: heads }, (_, head) => {
          const output = new Float64Array(headDim);
          for (let chunk = 0; chunk < chunks; chunk++) {
            const at = (head * chunks + chunk) * headDim;
            for (let c = 0; c < headDim; c++) output[c] += sums[at + c];
          }
          return output;
        }),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
