/**
 * The first product of a tile, scores += rows · columnsᵀ: see `tile_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { range, wgsl, XYZW } from "../../gpu/wgsl.ts";
import { fetchVector, forEachUnit } from "./tile_codegen.ts";
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
  const { threads, rowsPerThread, columnsPerThread } = layOut(program.tiling, headDim);
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

  const fetchRow = (i: number) =>
    fetchVector(rowRegister(i), product.rows, {
      row: `row0 + u % ${tileRows}u`,
      column: `c * ${rows.pieces}u + u / ${tileRows}u`,
      rowVectors: rows.rowVectors,
      group: program.group,
    });
  const fetchColumn = (i: number) =>
    fetchVector(columnRegister(i), product.columns, {
      row: `c0 + columnOfSlot(u % ${tileColumns}u)`,
      column: `c * ${columns.pieces}u + u / ${tileColumns}u`,
      rowVectors: columns.rowVectors,
      apart: program.apart,
      group: program.group,
    });
  const scale = product.scale ? ` * ${product.scale}` : "";
  const storeRow = (i: number) =>
    storeTransposed(program, {
      register: rowRegister(i),
      dtype: rowsType,
      first: 0,
      slots: tileRows,
      scale,
    });
  const storeColumn = (i: number) =>
    storeTransposed(program, {
      register: columnRegister(i),
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
    fn store${name}(base: u32) {
      ${forEachUnit(rowUnits, storeRow)}
      ${forEachUnit(columnUnits, storeColumn)}
    }
    fn multiply${name}(base: u32) {
      let ra = base + ty * ${rowsPerThread / 4}u;
      let ca = base + ${tileRows / 4}u + tx;
      ${range(chunk).map((k) => rankOneUpdate(program, { into, k }))}
    }
    // Scores of the tile at c0, from zero. The next chunk is loaded while one is multiplied.
    fn compute${name}(c0: u32) {
      clear${name}();
      fetch${name}(c0, 0u);
      for (var c = 0u; c < CHUNKS; c++) {
        let base = (c & 1u) * STAGE_VECTORS;
        store${name}(base);
        workgroupBarrier();
        if (c + 1u < CHUNKS) { fetch${name}(c0, c + 1u); }
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
    readonly register: string;
    readonly dtype: DType;
    readonly first: number;
    readonly slots: number;
    readonly scale: string;
  },
): string {
  const { register, dtype, first, slots, scale } = options;
  const step = stageRow(program);
  const perVector = elementsPerVector(dtype);
  const halves = range(4).map((w) =>
    wgsl`
      let p${w} = unpack2x16float(${register}.${XYZW[w]})${scale};
      stage[at + ${2 * w * step}u][lane] = p${w}.x;
      stage[at + ${(2 * w + 1) * step}u][lane] = p${w}.y;
    `
  );
  const floats = [
    `let p = bitcast<vec4f>(${register})${scale};`,
    ...range(4).map((w) => `stage[at + ${w * step}u][lane] = p.${XYZW[w]};`),
  ];
  return wgsl`
    let slot = u % ${slots}u; let lane = slot & 3u;
    let at = base + (u / ${slots}u) * ${perVector * step}u + ${first}u + slot / 4u;
    ${dtype === "f16" ? halves : floats}
  `;
}

/** Adds the products of the k-th staged element of d to the thread's scores. */
function rankOneUpdate(
  program: TileProgram,
  { into, k }: { readonly into: string; readonly k: number },
): string {
  const { threadsX } = program.tiling;
  const { rowsPerThread, columnsPerThread } = layOut(program.tiling, program.headDim);
  const at = k * stageRow(program);
  const groups = range(columnsPerThread / 4);
  const multiply = (r: number, g: number) => {
    const score = `${into}${r}_${g}`;
    return `${score} = fma(vec4f(a${r >> 2}.${XYZW[r & 3]}), b${g}, ${score});`;
  };
  return wgsl`
    {
      ${range(rowsPerThread / 4).map((i) => `let a${i} = stage[ra + ${at + i}u];`)}
      ${groups.map((g) => `let b${g} = stage[ca + ${at + g * threadsX}u];`)}
      ${range(rowsPerThread).flatMap((r) => groups.map((g) => multiply(r, g)))}
    }
  `;
}
