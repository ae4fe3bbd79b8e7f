/**
 * WGSL of matrix products on subgroup matrices (tensor cores on NVIDIA): f16 factors, f32 sums.
 *
 * One workgroup computes a tile of the result, each subgroup a part of it, in matrices of 16 × 16.
 * The depth is walked in steps: tiles of both factors are staged in workgroup memory as they are
 * stored, with padded rows, and loaded as matrices, transposed where the form asks for it. With one
 * stage each thread stores, between two barriers, the vectors that it fetched a step before, and
 * fetches the next while products run. With two stages, which alternate, a step has one barrier;
 * its operands may be loaded a step early.
 *
 * In the end results go through the same workgroup memory (`product_storing_codegen.ts`). Nothing
 * relies on the order in which the lanes of a subgroup run.
 *
 * Workgroup memory: `matrixProductVectors` of `product_tilings.ts`, 16 bytes each.
 *
 * @module
 */
import {
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  RESULT,
  RIGHT,
} from "../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import { type Factor, fetch, firstPlaces, isLinear, put } from "./product_staging_codegen.ts";
import { storeResults } from "./product_storing_codegen.ts";
import {
  type FactorAccess,
  generateBindings,
  generateEpilogue,
  generateFactorPlaces,
  isAdded,
  liesAlongDepth,
  ROTATE,
} from "./product_codegen.ts";
import {
  type MatrixProductTiling,
  matrixProductVectors,
  resultStride,
  type StagedFactor,
  stagedStride,
  stagedVectors,
} from "./product_tilings.ts";
import type { ProductForm, ProductOptions } from "./types.ts";

/** The tiles of both factors. */
export function stagedFactors(
  form: ProductForm,
  { rows, columns, depth }: MatrixProductTiling,
): { readonly left: StagedFactor; readonly right: StagedFactor } {
  return {
    left: { lines: rows, depth, alongDepth: liesAlongDepth(form, "left") },
    right: { lines: columns, depth, alongDepth: liesAlongDepth(form, "right") },
  };
}

/**
 * The shader.
 *
 * @param options `access`: how factors are bound; loads through read-only bindings are moved down
 * to where they wait. `bandRows`: rows of tiles in a band, through which workgroups go column by
 * column. Default: they go through the whole result row by row.
 */
