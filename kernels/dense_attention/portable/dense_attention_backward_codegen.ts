/**
 * The generated halves of the backward kernels of dense attention.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import { generateFirstProduct } from "./first_product_codegen.ts";
import { generateSecondProduct } from "./second_product_codegen.ts";
import { generateConstants, generateStoreRows } from "./tile_codegen.ts";
import { layOut, type TileProgram } from "./tile_layout.ts";

/** Undoes the base 2 of the staged rows' scale. */
const SCALE = "params.scale * (1.0 / LOG2E)";

/**
 * A weight from its exponent in base 2. No weight is above 1; but the log-sum-exp is rounded, by 16
 * at 2^28, and so is the score. NaN stays NaN.
 */
const WEIGHT_OF = `
fn weightOf(exponent: vec4f) -> vec4f {
  return exp2(select(exponent, vec4f(), exponent > vec4f()));
}`;

/**
 * Generated text to append to `dense_attention_backward_query.wgsl`. The program's `stored` is also
 * the type of dO.
 *
 * @param options `walked`: a walk's predicate masks, from the private variables `walk` and
 * `walkMask`. `resultType`: type of the results, default that of dO.
 */
export function generateQueryBackward(
  program: TileProgram,
  options: { readonly walked?: boolean; readonly resultType?: DType } = {},
): string {
  const { walked = false } = options;
  const gradientType = program.stored ?? program.dtype;
  const { resultType = gradientType } = options;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const products = [
    generateFirstProduct(program, {
      name: "Scores",
      rows: "queries",
      columns: "keys",
      into: "s",
      scale: "params.scale",
      repeated: "rows",
    }),
    generateFirstProduct(program, {
      name: "WeightGradients",
      rows: "outputGradients",
      rowsType: gradientType,
      columns: "values",
      into: "p",
      repeated: "rows",
    }),
    generateSecondProduct(program, {
      name: "Gradient",
      weights: "p",
      values: "keys",
      into: "o",
      consumed: true,
    }),
  ];
  const storeRows = generateStoreRows(program, {
    name: "Rows",
    from: "o",
    to: "queryGradients",
    factor: () => SCALE,
  });
  const loadRow = (r: number) =>
    wgsl`
    { let at = headRow + min(row + ${r}u, params.rows - 1u);
      m${r} = logSumExp[at] * LOG2E; d${r} = delta[at]; }
  `;
  const unseen = (r: number, g: number) =>
    walked
      ? `!walkSees(walk, walkMask, vec4u(row + ${r}u), column${g})`
      : `column${g} > vec4u(row + ${r}u)`;
  const scoreGradient = (r: number, g: number) =>
    `p${r}_${g} = select(weightOf(s${r}_${g} - m${r}) * (p${r}_${g} - d${r}), vec4f(), ` +
    `${unseen(r, g)});`;
  // m: log-sum-exp of the row in base 2; d: its delta.
  return wgsl`
    ${generateConstants({ ...program, stored: resultType })}
    ${WEIGHT_OF}
    ${products}
    ${rows.flatMap((r) => [`var<private> m${r}: f32;`, `var<private> d${r}: f32;`])}
    fn loadRowStatistics() {
      let row = row0 + ty * ${rowsPerThread}u;
      ${rows.map(loadRow)}
    }
    fn scoreGradients(c0: u32) {
      let row = row0 + ty * ${rowsPerThread}u;
      ${columnIndices(program)}
      ${forEachScore(program, scoreGradient)}
    }
    ${storeRows}
  `;
}

