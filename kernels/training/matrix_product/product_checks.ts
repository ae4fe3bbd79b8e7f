/**
 * Checks of what a matrix product is planned for, before anything is planned.
 *
 * @module
 */
import { requireDType, requireRecord, requireWhole, show } from "../../gpu/require.ts";
import { type MatrixProductTiling, productTilingName } from "./product_tilings.ts";
import { type HeadLayout, PRODUCT_FORMS, type ProductOptions } from "./types.ts";

/** The first words of errors. */
export const ACTION = "plan matrix product";

/** Elements of a matrix that is stored by heads. */
export function headElements(layout: HeadLayout): number {
  const { parts, sequences, heads, context, headDim } = layout;
  return (parts - 1) * partStride(layout) + sequences * heads * context * headDim;
}

/** Elements from one part to the next. */
export function partStride({ partStride, sequences, heads, context, headDim }: HeadLayout): number {
  return partStride ?? sequences * heads * context * headDim;
}

function requireLayout(
  name: string,
  layout: HeadLayout | undefined,
  { tokens, width }: { tokens: number; width: number },
): void {
  if (layout === undefined) return;
  requireRecord(`${ACTION}: ${name}`, "the layout", layout);
  const { parts, sequences, heads, context, headDim } = layout;
  for (const [field, value] of Object.entries({ parts, sequences, heads, context, headDim })) {
    requireWhole(`${ACTION}: ${name}`, field, value);
  }
  const own = `${sequences} × ${context} tokens of ${parts} × ${heads} × ${headDim}`;
  if (sequences * context !== tokens || parts * heads * headDim !== width) {
    throw new RangeError(`${ACTION}: ${name} has ${own}, the matrix is [${tokens}, ${width}]`);
  }
  for (const [field, value] of Object.entries({ headDim, partStride: partStride(layout) })) {
    if (value % 8 === 0) continue;
    throw new RangeError(`${ACTION}: ${name} has ${field} ${value}, not a multiple of 8`);
  }
}

/** Kinds of results. */
const KINDS: readonly unknown[] = ["store", "rope", "residual", "swiglu", "accumulate"];

/**
 * Checks the options of a product.
 *
 * @throws {TypeError} when a form, a result or an element type is unknown, or something is missing.
 * @throws {RangeError} naming the value that is out of range.
 */
export function requireProduct(options: ProductOptions): void {
  requireRecord(ACTION, "the product", options);
  const { form, rows, columns, depth, dtype, result, leftHeads, rightHeads, slices } = options;
  if (!PRODUCT_FORMS.includes(form)) {
    throw new TypeError(`${ACTION}: form ${show(form)} is not one of ${PRODUCT_FORMS.join(", ")}`);
  }
  for (const [name, value] of Object.entries({ rows, columns, depth })) {
    requireWhole(ACTION, name, value, { most: 2 ** 32 - 1 });
  }
  requireDType(ACTION, dtype);
  requireRecord(ACTION, "the result", result);
  if (!KINDS.includes(result.kind)) {
    throw new TypeError(`${ACTION}: result ${show(result.kind)} is not one of ${KINDS.join(", ")}`);
  }
  if (result.kind === "rope") requireRecord(ACTION, "the heads of the result", result.heads);
  requireKernel(options);
  const adjacent: [string, number][] = [["columns", columns]];
  if (form === "TN") adjacent.push(["rows", rows]);
  else adjacent.push(["depth", depth]);
  for (const [name, value] of adjacent) {
    if (value % 8 !== 0) {
      throw new RangeError(`${ACTION}: ${name} ${value} of form ${form} is not a multiple of 8`);
    }
  }
  const left = form === "TN" ? { tokens: depth, width: rows } : { tokens: rows, width: depth };
  requireLayout("the left factor", leftHeads, left);
  if (rightHeads && form !== "TN") {
    throw new RangeError(`${ACTION}: the right factor of form ${form} holds weights, not heads`);
  }
  requireLayout("the right factor", rightHeads, { tokens: depth, width: columns });
  if (result.kind === "store") requireDType(`${ACTION}: result`, result.dtype);
  if (result.kind === "store" || result.kind === "rope") {
    requireLayout("the result", result.heads, { tokens: rows, width: columns });
  }
  if (slices !== undefined) {
    requireWhole(ACTION, "slices", slices, { most: 65535 });
    if (slices > 1 && !isSummed(result)) {
      throw new RangeError(
        `${ACTION}: ${slices} slices of a result that is neither accumulated nor f32 by rows`,
      );
    }
  }
}

/** Whether a result may be the sum of slices. */
export function isSummed(result: ProductOptions["result"]): boolean {
  return result.kind === "accumulate" ||
    result.kind === "store" && result.dtype === "f32" && !result.heads;
}

/** Checks the kernel and the tiling that are asked for. */
function requireKernel({ kernel, tiling, matrixTiling }: ProductOptions): void {
  if (kernel !== undefined && kernel !== "portable" && kernel !== "matrix") {
    throw new TypeError(`${ACTION}: kernel ${show(kernel)} is not one of portable, matrix`);
  }
  const requireTiling = (given: object | undefined, names: readonly string[]) => {
    if (given === undefined) return;
    requireRecord(ACTION, "the tiling", given);
    for (const name of names) {
      requireWhole(ACTION, `${name} of the tiling`, (given as Record<string, unknown>)[name], {
        most: 4096,
      });
    }
  };
  requireTiling(tiling, ["rows", "columns", "depth", "threadsY"]);
  requireTiling(matrixTiling, ["rows", "columns", "depth", "subgroupsY", "subgroupsX"]);
  if (matrixTiling) requireOptions(matrixTiling);
  const divides = tiling
    ? [4, 8].includes(tiling.rows / tiling.threadsY) && tiling.columns % 8 === 0 &&
      tiling.depth % 4 === 0
    : matrixTiling
    ? matrixTiling.rows % (16 * matrixTiling.subgroupsY) === 0 &&
      matrixTiling.columns % (16 * matrixTiling.subgroupsX) === 0 && matrixTiling.depth % 16 === 0
    : true;
  if (!divides) {
    const name = productTilingName((tiling ?? matrixTiling)!);
    throw new RangeError(`${ACTION}: tiling ${name} does not divide into threads or matrices`);
  }
}

/** Checks what a tiling on matrix units may leave out. */
function requireOptions(tiling: MatrixProductTiling): void {
  const { stages, unguarded, early, bandRows } = tiling;
  const allowed: [string, unknown, readonly unknown[]][] = [
    ["stages", stages, [1, 2]],
    ["unguarded", unguarded, [true, false]],
    ["early", early, [true, false]],
  ];
  for (const [name, value, values] of allowed) {
    if (value === undefined || values.includes(value)) continue;
    const list = values.join(", ");
    throw new TypeError(`${ACTION}: ${name} of the tiling ${show(value)} is not one of ${list}`);
  }
  if (bandRows !== undefined) {
    requireWhole(ACTION, "bandRows of the tiling", bandRows, { most: 4096 });
  }
  if (early && (stages === 1 || tiling.depth !== 16)) {
    const name = productTilingName(tiling);
    throw new RangeError(`${ACTION}: tiling ${name} does not have two stages of 16`);
  }
}
