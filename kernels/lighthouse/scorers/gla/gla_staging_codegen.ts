/**
 * The tiling of the gla scorer's chunks, and the WGSL that stages their rows in workgroup memory.
 *
 * @module
 */
import type { DType } from "../../../gpu/buffers.ts";
import { range, wgsl, XYZW } from "../../../gpu/wgsl.ts";

/** The tiling of the gla scorer's chunks. */
export interface GlaTiling {
  readonly headDim: number;
  readonly dtype: DType;
  /** Rows of a chunk, C. */
  readonly chunkRows: number;
  /** Threads of a workgroup, as a grid over rows (y) and columns (x) of a tile. */
  readonly threadsX: number;
  readonly threadsY: number;
  /** Rows, or elements of d, that are staged at a time. */
  readonly depth: number;
}

/** Vectors of four f32 that the two tiled kernels stage. */
export function stageVectors(tiling: GlaTiling): { states: number; scores: number } {
  const { headDim, chunkRows, threadsX, depth } = tiling;
  const walk = depth * (2 * chunkRows + headDim) / 4;
  const weights = threadsX * (chunkRows / 4 + 1 + headDim / 4);
  const squares = chunkRows * threadsX / 4;
  return { states: depth * headDim / 2, scores: Math.max(walk, weights, squares) };
}

/** Statements for each unit `u` of a thread's share of `count`, guarded if some do not exist. */
export function forEachUnit(
  { threadsX, threadsY }: GlaTiling,
  count: number,
  body: string,
): string[] {
  const threads = threadsX * threadsY;
  return range(Math.ceil(count / threads)).map((n) => {
    const guard = (n + 1) * threads > count ? `if (u < ${count}u) {` : "{";
    return wgsl`
      { let u = local + ${n * threads}u;
      ${guard}
        ${body}
      } }
    `;
  });
}

/** Stages rows unchanged, with zeros past the end of the sequence; `r` is the row of the stage. */
export function stageNatural(
  tiling: GlaTiling,
  options: {
    readonly count: number;
    readonly buffer: string;
    /** WGSL of the sequence's row. */
    readonly row: string;
    /** WGSL that the row is multiplied by. */
    readonly factor?: string;
    /** WGSL of the row's position in the stage. */
    readonly to: string;
  },
): string[] {
  const { headDim, dtype } = tiling;
  const { buffer, row, factor, to } = options;
  const perWord = dtype === "f16" ? 2 : 1; // vectors in a 16-byte word
  const words = headDim / 4 / perWord;
  const scale = factor ? " * factor" : "";
  const store = (vector: string, n: number) => `stage[at + ${n}u] = ${vector}${scale};`;
  const body = wgsl`
    let r = u / ${words}u; let c = u % ${words}u; let row = ${row};
    var word = vec4u();
    if (row < params.rows) { word = ${buffer}[tokenOf(row) * ${words}u + c]; }
    ${factor ? `let factor = ${factor};` : ""}
    let at = ${to} + ${perWord}u * c;
    ${unpack(dtype).map(store)}
  `;
  return forEachUnit(tiling, options.count * words, body);
}

/** Stages elements k … k + depth - 1 of the chunk's rows, transposed; `slot` is the column. */
export function stageTransposed(
  tiling: GlaTiling,
  options: {
    readonly buffer: string;
    /** Vectors from one staged element to the next. */
    readonly step: number;
    /** Vectors before the first column. */
    readonly first: number;
    /** WGSL of the chunk's row of a slot. */
    readonly row: string;
  },
): string[] {
  const { headDim, dtype, chunkRows, depth } = tiling;
  const { buffer, step, first, row } = options;
  const perWord = dtype === "f16" ? 8 : 4; // elements in a 16-byte word
  const words = headDim / perWord;
  const scatter = (vector: string, n: number) =>
    wgsl`
    let x${n} = ${vector};
    ${range(4).map((l) => `stage[at + ${(4 * n + l) * step}u][lane] = x${n}.${XYZW[l]};`)}
  `;
  const at = `piece * ${perWord * step}u + ${first}u + slot / 4u`;
  const body = wgsl`
    let slot = u % ${chunkRows}u; let piece = u / ${chunkRows}u; let row = row0 + ${row};
    var word = vec4u();
    if (row < params.rows) {
      word = ${buffer}[tokenOf(row) * ${words}u + k / ${perWord}u + piece];
    }
    let at = ${at}; let lane = slot & 3u;
    ${unpack(dtype).map(scatter)}
  `;
  return forEachUnit(tiling, chunkRows * depth / perWord, body);
}

/** Expressions of the vectors of four f32 in the 16-byte `word`. */
function unpack(dtype: DType): string[] {
  return dtype === "f16"
    ? [
      "vec4f(unpack2x16float(word.x), unpack2x16float(word.y))",
      "vec4f(unpack2x16float(word.z), unpack2x16float(word.w))",
    ]
    : ["bitcast<vec4f>(word)"];
}
