/**
 * WGSL of matrix products on subgroup matrices (tensor cores on NVIDIA): f16 factors, f32 sums.
 *
 * One workgroup computes a tile of the result, each subgroup a part of it, in matrices of 16 × 16. The
 * depth is walked in steps: tiles of both factors are staged in workgroup memory as they are stored,
 * with padded rows, and loaded as matrices, transposed where the form asks for it. Two stages
 * alternate. After the one barrier of a step each thread stores the vectors that it fetched a step
 * before into the other stage and fetches the next, so that no thread waits for device memory. Options
 * of a tiling change this: one stage alone, vectors fetched two steps before.
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
  /** Whether loads are not bounded. */
  readonly unguarded: boolean;
  /** Whether places are given by distances from the first. */
  readonly distances: boolean;
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
): string {
  const { rows, columns, subgroupsX, subgroupsY, stages = 2, access = "read-write" } = tiling;
  const threads = 32 * subgroupsX * subgroupsY;
  const staged = stagedFactors(options.form, tiling);
  const { unguarded = false, distances = false } = tiling;
  const shared = { threads, unguarded, distances };
  const left: Factor = {
    ...staged.left,
    ...shared,
    name: "left",
    count: "params.rows",
    first: "row0",
    at: 0,
  };
  const right: Factor = {
    ...staged.right,
    ...shared,
    name: "right",
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
      ${placeTile(tiling)}
      let begin = group.z * params.sliceDepth;
      let end = min(begin + params.sliceDepth, params.depth);
      ${down.flatMap((i) => across.map((j) => `var r${i}_${j} = ${RESULT}();`))}
      ${walkDepth(tiling, { factors: { left, right }, down, across })}
      ${down.flatMap((i) => storeRows(tiling, { i, across, columns: own.columns }))}
    }

  `;
}

/** Statements that find the workgroup's first row and column. */
function placeTile({ rows, columns, bandRows }: MatrixProductTiling): string[] {
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
 * stage, with one stage its own; then it fetches those that it will put `ahead` steps later. Steps are
 * unrolled by `ahead`, so that no register that waits for device memory is moved.
 */
function walkDepth(
  { depth, stages = 2, ahead = 1, multipliesFirst = 0 }: MatrixProductTiling,
  { factors, down, across }: {
    readonly factors: { readonly left: Factor; readonly right: Factor };
    readonly down: readonly number[];
    readonly across: readonly number[];
  },
): string[] {
  const both = [factors.left, factors.right];
  const parts = range(depth / 16).map((k) => multiplyStep({ ...factors, k, down, across }));
  const each = (statements: (factor: Factor) => string[]) => both.flatMap(statements);
  const fetchInto = (set: number, from: string, declare = false) =>
    each((factor) => fetch(factor, { from, declare, set }));
  const putFrom = (set: number, stage: string) => each((factor) => put(factor, { stage, set }));
  const after = (steps: number) => steps === 0 ? "begin" : `begin + ${steps * depth}u`;
  // Steps from the one that is multiplied to the one that is put.
  const lead = stages - 1;
  const open = lead === 1
    ? [
      ...fetchInto(0, "begin", true),
      ...putFrom(0, "0u"),
      ...range(ahead).flatMap((n) => fetchInto((n + 1) % ahead, after(n + 1), n + 1 < ahead)),
      ...ahead === 1 ? ["var stage = 0u;"] : [],
    ]
    : [...range(ahead).flatMap((n) => fetchInto(n, after(n), true)), "let stage = 0u;"];
  const step = (n: number) => {
    const set = (n + lead) % ahead;
    const next = fetchInto(set, `k0 + ${(n + lead + ahead) * depth}u`);
    const multiply = (staging: readonly string[]) => [
      ...parts.slice(0, multipliesFirst).flat(),
      ...staging,
      ...parts.slice(multipliesFirst).flat(),
    ];
    return lead === 1
      ? [
        "workgroupBarrier();",
        ...ahead === 1
          ? ["let other = 1u - stage;"]
          : [`let stage = ${n}u;`, `let other = ${1 - n}u;`],
        ...multiply([...putFrom(set, "other"), ...next]),
        ...ahead === 1 ? ["stage = other;"] : [],
      ]
      : [
        "workgroupBarrier();",
        ...putFrom(set, "stage"),
        "workgroupBarrier();",
        ...multiply(next),
      ];
  };
  const steps = range(ahead).map(step);
  return [
    ...open,
    wgsl`
      for (var k0 = begin; k0 < end; k0 += ${ahead * depth}u) {
        ${
      ahead === 1 ? steps[0] : steps.map((lines) =>
        wgsl`
          {
            ${lines}
          }
        `
      )
    }
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

/** WGSL of the row and of the vector in it that a thread stages as its n-th. */
function placeOfUnit(factor: Factor, n: number): { row: string; vector: string } {
  const { threads, distances } = factor;
  const { inRow } = unitsOf(factor);
  if (!distances || threads % inRow !== 0) return { row: `u / ${inRow}u`, vector: `u % ${inRow}u` };
  const distance = n === 0 ? "" : ` + ${n * threads / inRow}u`;
  return { row: `local / ${inRow}u${distance}`, vector: `local % ${inRow}u` };
}

/** WGSL of the vector of a stage at which a thread's n-th is put. */
function unitPlace(factor: Factor, { n, stride }: { n: number; stride: number }): string {
  const { threads, distances } = factor;
  const { inRow } = unitsOf(factor);
  if (!distances || threads % inRow !== 0) {
    return `u / ${inRow}u * ${stride}u + u % ${inRow}u`;
  }
  const distance = n === 0 ? "" : ` + ${n * threads / inRow * stride}u`;
  return `local / ${inRow}u * ${stride}u + local % ${inRow}u${distance}`;
}

/** Name of a vector under way: those of the first set have no suffix. */
function vectorName(name: string, { n, set }: { n: number; set: number }): string {
  return `${name}${n}${set === 0 ? "" : "b"}`;
}

/** Statements that load a thread's vectors of the step that begins at `from`; zeros beyond the ends. */
function fetch(
  factor: Factor,
  { from, declare, set }: { from: string; declare: boolean; set: number },
): string[] {
  const { name, first, count, alongDepth, threads, depth, unguarded } = factor;
  const { units } = unitsOf(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const { row, vector: inside } = placeOfUnit(factor, n);
    const column = `${inside} * 8u`;
    const [line, k] = alongDepth ? [row, column] : [column, row];
    const place = alongDepth ? "line, k" : "k, line";
    const partial = (n + 1) * threads > units;
    const guard = partial ? `u < ${units}u && ` : "";
    const vector = vectorName(name, { n, set });
    const load = `${vector} = ${name}[${name}Place(${place})];`;
    // Without bounds the last step is loaded again where the depth ends.
    const start = unguarded ? `min(${from}, end - ${depth}u)` : from;
    const condition = unguarded
      ? (partial ? `u < ${units}u` : undefined)
      : `${guard}k < end && line < ${count}`;
    return wgsl`
      ${declare ? [`var ${vector} = vec4u();`] : unguarded ? [] : [`${vector} = vec4u();`]}
      {
        let u = local + ${n * threads}u;
        let line = ${first} + ${line};
        let k = ${start} + ${k};
        ${condition === undefined ? load : `if (${condition}) { ${load} }`}
      }
    `;
  });
}

/** Statements that put what was fetched into a stage. */
function put(factor: Factor, { stage, set }: { stage: string; set: number }): string[] {
  const { name, threads } = factor;
  const { units } = unitsOf(factor);
  const stride = stagedStride(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const guard = (n + 1) * threads > units ? `if (u < ${units}u) ` : "";
    const begin = `${factor.at}u + ${stage} * ${stagedVectors(factor)}u`;
    const at = unitPlace(factor, { n, stride });
    return wgsl`
      {
        let u = local + ${n * threads}u;
        ${guard}{ scratch[${begin} + ${at}] = ${vectorName(name, { n, set })}; }
      }
    `;
  });
}
