/**
 * The generated halves of the backward kernels of dense attention.
 *
 * @module
 */
import {
  generateConstants,
  generateFirstProduct,
  generateSecondProduct,
  generateStoreRows,
  layOut,
  range,
  type TileProgram,
} from "./tile_codegen.ts";

/**
 * A weight from its exponent in base 2. No weight is above 1; but the log-sum-exp is rounded, by 16 at
 * 2^28, and so is the score. NaN stays NaN.
 */
const WEIGHT_OF = `
fn weightOf(exponent: vec4f) -> vec4f {
  return exp2(select(exponent, vec4f(), exponent > vec4f()));
}`;

/**
 * Generated text to append to `dense_attention_backward_query.wgsl`. The program's `stored` is the type
 * of dO too.
 */
export function generateQueryBackward(program: TileProgram): string {
  const gradientType = program.stored ?? program.dtype;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const groups = columnGroups(program);
  const out: string[] = [
    generateConstants(program),
    WEIGHT_OF,
    generateFirstProduct(program, {
      name: "Scores",
      rows: "queries",
      columns: "keys",
      into: "s",
      scale: "params.scale",
    }),
    generateFirstProduct(program, {
      name: "WeightGradients",
      rows: "outputGradients",
      rowsType: gradientType,
      columns: "values",
      into: "p",
    }),
    generateSecondProduct(program, {
      name: "Gradient",
      weights: "p",
      values: "keys",
      into: "o",
    }),
  ];
  // m: log-sum-exp of the row in base 2; d: its delta.
  for (const r of rows) out.push(`var<private> m${r}: f32;`, `var<private> d${r}: f32;`);
  out.push("fn loadRowStatistics() {", `  let row = row0 + ty * ${rowsPerThread}u;`);
  for (const r of rows) {
    out.push(
      `  { let at = headRow + min(row + ${r}u, params.rows - 1u);`,
      `    m${r} = logSumExp[at] * LOG2E; d${r} = delta[at]; }`,
    );
  }
  out.push(
    "}",
    "fn scoreGradients(c0: u32) {",
    `  let row = row0 + ty * ${rowsPerThread}u;`,
    ...columnIndices(program),
  );
  for (const r of rows) {
    for (const g of groups) {
      out.push(
        `  p${r}_${g} = select(weightOf(s${r}_${g} - m${r}) * (p${r}_${g} - d${r}), vec4f(), ` +
          `column${g} > vec4u(row + ${r}u));`,
      );
    }
  }
  out.push(
    "}",
    generateStoreRows(program, {
      name: "Rows",
      from: "o",
      to: "queryGradients",
      factor: () => "params.scale * (1.0 / LOG2E)",
    }),
  );
  return out.join("\n");
}

/** Generated text to append to `dense_attention_backward_key_value.wgsl`, alike. */
export function generateKeyValueBackward(program: TileProgram): string {
  const gradientType = program.stored ?? program.dtype;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const groups = columnGroups(program);
  const { threadsX } = program.tiling;
  const out: string[] = [
    generateConstants(program),
    WEIGHT_OF,
    generateFirstProduct(program, {
      name: "Scores",
      rows: "keys",
      columns: "queries",
      into: "s",
      scale: "params.scale",
    }),
    generateFirstProduct(program, {
      name: "WeightGradients",
      rows: "values",
      columns: "outputGradients",
      columnsType: gradientType,
      into: "p",
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
    }),
  ];
  const load = (name: string, buffer: string, g: number) => {
    const element = (e: number) =>
      `${buffer}[headRow + min(c0 + tx + ${(4 * g + e) * threadsX}u, params.rows - 1u)]`;
    return `  let ${name}${g} = vec4f(${range(4).map(element).join(", ")});`;
  };
  out.push(
    "fn weights(c0: u32) {",
    `  let row = row0 + ty * ${rowsPerThread}u;`,
    ...columnIndices(program),
  );
  for (const g of groups) out.push(load("m", "logSumExp", g));
  for (const r of rows) {
    for (const g of groups) {
      out.push(
        `  s${r}_${g} = select(weightOf(s${r}_${g} - m${g} * LOG2E), vec4f(), ` +
          `(column${g} < vec4u(row + ${r}u)) | (column${g} >= vec4u(params.rows)));`,
      );
    }
  }
  out.push("}", "fn scoreGradients(c0: u32) {");
  for (const g of groups) out.push(load("d", "delta", g));
  for (const r of rows) {
    for (const g of groups) out.push(`  p${r}_${g} = s${r}_${g} * (p${r}_${g} - d${g});`);
  }
  out.push(
    "}",
    generateStoreRows(program, {
      name: "KeyRows",
      from: "ok",
      to: "keyGradients",
      factor: () => "params.scale * (1.0 / LOG2E)",
    }),
    generateStoreRows(program, {
      name: "ValueRows",
      from: "ov",
      to: "valueGradients",
      factor: () => "1.0",
    }),
  );
  return out.join("\n");
}

function columnGroups(program: TileProgram): number[] {
  return range(layOut(program.tiling, program.headDim).columnsPerThread / 4);
}

/** Variables `column0`, `column1`, …: the thread's columns of a tile, four at a time. */
function columnIndices(program: TileProgram): string[] {
  const { threadsX } = program.tiling;
  return columnGroups(program).map((g) => {
    const offsets = range(4).map((e) => `${(4 * g + e) * threadsX}u`).join(", ");
    return `  let column${g} = vec4u(c0 + tx) + vec4u(${offsets});`;
  });
}
