/**
 * What the kernels of a last row share: rows of whole 16-byte words, chunks of them, one for each
 * workgroup, and partial sums of a chunk.
 *
 * @module
 */
import type { DType } from "../gpu/buffers.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { wordsPerRow } from "../lighthouse/rows.ts";

/** Workgroups that keep a large device busy; more would only add partial sums. */
const WORKGROUPS = 4096;

/** Rows of a workgroup, a multiple of 64, if a dispatch has so many rows in all. */
export function chunkRowsOf(rows: number): number {
  return Math.max(256, Math.ceil(rows / WORKGROUPS / 64) * 64);
}

/**
 * 16-byte words of a row.
 *
 * @throws {RangeError} naming the action, unless they are a power of two up to 64.
 */
export function requireQuads(
  action: string,
  { headDim, dtype }: { readonly headDim: number; readonly dtype: DType },
): number {
  const quads = wordsPerRow(headDim, dtype);
  if (Number.isInteger(Math.log2(quads)) && quads <= 64) return quads;
  throw new RangeError(
    `${action}: headDim ${headDim} in ${dtype} is ${quads} 16-byte words, ` +
      `a power of two up to 64 is needed`,
  );
}

/** WGSL: sizes of a row, and how a cell goes to the partial sums. */
export function generatePartials(
  { headDim, dtype, quads }: {
    readonly headDim: number;
    readonly dtype: DType;
    readonly quads: number;
  },
): string {
  const storeCell = dtype === "f16"
    ? ["storeFour(at, x[0]);", "storeFour(at + 4u, x[1]);"]
    : ["storeFour(at, x);"];
  return wgsl`

    const QUADS = ${quads}u;
    const ELEMENTS = ${headDim / quads}u;
    fn storeFour(at: u32, x: vec4f) {
      partials[at] = x.x;
      partials[at + 1u] = x.y;
      partials[at + 2u] = x.z;
      partials[at + 3u] = x.w;
    }
    fn storeCell(at: u32, x: Cell) {
      ${storeCell}
    }
  `;
}
