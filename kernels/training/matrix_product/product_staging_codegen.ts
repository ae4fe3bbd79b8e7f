/**
 * WGSL that stages tiles of both factors of a product on matrix units: where a thread's vectors lie
 * in device memory and in workgroup memory, and how they are loaded and stored.
 *
 * Banks of workgroup memory: where a row that is staged is shorter than 128 bytes, 8 threads store
 * vectors of several rows. Such rows are staged in another order within each 8, in which these
 * vectors lie in different banks; rows and columns of the results are put back in order when they
 * are stored.
 *
 * Places of a thread's vectors in device memory are its first one's, plus distances that are the
 * same for all threads, where the stored matrix allows it.
 *
 * @module
 */
import { range, wgsl } from "../../gpu/wgsl.ts";
import { type StagedFactor, stagedStride, stagedVectors } from "./product_tilings.ts";
import type { ProductOptions } from "./types.ts";

/** A factor of a tile, and how threads stage it. */
export interface Factor extends StagedFactor {
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
  /** Whether places are given by distances from a thread's first. */
  readonly isLinear: boolean;
}

/**
 * Whether places of a factor add up from those of a thread's first vector, of a distance and of a
 * step.
 */
export function isLinear(
  heads: ProductOptions["leftHeads"],
  { lines, depth, alongDepth, threads }: StagedFactor & { readonly threads: number },
): boolean {
  // The threads take whole rows, and groups of 8 where their order may change within one.
  if (threads % (alongDepth ? depth : lines / 8) !== 0) return false;
  return !heads || heads.sequences === 1 && (!alongDepth || heads.headDim % depth === 0);
}

/** Statements that find a thread's first vector of a factor. */
export function firstPlaces(factor: Factor): string[] {
  if (!factor.isLinear) return [];
  const { name, first, alongDepth } = factor;
  const { inRow } = unitsOf(factor);
  const [row, vector] = [`local / ${inRow}u`, `local % ${inRow}u * 8u`];
  const place = alongDepth ? `${first} + ${row}, ${vector}` : `${row}, ${first} + ${vector}`;
  return [
    `let ${name}First = ${name}Place(${place});`,
    `let ${name}Put = ${rowPlace(factor, row)} * ${stagedStride(factor)}u + local % ${inRow}u;`,
  ];
}

/** WGSL of where a row of a tile is staged. */
function rowPlace(factor: Factor, row: string): string {
  switch (isApart(factor) ? unitsOf(factor).inRow : 0) {
    case 2:
      return `((${row}) / 8u * 8u + (${row}) % 4u * 2u + (${row}) / 4u % 2u)`;
    case 4:
      return `((${row}) / 8u * 8u + (${row}) % 2u * 4u + (${row}) / 2u % 4u)`;
    default:
      return `(${row})`;
  }
}

/** WGSL of the row of a tile that is staged at a place. */
export function rowAt(factor: Factor, place: string): string {
  switch (isApart(factor) ? unitsOf(factor).inRow : 0) {
    case 2:
      return `((${place}) / 8u * 8u + (${place}) % 2u * 4u + (${place}) / 2u % 4u)`;
    case 4:
      return `((${place}) / 8u * 8u + (${place}) % 4u * 2u + (${place}) / 4u % 2u)`;
    default:
      return place;
  }
}

/** Whether a factor's rows are staged in another order. */
function isApart(factor: Factor): boolean {
  return factor.alongDepth && [2, 4].includes(unitsOf(factor).inRow);
}

/** WGSL of 8 results in order, from `a` and `b` as they are staged. */
export function inOrder(right: Factor): readonly [a: string, b: string] {
  if (!isApart(right)) return ["a", "b"];
  return unitsOf(right).inRow === 2
    ? ["vec4f(a.xz, b.xz)", "vec4f(a.yw, b.yw)"]
    : ["vec4f(a.x, b.x, a.y, b.y)", "vec4f(a.z, b.z, a.w, b.w)"];
}

/** Vectors of a tile, and how many of them lie in a row as it is staged. */
function unitsOf({ lines, depth, alongDepth }: Factor): { units: number; inRow: number } {
  return { units: lines * depth / 8, inRow: (alongDepth ? depth : lines) / 8 };
}

/** Name of a thread's n-th vector under way: those of the first set have no suffix. */
function vectorName({ name }: Factor, { n, set }: { n: number; set: number }): string {
  return `${name}${n}${set === 0 ? "" : "b"}`;
}

/**
 * Statements that load a thread's vectors of the step that begins at `from`; zeros beyond the ends.
 *
 * @param options `set`: which of two sets of registers they are loaded into.
 */
export function fetch(
  factor: Factor,
  { from, declare, set = 0 }: { from: string; declare: boolean; set?: number },
): string[] {
  const { name, first, count, alongDepth, threads, depth, unguarded, isLinear } = factor;
  const { units, inRow } = unitsOf(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const [row, column] = [`u / ${inRow}u`, `u % ${inRow}u * 8u`];
    const [line, k] = alongDepth ? [row, column] : [column, row];
    const partial = (n + 1) * threads > units;
    const guard = partial ? `u < ${units}u && ` : "";
    const vector = vectorName(factor, { n, set });
    // Without bounds the last step is loaded again where the depth ends.
    const start = unguarded ? `min(${from}, end - ${depth}u)` : from;
    const condition = unguarded
      ? (partial ? `u < ${units}u` : undefined)
      : `${guard}k < end && line < ${count}`;
    const distance = `${n * threads / inRow}u`;
    const step = alongDepth
      ? `${name}Place(${distance}, 0u) + ${name}Place(0u, start)`
      : `${name}Place(start + ${distance}, 0u)`;
    const place = isLinear
      ? `${name}First + (${step})`
      : `${name}Place(${alongDepth ? "line, k" : "k, line"})`;
    const load = `${vector} = ${name}[${place}];`;
    const places = isLinear && condition === undefined ? [] : [
      `let u = local + ${n * threads}u;`,
      `let line = ${first} + ${line};`,
      `let k = start + ${k};`,
    ];
    return wgsl`
      ${declare ? [`var ${vector} = vec4u();`] : unguarded ? [] : [`${vector} = vec4u();`]}
      {
        let start = ${start};
        ${places}
        ${condition === undefined ? load : `if (${condition}) { ${load} }`}
      }
    `;
  });
}

/** Statements that put what was fetched into a stage. */
export function put(factor: Factor, { stage, set = 0 }: { stage: string; set?: number }): string[] {
  const { name, threads, isLinear } = factor;
  const { units, inRow } = unitsOf(factor);
  const stride = stagedStride(factor);
  return range(Math.ceil(units / threads)).map((n) => {
    const guard = (n + 1) * threads > units ? `if (u < ${units}u) ` : "";
    const begin = `${factor.at}u + ${stage} * ${stagedVectors(factor)}u`;
    const at = isLinear
      ? `${name}Put + ${n * threads / inRow * stride}u`
      : `${rowPlace(factor, `u / ${inRow}u`)} * ${stride}u + u % ${inRow}u`;
    return wgsl`
      {
        let u = local + ${n * threads}u;
        ${guard}{ scratch[${begin} + ${at}] = ${vectorName(factor, { n, set })}; }
      }
    `;
  });
}
