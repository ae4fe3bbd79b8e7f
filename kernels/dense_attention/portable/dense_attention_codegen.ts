/**
 * The generated half of `dense_attention.wgsl`: its two products and the softmax between them.
 *
 * @module
 */
import {
  generateConstants,
  generateFirstProduct,
  generateRowReduction,
  generateSecondProduct,
  generateStoreRows,
  layOut,
  range,
  type TileProgram,
} from "./tile_codegen.ts";
import type { DenseResult } from "../types.ts";

const add = (a: string, b: string) => `(${a} + ${b})`;

/**
 * The two products and the online softmax between them, up to sums `l`, maxima `m` (base 2) and
 * unnormalised outputs `o` in registers.
 *
 * @param options `keyEnd`: WGSL of the first key that no row sees. Default: only causality masks.
 */
export function generateAttention(
  program: TileProgram,
  options: { subgroups: boolean; keyEnd?: string },
): string {
  const { threadsX } = program.tiling;
  const { rowsPerThread, columnsPerThread, depthGroups } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const groups = range(columnsPerThread / 4);
  const out: string[] = [];
  const emit = (...lines: string[]) => out.push(...lines);
  const max = (a: string, b: string) => `max(${a}, ${b})`;

  emit(
    generateConstants(program),
    generateFirstProduct(program, {
      name: "Scores",
      rows: "queries",
      columns: "keys",
      into: "s",
      scale: "params.scale",
    }),
    generateSecondProduct(program, {
      name: "Output",
      weights: "s",
      values: "values",
      into: "o",
    }),
  );

  // m: running maxima; l: running sums of this thread's own keys.
  for (const r of rows) emit(`var<private> m${r}: f32;`, `var<private> l${r}: f32;`);
  emit("fn clearRows() {");
  for (const r of rows) emit(`  m${r} = MASKED; l${r} = 0.0;`);
  emit("}");

  emit("fn maskScores(c0: u32) {", `  let row = row0 + ty * ${rowsPerThread}u;`);
  for (const g of groups) {
    const columns = range(4).map((e) => `${(4 * g + e) * threadsX}u`).join(", ");
    emit(`  let key${g} = vec4u(c0 + tx) + vec4u(${columns});`);
  }
  for (const r of rows) {
    for (const g of groups) {
      const last = options.keyEnd ? `min(row + ${r}u, ${options.keyEnd} - 1u)` : `row + ${r}u`;
      emit(`  s${r}_${g} = select(s${r}_${g}, vec4f(MASKED), key${g} > vec4u(${last}));`);
    }
  }
  emit("}");

  emit("fn updateRows() {");
  for (const r of rows) {
    const all = groups.map((g) => `s${r}_${g}`).reduce(max);
    emit(`  let v${r} = ${all}; var t${r} = max(max(v${r}.x, v${r}.y), max(v${r}.z, v${r}.w));`);
  }
  emit(generateRowReduction(program, { name: "t", combine: max, ...options }));
  for (const r of rows) {
    emit(`  t${r} = max(t${r}, m${r}); let a${r} = exp2(m${r} - t${r}); m${r} = t${r};`);
    for (const g of groups) emit(`  s${r}_${g} = exp2(s${r}_${g} - t${r});`);
    emit(
      `  let w${r} = ${groups.map((g) => `s${r}_${g}`).reduce(add)};`,
      `  l${r} = fma(l${r}, a${r}, (w${r}.x + w${r}.y) + (w${r}.z + w${r}.w));`,
    );
    for (const g of range(depthGroups)) emit(`  o${r}_${g} *= a${r};`);
  }
  emit("}");

  emit(
    "fn sumRows() {",
    generateRowReduction(program, { name: "l", combine: add, ...options }),
    "}",
  );
  return out.join("\n");
}

/** Generated text to append to `dense_attention.wgsl`. */
export function generateDense(
  program: TileProgram,
  options: { subgroups: boolean; result: DenseResult },
): string {
  const { rowsPerThread, depthGroups } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const out: string[] = [generateAttention(program, options)];
  const emit = (...lines: string[]) => out.push(...lines);
  if (options.result === "rows") {
    emit(
      "@group(0) @binding(4) var<storage, read_write> output: array<FourElements>;",
      "@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>;",
      generateStoreRows(program, {
        name: "Rows",
        from: "o",
        to: "output",
        factor: (r) => `1.0 / l${r}`,
        after: (r) =>
          `if (tx == 0u) { logSumExp[result0 + row + ${r}u] = (m${r} + log2(l${r})) * LN2; }`,
      }),
    );
    return out.join("\n");
  }
  emit(
    "@group(0) @binding(4) var<storage, read_write> squaredNorms: array<f32>;",
    "fn storeRows() {",
    `  let row = row0 + ty * ${rowsPerThread}u;`,
  );
  for (const r of rows) {
    const squares = range(depthGroups).map((g) => `dot(o${r}_${g}, o${r}_${g})`).reduce(add);
    emit(`  var n${r} = ${squares};`);
  }
  emit(generateRowReduction(program, { name: "n", combine: add, ...options }));
  for (const r of rows) {
    emit(
      `  if (tx == 0u && row + ${r}u < params.rows) {`,
      `    squaredNorms[result0 + (row + ${r}u) * ROW_STRIDE] = n${r} / (l${r} * l${r});`,
      "  }",
    );
  }
  emit("}");
  return out.join("\n");
}