export function generateMatrixProduct(
  options: ProductOptions & { readonly slices: number },
  tiling: MatrixProductTiling,
  { access, bandRows }: { readonly access: FactorAccess; readonly bandRows?: number },
): string {
  const { rows, columns, subgroupsX, subgroupsY, stages = 2 } = tiling;
  const threads = 32 * subgroupsX * subgroupsY;
  const staged = stagedFactors(options.form, tiling);
  const { unguarded = false } = tiling;
  const { leftHeads, rightHeads } = options;
  const left: Factor = {
    ...staged.left,
    unguarded,
    name: "left",
    threads,
    isLinear: isLinear(leftHeads, { ...staged.left, threads }),
    count: "params.rows",
    first: "row0",
    at: 0,
  };
  const right: Factor = {
    ...staged.right,
    unguarded,
    name: "right",
    threads,
    isLinear: isLinear(rightHeads, { ...staged.right, threads }),
    count: "params.columns",
    first: "column0",
    at: stages * stagedVectors(left),
  };
  const own = { rows: rows / subgroupsY, columns: columns / subgroupsX };
  const [down, across] = [range(own.rows / 16), range(own.columns / 16)];
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${generateBindings(options, { vector: "vec4u", access })}
    ${generateFactorPlaces(options, 8)}
    ${options.result.kind === "rope" ? [ROTATE] : []}
    ${generateEpilogue({ ...options, ahead: true, whole: unguarded })}
    // ${
    stages === 1
      ? "The left factor, the right one"
      : "Both stages of the left factor, those of the right one"
  }; in the end results.
    var<workgroup> scratch: array<vec4u, ${matrixProductVectors(tiling, staged)}>;

    @compute @workgroup_size(${threads})
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
      let subgroup = local >> 5u;
      let lane = local & 31u;
      let ownRow = subgroup / ${subgroupsX}u * ${own.rows}u;
      let ownColumn = subgroup % ${subgroupsX}u * ${own.columns}u;
      ${placeTile(tiling, bandRows)}
      let begin = group.z * params.sliceDepth;
      let end = min(begin + params.sliceDepth, params.depth);
      ${down.flatMap((i) => across.map((j) => `var r${i}_${j} = ${RESULT}();`))}
      ${[left, right].flatMap(firstPlaces)}
      ${walkDepth(tiling, { left, right, down, across })}
      ${
    storeResults({
      down,
      across,
      columns: own.columns,
      stride: resultStride(tiling),
      left,
      right,
      added: isAdded(options),
    })
  }
    }

  `;
}

/** Statements that find the workgroup's first row and column. */
function placeTile({ rows, columns }: MatrixProductTiling, bandRows?: number): string[] {
  if (bandRows === undefined) {
    return [`let row0 = group.y * ${rows}u;`, `let column0 = group.x * ${columns}u;`];
  }
  return [
    wgsl`
      let across = (params.columns + ${columns - 1}u) / ${columns}u;
      let down = (params.rows + ${rows - 1}u) / ${rows}u;
      let turn = group.y * across + group.x;
      let bandRow = turn / (${bandRows}u * across) * ${bandRows}u;
      let inBand = turn - bandRow * across;
      let height = min(${bandRows}u, down - bandRow);
      let row0 = (bandRow + inBand % height) * ${rows}u;
      let column0 = inBand / height * ${columns}u;
    `,
  ];
}

/** What the statements that walk the depth need. */
interface Walk {
  readonly left: Factor;
  readonly right: Factor;
  readonly down: readonly number[];
  readonly across: readonly number[];
}

/**
 * Statements that walk the depth. With two stages a step puts the vectors of the next one into the
 * other stage, with one stage its own; then it fetches the next.
 */
function walkDepth({ depth, stages = 2, early }: MatrixProductTiling, walk: Walk): string[] {
  if (early) return walkEarly(walk);
  const both = [walk.left, walk.right];
  const products = range(depth / 16).flatMap((k) => multiplyStep(walk, k));
  const fetchAll = (from: string, declare = false) =>
    both.flatMap((factor) => fetch(factor, { from, declare }));
  const putAll = (stage: string) => both.flatMap((factor) => put(factor, { stage }));
  const open = stages === 2
    ? [
      ...fetchAll("begin", true),
      ...putAll("0u"),
      ...fetchAll(`begin + ${depth}u`),
      "var stage = 0u;",
    ]
    : [...fetchAll("begin", true), "let stage = 0u;"];
  const step = stages === 2
    ? [
      "workgroupBarrier();",
      "let other = 1u - stage;",
      ...putAll("other"),
      ...fetchAll(`k0 + ${2 * depth}u`),
      ...products,
      "stage = other;",
    ]
    : [
      "workgroupBarrier();",
      ...putAll("stage"),
      "workgroupBarrier();",
      ...fetchAll(`k0 + ${depth}u`),
      ...products,
    ];
  return [
    ...open,
    wgsl`
      for (var k0 = begin; k0 < end; k0 += ${depth}u) {
        ${step}
      }
    `,
  ];
}

/**
 * Statements that walk the depth in two stages of 16, a step's operands early. A step loads them
 * before it puts anything, because no compiler knows that both lie in different stages; then it
 * multiplies those of the step before, which wait for nothing. A vector is put two steps after it
 * is fetched. Two steps are written out, so that no register is moved.
 */
function walkEarly({ left, right, down, across }: Walk): string[] {
  const both = [left, right];
  const fetchStep = (n: number, from: string, declare = false) =>
    both.flatMap((factor) => fetch(factor, { from, declare, set: n % 2 }));
  const putStep = (n: number) =>
    both.flatMap((factor) => put(factor, { stage: `${n % 2}u`, set: n % 2 }));
  const multiply = (n: number) =>
    across.flatMap((j) => down.map((i) => multiplyAdd(`r${i}_${j}`, `x${n}_${i}`, `y${n}_${j}`)));
  const step = (n: number) => [
    "workgroupBarrier();",
    ...down.map((i) => `x${n}_${i} = ${loadLeft(left, { k: 0, i, stage: `${n}u` })};`),
    ...across.map((j) => `y${n}_${j} = ${loadRight(right, { k: 0, j, stage: `${n}u` })};`),
    ...putStep(n + 1),
    ...fetchStep(n + 1, `k0 + ${16 * (n + 3)}u`),
    ...multiply(1 - n),
  ];
  return [
    ...[0, 1].flatMap((n) => [
      ...down.map((i) => `var x${n}_${i} = ${LEFT}();`),
      ...across.map((j) => `var y${n}_${j} = ${RIGHT}();`),
    ]),
    ...fetchStep(0, "begin", true),
    ...putStep(0),
    ...fetchStep(1, "begin + 16u", true),
    ...fetchStep(2, "begin + 32u"),
    wgsl`
      for (var k0 = begin; k0 < end; k0 += 32u) {
        ${step(0)}
        ${step(1)}
      }
    `,
    ...multiply(1),
  ];
}

/** WGSL of a matrix of a staged factor. */
function loadOperand(
  factor: Factor,
  { type, stage, k, line }: {
    readonly type: string;
    readonly stage: string;
    readonly k: number;
    readonly line: string;
  },
): string {
  const stride = stagedStride(factor);
  const place = factor.alongDepth
    ? `(${line}) * ${stride}u + ${2 * k}u`
    : `${16 * k * stride}u + (${line}) / 8u`;
  // A left matrix has its lines as rows, a right one as columns.
  const order = (factor.name === "left") === factor.alongDepth ? "row_major" : "col_major";
  const at = `${factor.at}u + ${stage} * ${stagedVectors(factor)}u + ${place}`;
  return `subgroupMatrixLoad<${type}, ${order}>(&scratch, ${at}, ${stride}u)`;
}

/** Which of a subgroup's matrices of a stage is loaded. */
interface Operand {
  /** Which 16 of the depth. */
  readonly k: number;
  /** WGSL of the stage. */
  readonly stage: string;
}

/** WGSL of the i-th left matrix of a subgroup. */
function loadLeft(left: Factor, { k, i, stage }: Operand & { readonly i: number }): string {
  return loadOperand(left, { type: LEFT, stage, k, line: `ownRow + ${16 * i}u` });
}

/** WGSL of the j-th right matrix of a subgroup. */
function loadRight(right: Factor, { k, j, stage }: Operand & { readonly j: number }): string {
  return loadOperand(right, { type: RIGHT, stage, k, line: `ownColumn + ${16 * j}u` });
}

/** Products of one matrix of depth, of all blocks of rows and columns of a subgroup. */
function multiplyStep({ left, right, down, across }: Walk, k: number): string[] {
  const stage = "stage";
  return [
    ...down.map((i) => `let x${k}_${i} = ${loadLeft(left, { k, i, stage })};`),
    ...across.map((j) =>
      wgsl`
        {
          let y = ${loadRight(right, { k, j, stage })};
          ${down.map((i) => multiplyAdd(`r${i}_${j}`, `x${k}_${i}`, "y"))}
        }
      `
    ),
  ];
}
