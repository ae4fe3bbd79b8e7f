/**
 * The generated part of `dense_attention.wgsl`: its two products and the softmax between them.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import type { DenseResult } from "../types.ts";
import { generateFirstProduct } from "./first_product_codegen.ts";
import { generateSecondProduct } from "./second_product_codegen.ts";
import { generateConstants, generateStoreRows, reduceRows } from "./tile_codegen.ts";
import { layOut, type TileProgram } from "./tile_layout.ts";

const add = (a: string, b: string) => `(${a} + ${b})`;
const max = (a: string, b: string) => `max(${a}, ${b})`;

/**
 * The two products and the online softmax between them, up to sums `l`, maxima `m` (base 2) and
 * unnormalised outputs `o` in registers.
 *
 * @param options `keyEnd`: WGSL of the end of the visible keys. Default: only the causal mask
 * applies.
 * `walked`: a walk's predicate masks instead, of the private variables `walk` and `walkMask`.
 */
export function generateAttention(
  program: TileProgram,
  options: { readonly subgroups: boolean; readonly keyEnd?: string; readonly walked?: boolean },
): string {
  const { subgroups, keyEnd, walked } = options;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const scores = generateFirstProduct(program, {
    name: "Scores",
    rows: "queries",
    columns: "keys",
    into: "s",
    scale: "params.scale",
    repeated: walked ? undefined : "both",
  });
  const outputs = generateSecondProduct(program, {
    name: "Output",
    weights: "s",
    values: "values",
    into: "o",
    consumed: true,
    repeated: !walked,
  });
  // m: running maxima; l: running sums of this thread's own keys.
  return wgsl`
    ${generateConstants(program)}
    ${scores}
    ${outputs}
    ${rows.flatMap((r) => [`var<private> m${r}: f32;`, `var<private> l${r}: f32;`])}
    fn clearRows() {
      ${rows.map((r) => `m${r} = MASKED; l${r} = 0.0;`)}
    }
    fn maskScores(c0: u32) {
      let row = row0 + ty * ${rowsPerThread}u;
      ${walked ? maskUnseen(program) : maskScores(program, keyEnd)}
    }
    fn updateRows() {
      ${rows.map((r) => rowMaximum(program, r))}
      ${reduceRows(program, { name: "t", combine: max, subgroups })}
      ${rows.map((r) => updateRow(program, r))}
    }
    fn sumRows() {
      ${reduceRows(program, { name: "l", combine: add, subgroups })}
    }
  `;
}

/** The score registers of a row. */
function scoresOf({ tiling, headDim }: TileProgram, r: number): string[] {
  return range(layOut(tiling, headDim).columnsPerThread / 4).map((g) => `s${r}_${g}`);
}

/** Masks keys after a thread's rows, and those from `keyEnd` on. */
function maskScores(program: TileProgram, keyEnd?: string): string[] {
  const { tiling: { threadsX }, headDim } = program;
  const { rowsPerThread, columnsPerThread } = layOut(program.tiling, headDim);
  const keysOf = (g: number) => {
    const columns = range(4).map((e) => `${(4 * g + e) * threadsX}u`).join(", ");
    return `let key${g} = vec4u(c0 + tx) + vec4u(${columns});`;
  };
  const lastOf = (r: number) => keyEnd ? `min(row + ${r}u, ${keyEnd} - 1u)` : `row + ${r}u`;
  return [
    ...range(columnsPerThread / 4).map(keysOf),
    ...range(rowsPerThread).flatMap((r) =>
      scoresOf(program, r).map((s, g) =>
        `${s} = select(${s}, vec4f(MASKED), key${g} > vec4u(${lastOf(r)}));`
      )
    ),
  ];
}

