/**
 * The second product of a tile, outputs += weights · values: see `tile_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { range, wgsl, XYZW } from "../../gpu/wgsl.ts";
import { fetchedVector, fetchVector, forEachUnit, type VectorPlace } from "./tile_codegen.ts";
import { elementsPerVector, layOut, type TileProgram } from "./tile_layout.ts";

/** Names of a second product. */
export interface SecondProduct {
  /** Suffix of the generated functions `clear…()`, `fetch…(c0, e)` and `accumulate…(c0)`. */
  readonly name: string;
  /** Prefix of the score registers that hold the weights. */
  readonly weights: string;
  /** Storage buffer of 16-byte vectors, `[heads, rows, d]`. */
  readonly values: string;
  /** Prefix of the output registers. */
  readonly into: string;
  /** Storage type of the values. Default: the program's. */
  readonly valuesType?: DType;
  /** Nothing reads the weights' registers afterwards. Default false. */
  readonly consumed?: boolean;
  /**
   * Rows of values beyond the end are the last one, where all their weights are 0; else they are
   * zeros.
   */
  readonly repeated?: boolean;
}

/**
 * Registers and functions of a second product.
 *
 * A stage holds THREADS_X rows of the values as f32, then the weights of these columns, four rows
 * per vector.
 */
export function generateSecondProduct(program: TileProgram, product: SecondProduct): string {
  const { tiling: { threadsX }, headDim } = program;
  const { name, weights, into, valuesType: dtype = program.dtype } = product;
  const { threads, rowsPerThread, columnsPerThread, depthGroups, stageWidth } = layOut(
    program.tiling,
    headDim,
  );
  const inRows = stageWidth > 0;
  const rowVectors = headDim / elementsPerVector(dtype);
  const valueUnits = { units: threadsX * rowVectors, threads };
  const weightVectors = threadsX * headDim / 4; // where the weights begin in a stage
  const padded = paddedRows(program);
  const outputs = range(rowsPerThread).flatMap((r) =>
    range(depthGroups).map((g) => `${into}${r}_${g}`)
  );
  const register = (i: number) => `${into}Fetch${i}`;
  const registers = range(Math.ceil(valueUnits.units / threads)).map(register);

  const place: VectorPlace = {
    row: `c0 + e * ${threadsX}u + u / ${rowVectors}u`,
    column: `u % ${rowVectors}u`,
    rowVectors,
    apart: program.apart,
    group: program.group,
  };
  const fetchValue = (i: number) => fetchVector(register(i), product.values, place);
  const storeValue = (i: number) => {
    const x = product.repeated ? register(i) : fetchedVector(register(i), place);
    const row = `stage[base][u / ${rowVectors}u]`;
    const stored = (n: number) => {
      if (dtype === "f32") return inRows ? `${row}[u % ${rowVectors}u]` : "stage[base + u]";
      return inRows ? `${row}[u % ${rowVectors}u * 2u + ${n}u]` : `stage[base + 2u * u + ${n}u]`;
    };
    return dtype === "f16"
      ? wgsl`
        let x = ${x};
        ${stored(0)} = vec4f(unpack2x16float(x.x), unpack2x16float(x.y));
        ${stored(1)} = vec4f(unpack2x16float(x.z), unpack2x16float(x.w));
      `
      : `${stored(0)} = bitcast<vec4f>(${x});`;
  };
  const storeWeights = (i: number) =>
    wgsl`
    {
      var w: vec4f;
      ${range(4).map((j) => pickWeight(program, { ...product, row: 4 * i + j }))}
      stage${inRows ? "[base][tx]" : ""}[at + ${i}u] = w;
    }
  `;
  const ownRows = `ty * ${rowsPerThread / 4}u`;
  const weightsAt = inRows
    ? `${headDim / 4}u + ${ownRows}`
    : `base + ${weightVectors}u + tx * ${padded}u + ${ownRows}`;

  // Four columns at a time are picked from the first registers, into which the next four move.
  const quads = range(columnsPerThread / 4);
  const shift = product.consumed && quads.length > 1
    ? wgsl`
        if ((e & 3u) == 3u) {
          ${
      range(rowsPerThread).flatMap((r) =>
        quads.slice(1).map((g) => `${weights}${r}_${g - 1} = ${weights}${r}_${g};`)
      )
    }
        }
      `
    : "";
  return wgsl`
    ${outputs.map((output) => `var<private> ${output}: vec4f;`)}
    ${registers.map((fetched) => `var<private> ${fetched}: vec4u;`)}
    fn clear${name}() {
      ${outputs.map((output) => `${output} = vec4f();`)}
    }
    fn fetch${name}(c0: u32, e: u32) {
      ${forEachUnit(valueUnits, fetchValue)}
    }
    fn store${name}(base: u32, c0: u32, e: u32) {
      ${forEachUnit(valueUnits, storeValue)}
      let at = ${weightsAt};
      let odd = (e & 1u) == 1u; let high = (e & 2u) == 2u;
      ${columnsPerThread > 4 && !product.consumed ? ["let quad = e / 4u;"] : []}
      ${range(rowsPerThread / 4).map(storeWeights)}
    }
    fn multiply${name}(base: u32) {
      let va = ${inRows ? "tx" : "base + tx"};
      let wa = ${inRows ? `${headDim / 4}u` : `base + ${weightVectors}u`} + ${ownRows};
      ${range(threadsX).map((k) => rankOneUpdate(program, { into, k }))}
    }
    // Adds the tile at c0, of which fetch${name}(c0, 0u) has loaded the first values.
    fn accumulate${name}(c0: u32) {
      for (var e = 0u; e < COLUMNS_PER_THREAD; e++) {
        let base = (e & 1u)${inRows ? "" : " * STAGE_VECTORS"};
        store${name}(base, c0, e);
        workgroupBarrier();
        fetch${name}(c0, min(e + 1u, COLUMNS_PER_THREAD - 1u));
        multiply${name}(base);
        ${shift}
      }
    }

  `;
}

