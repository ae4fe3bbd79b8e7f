/**
 * WGSL of matrix products on subgroup matrices (tensor cores on NVIDIA): f16 factors, f32 sums.
 *
 * One workgroup computes a tile of the result, each subgroup a part of it, in matrices of 16 × 16. The
 * depth is walked in steps: tiles of both factors are staged in workgroup memory as they are stored,
 * with padded rows, and loaded as matrices, transposed where the form asks for it. Two stages
 * alternate. After the one barrier of a step each thread stores the vectors that it fetched a step
 * before into the other stage and fetches the next, so that no thread waits for device memory.
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

/** A factor of a tile, and how threads stage it. */
interface Factor extends StagedFactor {
  readonly name: "left" | "right";
  /** WGSL of the number of lines. */
  readonly count: string;
  /** WGSL of the workgroup's first line. */
  readonly first: string;
  /** Vector of workgroup memory at which its first stage begins. */
  readonly at: number;
  readonly threads: number;
}

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

/** The shader. */
export function generateMatrixProduct(
  options: ProductOptions & { readonly slices: number },
  tiling: MatrixProductTiling,
  access: FactorAccess,
): string {
  const { rows, columns, depth, subgroupsX, subgroupsY } = tiling;
  const threads = 32 * subgroupsX * subgroupsY;
  const staged = stagedFactors(options.form, tiling);
  const left: Factor = {
    ...staged.left,
    name: "left",
    count: "params.rows",
    first: "row0",
    at: 0,
    threads,
  };
  const right: Factor = {
    ...staged.right,
    name: "right",
    count: "params.columns",
    first: "column0",
    at: 2 * stagedVectors(left),
    threads,
  };
  const factors = [left, right];
  const own = { rows: rows / subgroupsY, columns: columns / subgroupsX };
  const [down, across] = [range(own.rows / 16), range(own.columns / 16)];
  return wgsl`
    ${MATRIX_DIRECTIVES}
    ${generateBindings(options, { vector: "vec4u", access })}
    ${generateFactorPlaces(options, 8)}
    ${options.result.kind === "rope" ? [ROTATE] : []}
    ${generateEpilogue(options)}
    // Both stages of the left factor, those of the right one; in the end results.
    var<workgroup> scratch: array<vec4u, ${matrixProductVectors(tiling, staged)}>;

    @compute @workgroup_size(${threads})
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
      let subgroup = local >> 5u;
      let lane = local & 31u;
      let ownRow = subgroup / ${subgroupsX}u * ${own.rows}u;
      let ownColumn = subgroup % ${subgroupsX}u * ${own.columns}u;
      let row0 = group.y * ${rows}u;
      let column0 = group.x * ${columns}u;
      let begin = group.z * params.sliceDepth;
      let end = min(begin + params.sliceDepth, params.depth);
      ${down.flatMap((i) => across.map((j) => `var r${i}_${j} = ${RESULT}();`))}
      ${factors.flatMap((factor) => fetch(factor, "begin", true))}
      ${factors.flatMap((factor) => put(factor, "0u"))}
      ${factors.flatMap((factor) => fetch(factor, `begin + ${depth}u`, false))}
      var stage = 0u;
      for (var k0 = begin; k0 < end; k0 += ${depth}u) {
        workgroupBarrier();
        let other = 1u - stage;
        ${factors.flatMap((factor) => put(factor, "other"))}
        ${factors.flatMap((factor) => fetch(factor, `k0 + ${2 * depth}u`, false))}
        ${range(depth / 16).flatMap((k) => multiplyStep({ left, right, k, down, across }))}
        stage = other;
      }
      ${down.flatMap((i) => storeRows(tiling, { i, across, columns: own.columns }))}
    }

  `;
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
  { i, across, columns }: {
    readonly i: number;
    readonly across: readonly number[];
    readonly columns: number;
  },
): string[] {
  const stride = resultStride(tiling);
  const octets = columns / 8;
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
          let a = bitcast<vec4f>(scratch[at]);
          let b = bitcast<vec4f>(scratch[at + 1u]);
          let resultRow = row0 + ownRow + ${16 * i}u + row;
          storeOctet(group.z, resultRow, column0 + ownColumn + column * 8u, a, b);
        }
      }
    `,
  ];
}

/** Vectors of a tile, and how many of them lie in a row as it is staged. */
function unitsOf({ lines, depth, alongDepth }: Factor): { units: number; inRow: number } {
  return { units: lines * depth / 8, inRow: (alongDepth ? depth : lines) / 8 };
}

/** Statements that load a thread's vectors of the step that begins at `from`; zeros beyond the ends. */
function fetch(factor: Factor, from: string, declare: boolean): string[] {
  const { name, first, count, alongDepth, threads } = factor;
  const { units, inRow } = unitsOf(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const [row, column] = [`u / ${inRow}u`, `u % ${inRow}u * 8u`];
    const [line, k] = alongDepth ? [row, column] : [column, row];
    const place = alongDepth ? "line, k" : "k, line";
    const guard = (n + 1) * threads > units ? `u < ${units}u && ` : "";
    return wgsl`
      ${declare ? "var " : ""}${name}${n} = vec4u();
      {
        let u = local + ${n * threads}u;
        let line = ${first} + ${line};
        let k = ${from} + ${k};
        if (${guard}k < end && line < ${count}) { ${name}${n} = ${name}[${name}Place(${place})]; }
      }
    `;
  });
}

/** Statements that put what was fetched into a stage. */
function put(factor: Factor, stage: string): string[] {
  const { name, threads, at } = factor;
  const { units, inRow } = unitsOf(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const guard = (n + 1) * threads > units ? `if (u < ${units}u) ` : "";
    const begin = `${at}u + ${stage} * ${stagedVectors(factor)}u`;
    return wgsl`
      {
        let u = local + ${n * threads}u;
        ${guard}{ scratch[${begin} + u / ${inRow}u * ${
      stagedStride(factor)
    }u + u % ${inRow}u] = ${name}${n}; }
      }
    `;
  });
}