/** The same for `dense_attention_backward_key_value.wgsl`. */
export function generateKeyValueBackward(
  program: TileProgram,
  options: { readonly walked?: boolean; readonly resultType?: DType } = {},
): string {
  const { walked = false } = options;
  const gradientType = program.stored ?? program.dtype;
  const { resultType = gradientType } = options;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const groups = columnGroups(program);
  const products = [
    generateFirstProduct(program, {
      name: "Scores",
      rows: "keys",
      columns: "queries",
      into: "s",
      scale: "params.scale",
      repeated: "rows",
    }),
    generateFirstProduct(program, {
      name: "WeightGradients",
      rows: "values",
      columns: "outputGradients",
      columnsType: gradientType,
      into: "p",
      repeated: "rows",
    }),
    generateSecondProduct(program, {
      name: "ValueGradient",
      weights: "s",
      values: "outputGradients",
      valuesType: gradientType,
      into: "ov",
    }),
    generateSecondProduct(program, {
      name: "KeyGradient",
      weights: "p",
      values: "queries",
      into: "ok",
      consumed: true,
    }),
  ];
  const stores = [
    generateStoreRows(program, {
      name: "KeyRows",
      from: "ok",
      to: "keyGradients",
      factor: () => SCALE,
    }),
    generateStoreRows(program, {
      name: "ValueRows",
      from: "ov",
      to: "valueGradients",
      factor: () => "1.0",
    }),
  ];
  const unseen = (r: number, g: number) =>
    walked
      ? `!walkSees(walk, walkMask, vec4u(row + ${r}u), column${g})`
      : `(column${g} < vec4u(row + ${r}u))`;
  const weight = (r: number, g: number) =>
    `s${r}_${g} = select(weightOf(s${r}_${g} - m${g} * LOG2E), vec4f(), ` +
    `${unseen(r, g)} | (column${g} >= vec4u(${columnSide(program).rows})));`;
  const scoreGradient = (r: number, g: number) => `p${r}_${g} = s${r}_${g} * (p${r}_${g} - d${g});`;
  return wgsl`
    ${generateConstants({ ...program, stored: resultType })}
    ${WEIGHT_OF}
    ${products}
    fn weights(c0: u32) {
      let row = row0 + ty * ${rowsPerThread}u;
      ${columnIndices(program)}
      ${groups.map((g) => loadColumns(program, { name: "m", buffer: "logSumExp", g }))}
      ${forEachScore(program, weight)}
    }
    fn scoreGradients(c0: u32) {
      ${groups.map((g) => loadColumns(program, { name: "d", buffer: "delta", g }))}
      ${forEachScore(program, scoreGradient)}
    }
    ${stores}
  `;
}

/** WGSL of the first row and the number of the columns in their tensors. */
function columnSide({ apart }: TileProgram) {
  return apart
    ? { first: "column0Row", rows: "columnRows" }
    : { first: "headRow", rows: "params.rows" };
}

/** Groups of four of a thread's columns. */
function columnGroups({ tiling, headDim }: TileProgram): number[] {
  return range(layOut(tiling, headDim).columnsPerThread / 4);
}

/** A statement for each vector of scores of a thread. */
function forEachScore(
  program: TileProgram,
  statement: (r: number, g: number) => string,
): string[] {
  const rows = range(layOut(program.tiling, program.headDim).rowsPerThread);
  return rows.flatMap((r) => columnGroups(program).map((g) => statement(r, g)));
}

/** The distances of a group's columns from the thread's first column. */
function columnOffsets({ tiling: { threadsX } }: TileProgram, g: number): string[] {
  return range(4).map((e) => `${(4 * g + e) * threadsX}u`);
}

/** Variables `column0`, `column1`, …: the thread's columns of a tile, four at a time. */
function columnIndices(program: TileProgram): string[] {
  return columnGroups(program).map((g) =>
    `let column${g} = vec4u(c0 + tx) + vec4u(${columnOffsets(program, g).join(", ")});`
  );
}

/** The variable `<name><g>`: what a buffer holds for a group's columns, or for the last row. */
function loadColumns(
  program: TileProgram,
  { name, buffer, g }: { readonly name: string; readonly buffer: string; readonly g: number },
): string {
  const { first, rows } = columnSide(program);
  const elements = columnOffsets(program, g).map((offset) =>
    `${buffer}[${first} + min(c0 + tx + ${offset}, ${rows} - 1u)]`
  );
  return `let ${name}${g} = vec4f(${elements.join(", ")});`;
}
