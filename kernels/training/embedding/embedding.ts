/**
 * Embedding: the rows of a table at tokens, in f32, the beginning of the residual stream. The
 * gradient is `embedding_backward.ts`.
 *
 * Shapes: tokens u32 `[rows]`, each below the vocabulary; table f32 `[vocabulary, columns]`; x f32
 * `[rows, columns]`. Columns are a multiple of 8. A copy: bits are kept.
 *
 * @module
 */
import code from "./embedding.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";

const PARAMS = { quads: "u32", vocabulary: "u32", gridWidth: "u32" } as const;

/** What to plan for. */
export interface EmbeddingOptions {
  /** Tokens. */
  readonly rows: number;
  /** V. */
  readonly vocabulary: number;
  /** Width of the model; a multiple of 8. */
  readonly columns: number;
}

/** The plan. */
export type EmbeddingPlan = PassPlan<EmbeddingBindings, typeof PARAMS>;

/** Buffers. */
export interface EmbeddingBindings {
  /** u32 `[rows]`. */
  readonly tokens: BufferSlice;
  /** f32 `[vocabulary, columns]`. */
  readonly table: BufferSlice;
  /** f32 `[rows, columns]`, written. */
  readonly x: BufferSlice;
}

/**
 * Checks the sizes of an embedding.
 *
 * @throws {RangeError} naming the value that is out of range.
 */
export function requireEmbedding(action: string, options: EmbeddingOptions): void {
  const { rows, vocabulary, columns } = options;
  requireWhole(action, "rows", rows, { most: 2 ** 31 });
  requireWhole(action, "vocabulary", vocabulary, { most: 2 ** 24 });
  requireWhole(action, "columns", columns);
  requireWhole(action, "rows * columns", rows * columns, { most: 2 ** 32 - 1 });
  if (columns % 8 !== 0) {
    throw new RangeError(`${action}: columns ${columns} is not a multiple of 8`);
  }
}

/** Least bytes: tokens and the rows read, x written. */
export function embeddingBytes({ rows, columns }: EmbeddingOptions): number {
  return rows * (4 + 8 * columns);
}

/** Plans an embedding. */
export function planEmbedding(options: EmbeddingOptions): EmbeddingPlan {
  requireEmbedding("plan embedding", options);
  const { rows, vocabulary, columns } = options;
  const quads = rows * columns / 4;
  const [x, y] = foldGrid(Math.ceil(quads / 256));
  return {
    pipeline: {
      label: "embedding",
      bindings: ["read", "read", "read-write", "uniform"],
      code: `${code}\nconst columns = ${columns / 4}u;\n`,
    },
    layout: PARAMS,
    params: { quads, vocabulary, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: { tokens: rows * 4, table: vocabulary * columns * 4, x: rows * columns * 4 },
  };
}

/** Compiles an embedding. */
export function createEmbedding(gpu: Gpu, plan: EmbeddingPlan): Promise<Pass<EmbeddingBindings>> {
  return createPass<EmbeddingBindings>(gpu, plan);
}
