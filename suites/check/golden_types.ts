/**
 * Cases of golden vectors, as types.
 *
 * `deno task generate` writes this file from the schemas: edit them instead.
 *
 * @module
 */
import type { OpenRecord } from "../result/open_record.ts";

/** One selection case: scores in, gathered order out. */
export interface SelectionCase extends OpenRecord {
  /** Name of the case. */
  case: string;
  /** Context. */
  N: number;
  /** Levels. */
  L: number;
  /** Pooling factor. */
  p: number;
  /** Selection budget. */
  k: number;
  /** Heads. */
  H: number;
  /** Gathered rows of each head. */
  S: number;
  /** Seed of the first input; the others use the next ones. */
  seed: number;
  /** SHA-256 of the little-endian int32 indices `[H, S]`. */
  sha256: string;
  /** File with the indices themselves. */
  indices?: string;
}

/** One layer case: Q, K and V in, the layer's output (and gradients) out. */
export interface ForwardCase extends OpenRecord {
  /** Name of the case. */
  case: string;
  /** Context. */
  N: number;
  /** Levels. */
  L: number;
  /** Pooling factor. */
  p: number;
  /** Selection budget. */
  k: number;
  /** Heads. */
  H: number;
  /** Gathered rows of each head. */
  S: number;
  /** Seed of the first input; the others use the next ones. */
  seed: number;
  /** Head dimension. */
  D: number;
  /** Scorer that ranked the entries of the pyramid. */
  scorer: "norm" | "dilated" | "gla";
  /** δ of the dilated and gla scorers. */
  dilation?: number | null;
  /** SHA-256 of the little-endian int32 indices `[H, S]`. */
  idx_sha256: string;
  /** Rows that no entry covers. */
  zero_rows: number;
  /** Indices and output; other arrays, for example gradients, by name. */
  files: {
    /** Pyramid indices in gathered order, `[H, S]`. */
    idx: GoldenArray;
    /** Output, `[H, N, D]`. */
    out: GoldenArray;
    [name: string]: GoldenArray;
  };
}

/** A file of little-endian numbers and the shape of what it holds. */
export interface GoldenArray extends OpenRecord {
  /** Name in the folder of the manifest. */
  file: string;
  /** Sizes, outermost first. */
  shape: number[];
  /** Which rows of the context it holds. Default: all. */
  rows?: {
    /** The first row. */
    first: number;
    /** From one row to the next. */
    step: number;
    [unknown: string]: unknown;
  };
}

/** One case of a sparse attention: Q, K, V and dO in, output and gradients out. */
export interface BaselineCase extends OpenRecord {
  /** Name of the case. */
  case: string;
  /** Name of the implementation. */
  method: string;
  /** Context. */
  N: number;
  /** Heads. */
  H: number;
  /** Key heads. */
  kvHeads: number;
  /** Head dimension. */
  D: number;
  /** Seed of the first input; the others use the next ones. */
  seed: number;
  /** How each input is drawn: as generated, or rounded to halves. */
  inputs: Record<string, "raw" | "grid2">;
  /** Options of the layer. */
  options: Record<string, number>;
  /** `out`, `dq`, `dk`, `dv` `[heads, rows, D]`, `lse` `[H, rows]`, and lists, by name. */
  files: Record<string, GoldenArray>;
}
