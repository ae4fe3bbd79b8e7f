/**
 * Rows of tensors as 16-byte words, the unit in which the pyramid, gather and scatter kernels read
 * and write. The WGSL exists for either storage type, so that one kernel serves both.
 *
 * @module
 */
import { bytesPerElement, type DType } from "../gpu/buffers.ts";
import { NEAREST_HALF } from "../gpu/half.ts";

/** 16-byte words of one row. */
export function wordsPerRow(headDim: number, dtype: DType): number {
  return headDim * bytesPerElement(dtype) / 16;
}

/**
 * WGSL for one element type: `alias Cell` (the f32 values of one word; supports `+` and `* f32`),
 * `unpackCell`, `packCell` and `squaredNorm`.
 *
 * f16 needs only core WGSL, so f16 storage works without `shader-f16`. `packCell` rounds to nearest
 * even (see `gpu/half.ts`). `squaredNorm` is a chain of fma in element order: squares of f16 values
 * are exact in f32, so fused and unfused devices agree bit for bit.
 */
export function cellCode(dtype: DType): string {
  if (dtype === "f32") {
    return `
alias Cell = vec4f;
fn unpackCell(word: vec4u) -> Cell { return bitcast<vec4f>(word); }
fn packCell(cell: Cell) -> vec4u { return bitcast<vec4u>(cell); }
fn squaredNorm(cell: Cell) -> f32 {
  return fma(cell.w, cell.w, fma(cell.z, cell.z, fma(cell.y, cell.y, cell.x * cell.x)));
}
`;
  }
  return `${NEAREST_HALF}
alias Cell = mat2x4f;
fn unpackCell(word: vec4u) -> Cell {
  return Cell(
    vec4f(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4f(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
}
fn packCell(cell: Cell) -> vec4u {
  let low = nearestHalf(cell[0]);
  let high = nearestHalf(cell[1]);
  return vec4u(
    pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw),
  );
}
fn squaredNorm(cell: Cell) -> f32 {
  let a = cell[0];
  let b = cell[1];
  let first = fma(a.w, a.w, fma(a.z, a.z, fma(a.y, a.y, a.x * a.x)));
  return fma(b.w, b.w, fma(b.z, b.z, fma(b.y, b.y, fma(b.x, b.x, first))));
}
`;
}

/**
 * WGSL of `loadCell` and `storeCell`: the cell at an index of a buffer of f32 rows, which takes two
 * of its words if a cell is one word of f16.
 */
export function wideCellCode(dtype: DType, buffer: string): { load: string; store: string } {
  if (dtype === "f32") {
    return {
      load: `fn loadCell(at: u32) -> Cell { return unpackCell(${buffer}[at]); }\n`,
      store: `fn storeCell(at: u32, cell: Cell) { ${buffer}[at] = packCell(cell); }\n`,
    };
  }
  return {
    load: `
fn loadCell(at: u32) -> Cell {
  return Cell(bitcast<vec4f>(${buffer}[2u * at]), bitcast<vec4f>(${buffer}[2u * at + 1u]));
}
`,
    store: `
fn storeCell(at: u32, cell: Cell) {
  ${buffer}[2u * at] = bitcast<vec4u>(cell[0]);
  ${buffer}[2u * at + 1u] = bitcast<vec4u>(cell[1]);
}
`,
  };
}

/**
 * Checks a tuning option.
 *
 * @throws {RangeError} naming the option, its value and the limits.
 */
export function requirePowerOfTwo(
  what: string,
  value: number,
  range: { least: number; most: number },
): void {
  const { least, most } = range;
  if (!Number.isInteger(Math.log2(value)) || value < least || value > most) {
    throw new RangeError(`plan ${what}: ${value} is not a power of two from ${least} to ${most}`);
  }
}