/** Vectors from the weights of one column to those of the next: padded against bank conflicts. */
function paddedRows({ tiling: { tileRows } }: TileProgram): number {
  return tileRows / 4 + 1;
}

/**
 * Sets an element of `w` to the thread's weight for a row and its e-th column. The column is
 * selected by comparison, because a run-time index into registers would go through memory.
 */
function pickWeight(
  { tiling, headDim }: TileProgram,
  { weights, row, consumed }: {
    readonly weights: string;
    readonly row: number;
    readonly consumed?: boolean;
  },
): string {
  const columnsPerThread = consumed ? 4 : layOut(tiling, headDim).columnsPerThread;
  const [first, ...others] = range(columnsPerThread / 4).map((g) => `${weights}${row}_${g}`);
  const x = others.reduce((all, s, g) => `select(${all}, ${s}, quad == ${g + 1}u)`, first);
  const element = "select(select(x.x, x.y, odd), select(x.z, x.w, odd), high)";
  return `{ let x = ${x}; w.${XYZW[row & 3]} = ${element}; }`;
}

/** Adds the products of every thread's k-th staged column to the thread's outputs. */
function rankOneUpdate(
  program: TileProgram,
  { into, k }: { readonly into: string; readonly k: number },
): string {
  const { tiling: { threadsX }, headDim } = program;
  const { rowsPerThread, depthGroups, stageWidth } = layOut(program.tiling, headDim);
  const vector = (first: string, more: number, flatRow: number) =>
    stageWidth > 0
      ? `stage[base][${k}u][${first} + ${more}u]`
      : `stage[${first} + ${k * flatRow + more}u]`;
  const groups = range(depthGroups);
  const multiply = (r: number, g: number) => {
    const output = `${into}${r}_${g}`;
    return `${output} = fma(vec4f(w${r >> 2}.${XYZW[r & 3]}), v${g}, ${output});`;
  };
  return wgsl`
    {
      ${range(rowsPerThread / 4).map((i) => `let w${i} = ${vector("wa", i, paddedRows(program))};`)}
      ${groups.map((g) => `let v${g} = ${vector("va", g * threadsX, headDim / 4)};`)}
      ${range(rowsPerThread).flatMap((r) => groups.map((g) => multiply(r, g)))}
    }
  `;
}
