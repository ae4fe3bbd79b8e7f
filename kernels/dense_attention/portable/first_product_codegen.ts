/**
 * The first product of a tile, scores += rows · columnsᵀ: see `tile_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { range, wgsl, XYZW } from "../../gpu/wgsl.ts";
import { fetchedVector, fetchVector, forEachUnit, type VectorPlace } from "./tile_codegen.ts";
import { elementsPerVector, layOut, type TileProgram } from "./tile_layout.ts";

/** Names of a first product. */
export interface FirstProduct {
  /** Suffix of the generated function `compute…(c0)` and of its helper functions. */
  readonly name: string;
  /** Storage buffers of 16-byte vectors, `[heads, rows, d]`. */
  readonly rows: string;
  readonly columns: string;
  /** Prefix of the score registers. */
  readonly into: string;
  /** WGSL factor of the staged rows, for example `params.scale`. */
  readonly scale?: string;
  /** Storage types of the two buffers. Default: the program's. */
  readonly rowsType?: DType;
  readonly columnsType?: DType;
  /**
   * Which operand repeats its last row beyond its end, where nothing that comes of it is kept.
   * Default: none, rows beyond the end are zeros.
   */
  readonly repeated?: "rows" | "both";
}

/** How the rows of an operand are read, 16 bytes at a time. */
interface Operand {
  readonly dtype: DType;
  /** 16-byte vectors of a row. */
  readonly rowVectors: number;
  /** 16-byte vectors of a row's chunk. */
  readonly pieces: number;
}

function operandOf({ tiling: { chunk }, headDim }: TileProgram, dtype: DType): Operand {
  const perVector = elementsPerVector(dtype);
  return { dtype, rowVectors: headDim / perVector, pieces: chunk / perVector };
}

/**
 * Registers and functions of a first product.
 *
 * A stage holds `chunk` staged elements of d: the tile's rows, four to a vector, then its columns.
 */
export function generateFirstProduct(program: TileProgram, product: FirstProduct): string {
  const { tiling: { tileRows, tileColumns, chunk }, headDim, dtype } = program;
  const { name, into, rowsType = dtype, columnsType = dtype } = product;
  const { threads, rowsPerThread, columnsPerThread, stageWidth } = layOut(program.tiling, headDim);
  const from = stageWidth > 0 ? "" : "base + ";
  const rows = operandOf(program, rowsType);
  const columns = operandOf(program, columnsType);
  const scores = range(rowsPerThread).flatMap((r) =>
    range(columnsPerThread / 4).map((g) => `${into}${r}_${g}`)
  );
  const rowUnits = { units: tileRows * rows.pieces, threads };
  const columnUnits = { units: tileColumns * columns.pieces, threads };
  const rowRegister = (i: number) => `${into}FetchRow${i}`;
  const columnRegister = (i: number) => `${into}FetchColumn${i}`;
  const registersOf = (register: (i: number) => string, { units }: { units: number }) =>
    range(Math.ceil(units / threads)).map((i) => `var<private> ${register(i)}: vec4u;`);

  const rowPlace: VectorPlace = {
    row: `row0 + u % ${tileRows}u`,
    column: `c * ${rows.pieces}u + u / ${tileRows}u`,
    rowVectors: rows.rowVectors,
    group: program.group,
  };
  const columnPlace: VectorPlace = {
    row: `c0 + columnOfSlot(u % ${tileColumns}u)`,
    column: `c * ${columns.pieces}u + u / ${tileColumns}u`,
    rowVectors: columns.rowVectors,
    apart: program.apart,
    group: program.group,
  };
  const fetchRow = (i: number) => fetchVector(rowRegister(i), product.rows, rowPlace);
  const fetchColumn = (i: number) => fetchVector(columnRegister(i), product.columns, columnPlace);
  const scale = product.scale ? ` * ${product.scale}` : "";
  const storeRow = (i: number) =>
    storeTransposed(program, {
      vector: product.repeated ? rowRegister(i) : fetchedVector(rowRegister(i), rowPlace),
      dtype: rowsType,
      first: 0,
      slots: tileRows,
      scale,
    });
  const storeColumn = (i: number) =>
    storeTransposed(program, {
      vector: product.repeated === "both"
        ? columnRegister(i)
        : fetchedVector(columnRegister(i), columnPlace),
      dtype: columnsType,
      first: tileRows / 4,
      slots: tileColumns,
      scale: "",
    });

  return wgsl`
    ${scores.map((score) => `var<private> ${score}: vec4f;`)}
    ${registersOf(rowRegister, rowUnits)}
    ${registersOf(columnRegister, columnUnits)}
    fn clear${name}() {
      ${scores.map((score) => `${score} = vec4f();`)}
    }
    fn fetch${name}(c0: u32, c: u32) {
      ${forEachUnit(rowUnits, fetchRow)}
      ${forEachUnit(columnUnits, fetchColumn)}
    }
    fn store${name}(base: u32, c0: u32) {
      ${forEachUnit(rowUnits, storeRow)}
      ${forEachUnit(columnUnits, storeColumn)}
    }
    fn multiply${name}(base: u32) {
      let ra = ${from}ty * ${rowsPerThread / 4}u;
      let ca = ${from}${tileRows / 4}u + tx;
      ${range(chunk).map((k) => rankOneUpdate(program, { into, k }))}
    }
    // Scores of the tile at c0, from zero. The next chunk is loaded while one is multiplied;
    // the last is loaded twice, since loads in a branch are not hidden.
    fn compute${name}(c0: u32) {
      clear${name}();
      fetch${name}(c0, 0u);
      for (var c = 0u; c < CHUNKS; c++) {
        let base = (c & 1u)${stageWidth > 0 ? "" : " * STAGE_VECTORS"};
        store${name}(base, c0);
        workgroupBarrier();
        fetch${name}(c0, min(c + 1u, CHUNKS - 1u));
        multiply${name}(base);
      }
    }

  `;
}

