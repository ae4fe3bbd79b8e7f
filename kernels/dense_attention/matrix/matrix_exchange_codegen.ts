/**
 * WGSL that the shaders on subgroup matrices share: types, and the exchange between the results of
 * one product and the operands of the next.
 *
 * A matrix has no element access. A subgroup therefore stores its results (f32 scores) to its own
 * *scratch* in workgroup memory; each lane reads 8 of them and writes 8 weights (f16) back, which
 * are loaded as a left matrix. Rows of scores are 96 bytes apart and rows of weights 48; in every
 * other four rows a lane reads the second half of its scores first, so that no two accesses
 * conflict in a bank.
 *
 * **Within a subgroup** lanes exchange data through the scratch without a barrier. WGSL does not
 * guarantee that order; it holds on devices whose subgroups run in lockstep, and the checks of
 * every run would detect a device where it does not.
 *
 * @module
 */
import { flatWgsl, wgsl } from "../../gpu/wgsl.ts";
import { SCORE_STRIDE, WEIGHT_STRIDE } from "./matrix_layout.ts";

/** Directives at the start of every shader on subgroup matrices. */
export const MATRIX_DIRECTIVES = `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Branches depend on the subgroup, never on the lane.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
`;

/** The matrices that are multiplied, and their products. */
export const LEFT = "subgroup_matrix_left<f16, 16, 16>";
export const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
export const RESULT = "subgroup_matrix_result<f32, 16, 16>";

/** Adds the product of two matrices to a result. */
export function multiplyAdd(result: string, left: string, right: string): string {
  return `${result} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${result});`;
}

/** Positions of a lane's elements in a scratch. Expects the builtin `local`. */
export const LANE_PLACES = wgsl`
  let subgroup = local >> 5u;
  let row16 = local & 15u;        // the lane's row of a matrix
  let side = (local >> 4u) & 1u;  // and which 8 of its 16 columns
  // It finds its scores in two halves, the one from column0 first, and puts its weights together.
  let swap = (row16 >> 2u) & 1u;
  let column0 = side * 8u + swap * 4u;
  let half0 = row16 * ${SCORE_STRIDE}u + side * 2u + swap;
  let weight0 = row16 * ${WEIGHT_STRIDE}u + side;
`;

/** Stores a result matrix to the scratch at `scratch`. */
export function storeResult(scratch: string, result: string): string {
  return `subgroupMatrixStore<row_major>(&scratch, ${scratch}, ${result}, ${SCORE_STRIDE}u);`;
}

/** 8 scores of a lane from the scratch at `scratch`, as variables `<name>a` and `<name>b`. */
export function readScores(scratch: string, name: string): string {
  return flatWgsl`
    var ${name}a = bitcast<vec4f>(scratch[${scratch} + half0]);
    var ${name}b = bitcast<vec4f>(scratch[${scratch} + (half0 ^ 1u)]);
  `;
}

/** Columns of the two halves, counted from `first`, as `keyA` and `keyB`. */
export function columnsOfHalves(first: string): string {
  return flatWgsl`
    let keyA = vec4u(${first} + column0) + vec4u(0u, 1u, 2u, 3u);
    let keyB = vec4u(${first} + (column0 ^ 4u)) + vec4u(0u, 1u, 2u, 3u);
  `;
}

/** The two halves of a lane's weights, rounded to f16 and in order, as `vec4u` `<name>w`. */
export function packWeights(name: string): string {
  const packed = (half: string) =>
    `pack2x16float(${name}${half}.xy), pack2x16float(${name}${half}.zw)`;
  return flatWgsl`
    let ${name}p = vec4u(${packed("a")}, ${packed("b")});
    let ${name}w = select(${name}p, ${name}p.zwxy, swap == 1u);
  `;
}

/** The variable `name`: the left matrix of weights at `place` of the scratches. */
export function loadWeights(
  name: string,
  place: string,
  order: "row_major" | "col_major" = "row_major",
): string {
  return `let ${name} = subgroupMatrixLoad<${LEFT}, ${order}>(` +
    `&scratch, ${place}, ${WEIGHT_STRIDE}u);`;
}

/** 8 elements of a row of results from the scratch, times `factor`, as `vec4f` `a` and `z`. */
export function readResults(scratch: string, factor: string): string {
  return flatWgsl`
    let at = ${scratch} + row16 * ${SCORE_STRIDE}u + side * 2u;
    let a = bitcast<vec4f>(scratch[at]) * ${factor};
    let z = bitcast<vec4f>(scratch[at + 1u]) * ${factor};
  `;
}

/** `vec4u` `rounded` of the 8 adjacent halves that `a` and `z` round to. */
export const ROUNDED_RESULTS =
  "let x = nearestHalf(a); let y = nearestHalf(z); let rounded = vec4u(pack2x16float(x.xy), " +
  "pack2x16float(x.zw), pack2x16float(y.xy), pack2x16float(y.zw));";

/** Puts an equal share of other statements after each of some products. */
export function interleave(products: readonly string[], others: readonly string[]): string[] {
  const share = Math.ceil(others.length / products.length);
  return products.flatMap((product, i) => [
    product,
    ...others.slice(i * share, (i + 1) * share),
  ]);
}