/** Masks keys that a thread's rows do not attend to, according to a walk. */
function maskUnseen(program: TileProgram): string[] {
  const { threadsX } = program.tiling;
  const { rowsPerThread, columnsPerThread } = layOut(program.tiling, program.headDim);
  const keysOf = (g: number) => {
    const columns = range(4).map((e) => `${(4 * g + e) * threadsX}u`).join(", ");
    return `let key${g} = vec4u(c0 + tx) + vec4u(${columns});`;
  };
  const maskRow = (r: number) => [
    `{ let query = vec4u(row + ${r}u);`,
    ...scoresOf(program, r).map((s, g) =>
      `${s} = select(vec4f(MASKED), ${s}, walkSees(walk, walkMask, query, key${g}));`
    ),
    "}",
  ];
  return [
    ...range(columnsPerThread / 4).map(keysOf),
    ...range(rowsPerThread).flatMap(maskRow),
  ];
}

/** The maximum `t` of a thread's scores of a row. */
function rowMaximum(program: TileProgram, r: number): string {
  const all = scoresOf(program, r).reduce(max);
  return `let v${r} = ${all}; var t${r} = max(max(v${r}.x, v${r}.y), max(v${r}.z, v${r}.w));`;
}

/** Raises the maximum of a row, turns its scores into weights, and rescales its sum and outputs. */
function updateRow(program: TileProgram, r: number): string {
  const { depthGroups } = layOut(program.tiling, program.headDim);
  const scores = scoresOf(program, r);
  return wgsl`
    t${r} = max(t${r}, m${r}); let a${r} = exp2(m${r} - t${r}); m${r} = t${r};
    ${scores.map((s) => `${s} = exp2(${s} - t${r});`)}
    let w${r} = ${scores.reduce(add)};
    l${r} = fma(l${r}, a${r}, (w${r}.x + w${r}.y) + (w${r}.z + w${r}.w));
    ${range(depthGroups).map((g) => `o${r}_${g} *= a${r};`)}
  `;
}

/** The generated WGSL to append to `dense_attention.wgsl`. */
export function generateDense(
  program: TileProgram,
  options: {
    readonly subgroups: boolean;
    readonly result: DenseResult;
    readonly walked?: boolean;
    /** Type of the output's rows. Default: the program's. */
    readonly outputType?: DType;
  },
): string {
  const store = options.result === "rows"
    ? storeOutputs(program)
    : storeSquaredNorms(program, options.subgroups);
  const { outputType = program.dtype } = options;
  return `${generateAttention({ ...program, stored: outputType }, options)}\n${store}`;
}

function storeOutputs(program: TileProgram): string {
  const storeRows = generateStoreRows(program, {
    name: "Rows",
    from: "o",
    to: "output",
    factor: (r) => `1.0 / l${r}`,
    after: (r) =>
      `if (tx == 0u) { logSumExp[result0 + row + ${r}u] = (m${r} + log2(l${r})) * LN2; }`,
  });
  return wgsl`
    @group(0) @binding(4) var<storage, read_write> output: array<FourElements>;
    @group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>;
    ${storeRows}
  `;
}

function storeSquaredNorms(program: TileProgram, subgroups: boolean): string {
  const { rowsPerThread, depthGroups } = layOut(program.tiling, program.headDim);
  const rows = range(rowsPerThread);
  const squares = (r: number) =>
    range(depthGroups).map((g) => `dot(o${r}_${g}, o${r}_${g})`).reduce(add);
  const storeNorm = (r: number) =>
    wgsl`
    if (tx == 0u && row + ${r}u < params.rows) {
      squaredNorms[result0 + (row + ${r}u) * ROW_STRIDE] = n${r} / (l${r} * l${r});
    }
  `;
  return wgsl`
    @group(0) @binding(4) var<storage, read_write> squaredNorms: array<f32>;
    fn storeRows() {
      let row = row0 + ty * ${rowsPerThread}u;
      ${rows.map((r) => `var n${r} = ${squares(r)};`)}
      ${reduceRows(program, { name: "n", combine: add, subgroups })}
      ${rows.map(storeNorm)}
    }
  `;
}
