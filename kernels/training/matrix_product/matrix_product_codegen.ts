/**
 * WGSL of matrix products on subgroup matrices (tensor cores on NVIDIA): f16 factors, f32 sums.
 *
 * One workgroup computes a tile of the result, each subgroup a part of it, in matrices of 16 × 16. The
 * depth is walked in steps: tiles of both factors are staged in workgroup memory as they are stored,
 * with padded rows, and loaded as matrices, transposed where the form asks for it. With one stage each
 * thread stores, between two barriers, the vectors that it fetched a step before, and fetches the next
 * while products run. With two stages, which alternate, a step has one barrier.
 *
 * In the end results go through the same workgroup memory, 16 rows of a subgroup at a time, between
 * barriers, to the epilogue that the portable kernel has too. Nothing relies on the order in which the
 * lanes of a subgroup run.
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
import {
  type Factor,
  fetch,
  firstPlaces,
  inOrder,
  isLinear,
  put,
  rowAt,
} from "./product_staging_codegen.ts";
import {
  type FactorAccess,
  generateBindings,
  generateEpilogue,
  generateFactorPlaces,
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
 * @param options `access`: how factors are bound; loads through read-only bindings are moved down to where
 * they wait. `bandRows`: rows of tiles in a band, through which workgroups go column by column. Default:
 * they go through the whole result row by row.
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
  const shared = { threads, unguarded };
  const left: Factor = {
    ...staged.left,
    ...shared,
    name: "left",
    isLinear: isLinear(leftHeads, { ...staged.left, threads }),
    count: "params.rows",
    first: "row0",
    at: 0,
  };
  const right: Factor = {
    ...staged.right,
    ...shared,
    name: "right",
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
    ${generateEpilogue(options)}
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
      ${walkDepth(tiling, { factors: { left, right }, down, across })}
      ${down.flatMap((i) => storeRows(tiling, { i, across, columns: own.columns, left, right }))}
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

/**
 * Statements that walk the depth. With two stages a step puts the vectors of the next one into the other
 * stage, with one stage its own; then it fetches the next.
 */
function walkDepth(
  { depth, stages = 2 }: MatrixProductTiling,
  { factors, down, across }: {
    readonly factors: { readonly left: Factor; readonly right: Factor };
    readonly down: readonly number[];
    readonly across: readonly number[];
  },
): string[] {
  const both = [factors.left, factors.right];
  const products = range(depth / 16).flatMap((k) => multiplyStep({ ...factors, k, down, across }));
  const fetchAll = (from: string, declare = false) =>
    both.flatMap((factor) => fetch(factor, { from, declare }));
  const putAll = (stage: string) => both.flatMap((factor) => put(factor, stage));
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

/** Products of one matrix of depth, of all blocks of rows and columns of a subgroup. */
function multiplyStep(
  { left, right, k, down, across }: {
    readonly left: Factor;
    readonly right: Factor;
    readonly k: number;
    readonly down: readonly number[];
    readonly across: readonly number[];
  },
): string[] {
  const load = (factor: Factor, type: string, line: string) => {
    const stride = stagedStride(factor);
    const place = factor.alongDepth
      ? `(${line}) * ${stride}u + ${2 * k}u`
      : `${16 * k * stride}u + (${line}) / 8u`;
    // A left matrix has its lines as rows, a right one as columns.
    const order = (factor.name === "left") === factor.alongDepth ? "row_major" : "col_major";
    const at = `${factor.at}u + stage * ${stagedVectors(factor)}u + ${place}`;
    return `subgroupMatrixLoad<${type}, ${order}>(&scratch, ${at}, ${stride}u)`;
  };
  return [
    ...down.map((i) => `let x${k}_${i} = ${load(left, LEFT, `ownRow + ${16 * i}u`)};`),
    ...across.map((j) =>
      wgsl`
        {
          let y = ${load(right, RIGHT, `ownColumn + ${16 * j}u`)};
          ${down.map((i) => multiplyAdd(`r${i}_${j}`, `x${k}_${i}`, "y"))}
        }
      `
    ),
  ];
}

/** Stores the i-th 16 rows of every subgroup. */
function storeRows(
  tiling: MatrixProductTiling,
  { i, across, columns, left, right }: {
    readonly i: number;
    readonly across: readonly number[];
    readonly columns: number;
    readonly left: Factor;
    readonly right: Factor;
  },
): string[] {
  const stride = resultStride(tiling);
  const octets = columns / 8;
  const [a, b] = inOrder(right);
  return [
    "workgroupBarrier();",
    wgsl`
      {
        let own = subgroup * ${16 * stride}u;
        ${
      across.map((j) =>
        `subgroupMatrixStore<row_major>(&scratch, own + ${4 * j}u, r${i}_${j}, ${stride}u);`
      )
    }
        workgroupBarrier();
        for (var octet = lane; octet < ${16 * octets}u; octet += 32u) {
          let row = octet / ${octets}u;
          let column = octet % ${octets}u;
          let at = own + row * ${stride}u + column * 2u;
          // Of 8 threads in a row half read their second vector first, so that no bank is met twice.
          let swap = (column >> 2u) & 1u;
          let x = bitcast<vec4f>(scratch[at + swap]);
          let y = bitcast<vec4f>(scratch[at + 1u - swap]);
          let a = select(x, y, swap == 1u);
          let b = select(y, x, swap == 1u);
          let resultRow = row0 + ownRow + ${16 * i}u + ${rowAt(left, "row")};
          storeOctet(group.z, resultRow, column0 + ownColumn + column * 8u, ${a}, ${b});
        }
      }
    `,
  ];
}