/** Vectors of four f32 from one staged element of d to the next. */
function stageRow({ tiling: { tileRows, tileColumns } }: TileProgram): number {
  return (tileRows + tileColumns) / 4;
}

/**
 * Stores the elements of a fetched vector one staged row apart; `slots` rows or columns lie side by
 * side.
 */
function storeTransposed(
  program: TileProgram,
  options: {
    /** WGSL of four words. */
    readonly vector: string;
    readonly dtype: DType;
    readonly first: number;
    readonly slots: number;
    readonly scale: string;
  },
): string {
  const { vector, dtype, first, slots, scale } = options;
  const { stageWidth } = layOut(program.tiling, program.headDim);
  const step = stageRow(program);
  const perVector = elementsPerVector(dtype);
  const place = (row: number) =>
    stageWidth > 0 ? `stage[base][down + ${row}u][at][lane]` : `stage[at + ${row * step}u][lane]`;
  const halves = range(4).map((w) =>
    wgsl`
      let p${w} = unpack2x16float(x.${XYZW[w]})${scale};
      ${place(2 * w)} = p${w}.x;
      ${place(2 * w + 1)} = p${w}.y;
    `
  );
  const floats = [
    `let p = bitcast<vec4f>(x)${scale};`,
    ...range(4).map((w) => `${place(w)} = p.${XYZW[w]};`),
  ];
  return wgsl`
    let x = ${vector}; let slot = u % ${slots}u; let lane = slot & 3u;
    ${
    stageWidth > 0
      ? `let down = (u / ${slots}u) * ${perVector}u; let at = ${first}u + slot / 4u;`
      : `let at = base + (u / ${slots}u) * ${perVector * step}u + ${first}u + slot / 4u;`
  }
    ${dtype === "f16" ? halves : floats}
  `;
}

/** Adds the products of the k-th staged element of d to the thread's scores. */
function rankOneUpdate(
  program: TileProgram,
  { into, k }: { readonly into: string; readonly k: number },
): string {
  const { threadsX } = program.tiling;
  const { rowsPerThread, columnsPerThread, stageWidth } = layOut(program.tiling, program.headDim);
  const vector = (first: string, more: number) =>
    stageWidth > 0
      ? `stage[base][${k}u][${first} + ${more}u]`
      : `stage[${first} + ${k * stageRow(program) + more}u]`;
  const groups = range(columnsPerThread / 4);
  const multiply = (r: number, g: number) => {
    const score = `${into}${r}_${g}`;
    return `${score} = fma(vec4f(a${r >> 2}.${XYZW[r & 3]}), b${g}, ${score});`;
  };
  return wgsl`
    {
      ${range(rowsPerThread / 4).map((i) => `let a${i} = ${vector("ra", i)};`)}
      ${groups.map((g) => `let b${g} = ${vector("ca", g * threadsX)};`)}
      ${range(rowsPerThread).flatMap((r) => groups.map((g) => multiply(r, g)))}
    }
  `;
}
