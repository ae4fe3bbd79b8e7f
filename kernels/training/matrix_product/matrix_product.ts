/**
 * Matrix products of the training step: `[rows, depth] × [depth, columns]`, in the three forms that a
 * layer's output, the gradient of its input and that of its weights need, with the epilogues that
 * follow them. `types.ts` says which.
 *
 * Shapes: sizes that lie side by side in memory are multiples of 8; others are any. A matrix of tokens
 * may be stored by heads, `[parts, sequences, heads, context, headDim]`.
 *
 * Numerics: factors f16 or f32 as stored, products and sums f32, results rounded to storage once, to
 * nearest even. The order of sums is fixed by the plan, so that two runs give the same bits. On matrix
 * units (f16 alone) the device decides how sums of 16 products round.
 *
 * Where the gradient of weights has few tiles and a long depth, the depth is cut into slices, whose
 * sums are stored apart and then added in order (`sum_partials/`): no float is added atomically.
 *
 * @module
 */
import { whyNoMatrixUnits } from "../../dense_attention/matrix/dense_matrix.ts";
import {
  bindDispatch,
  bytesPerElement,
  type Dispatch,
  requireBytes,
  slice,
} from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { requireDType, requireRecord, requireWhole, show } from "../../gpu/require.ts";
import { createParams } from "../../gpu/uniform.ts";
import { createSumPartials, planSumPartials } from "../sum_partials/sum_partials.ts";
import { generateMatrixProduct, stagedFactors } from "./matrix_product_codegen.ts";
import { productBytes, productFlops } from "./matrix_product_cost.ts";
import { generatePortableProduct } from "./portable_product_codegen.ts";
import { extraOf, type FactorAccess } from "./product_codegen.ts";
import {
  MATRIX_PRODUCT_TILINGS,
  type MatrixProductTiling,
  matrixProductVectors,
  PORTABLE_PRODUCT_TILINGS,
  portableProductBytes,
  type PortableProductTiling,
  productTilingName,
} from "./product_tilings.ts";
import {
  type HeadLayout,
  PRODUCT_FORMS,
  PRODUCT_PARAMS,
  type ProductBuffers,
  type ProductOptions,
  type ProductPlan,
} from "./types.ts";

const ACTION = "plan matrix product";

/** Workgroups that keep a large GPU busy: with fewer tiles, the depth is cut into slices. */
const BUSY_WORKGROUPS = 512;

/** Least depth of a slice. */
const LEAST_SLICE = 256;

/** Fewer workgroups than this of a wide tiling leave a GPU idle. */
const FEW_WORKGROUPS = 128;

/** Elements of a matrix that is stored by heads. */
function headElements(layout: HeadLayout): number {
  const { parts, sequences, heads, context, headDim } = layout;
  return (parts - 1) * partStride(layout) + sequences * heads * context * headDim;
}

/** Elements from one part to the next. */
function partStride({ partStride, sequences, heads, context, headDim }: HeadLayout): number {
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

function requireProduct(options: ProductOptions): void {
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
    if (slices > 1 && result.kind !== "accumulate") {
      throw new RangeError(`${ACTION}: ${slices} slices of a result that is not accumulated`);
    }
  }
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

/** Why matrix units cannot take this product on this device; undefined when they can. */
export function whyNoMatrixProduct(
  { capabilities }: Pick<Gpu, "capabilities">,
  { rows, columns, dtype }: Pick<ProductOptions, "rows" | "columns" | "dtype">,
): string | undefined {
  const missing = whyNoMatrixUnits(capabilities);
  if (missing) return missing;
  if (dtype !== "f16") return `storage ${dtype} is not f16`;
  for (const [name, value] of Object.entries({ rows, columns })) {
    if (value < 16) return `${value} ${name} are fewer than a matrix has, 16`;
  }
  return undefined;
}

/** Workgroups of a tiling. */
function tilesOf(
  { rows, columns }: Pick<ProductOptions, "rows" | "columns">,
  tiling: { readonly rows: number; readonly columns: number },
): number {
  return Math.ceil(rows / tiling.rows) * Math.ceil(columns / tiling.columns);
}

/** The widest of some tilings of which there are enough; else the narrowest. */
function chooseTiling<Tiling extends { readonly rows: number; readonly columns: number }>(
  tilings: readonly Tiling[],
  options: ProductOptions,
): Tiling {
  // The depth of what is accumulated is cut where tiles are few.
  const cuts = options.result.kind === "accumulate" ? Math.ceil(options.depth / LEAST_SLICE) : 1;
  const enough = tilings.find((tiling) => tilesOf(options, tiling) * cuts >= FEW_WORKGROUPS);
  return enough ?? tilings[tilings.length - 1];
}

/**
 * Plans a product.
 *
 * @throws {TypeError} when a form or an element type is unknown.
 * @throws {RangeError} one line that names the value and the limit, when no kernel can run it.
 */
export function planProduct(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: ProductOptions,
): ProductPlan {
  requireProduct(options);
  const { capabilities, adapter } = gpu;
  const unfit = whyNoMatrixProduct(gpu, options);
  const wanted = options.kernel ?? (options.matrixTiling ? "matrix" : undefined);
  if (wanted === "matrix" && unfit) throw new RangeError(`${ACTION} on matrix units: ${unfit}`);
  const { maxWorkgroupBytes, maxInvocations, maxWorkgroupsPerDimension: most } = capabilities;
  const matrixBytes = (tiling: MatrixProductTiling) =>
    16 * matrixProductVectors(tiling, stagedFactors(options.form, tiling));
  const fitsMatrix = (tiling: MatrixProductTiling) =>
    matrixBytes(tiling) <= maxWorkgroupBytes &&
    32 * tiling.subgroupsX * tiling.subgroupsY <= maxInvocations;
  const fitting = MATRIX_PRODUCT_TILINGS.filter(fitsMatrix);
  const onMatrix = wanted === "matrix" ||
    !unfit && wanted !== "portable" && !options.tiling && fitting.length > 0;
  const portable = () => {
    const found = PORTABLE_PRODUCT_TILINGS.filter((tiling) =>
      portableProductBytes(tiling) <= maxWorkgroupBytes &&
      tiling.threadsY * tiling.columns / 8 <= maxInvocations
    );
    // A software adapter has few threads, and compiles small kernels sooner.
    return chooseTiling(adapter.software ? found.slice(-1) : found, options);
  };
  const matrix = onMatrix
    ? options.matrixTiling ??
      chooseTiling(fitting.length > 0 ? fitting : MATRIX_PRODUCT_TILINGS, options)
    : undefined;
  const tiling: PortableProductTiling | MatrixProductTiling = matrix ?? options.tiling ??
    portable();
  const workgroupBytes = matrix
    ? matrixBytes(matrix)
    : portableProductBytes(tiling as PortableProductTiling);
  if (workgroupBytes > maxWorkgroupBytes) {
    const { bytes, limit } = showExcess(workgroupBytes, maxWorkgroupBytes);
    throw new RangeError(
      `${ACTION}: tiling ${productTilingName(tiling)} needs ${bytes} of workgroup memory; ` +
        `the device's limit is ${limit}`,
    );
  }
  const { slices, sliceDepth } = cutDepth(options, tiling);
  const planned = { ...options, slices };
  const workgroups = [
    Math.ceil(options.columns / tiling.columns),
    Math.ceil(options.rows / tiling.rows),
    slices,
  ] as const;
  for (const count of workgroups) {
    if (count <= most) continue;
    throw new RangeError(`${ACTION}: ${count} workgroups exceed the device's limit of ${most}`);
  }
  const size = options.rows * options.columns;
  const partialBytes = slices > 1 ? slices * size * 4 : 0;
  return {
    ...planned,
    kernel: matrix ? "matrix" : "portable",
    variant: `${matrix ? "matrix units" : "portable"} ${productTilingName(tiling)}` +
      (slices > 1 ? ` in ${slices} slices` : ""),
    pipeline: matrix
      // NVIDIA's compiler moves loads through read-only bindings down to where they wait.
      ? {
        ...matrixSource(planned, matrix, "read-write"),
        shared: matrixSource(planned, matrix, "read"),
      }
      : sourceOf(planned, {
        kernel: "portable",
        code: generatePortableProduct(planned, tiling as PortableProductTiling),
        access: "read",
      }),
    params: paramsOf(planned, { sliceDepth, width: matrix ? 8 : 4 }),
    workgroups,
    partialBytes,
    workgroupBytes,
    bufferBytes: bufferBytesOf(planned, partialBytes),
    flops: productFlops(options),
    bytes: productBytes(options) + 2 * partialBytes,
  };
}

/** Slices of the depth: as many as asked for, or enough workgroups, of whole staged steps. */
function cutDepth(
  options: ProductOptions,
  tiling: PortableProductTiling | MatrixProductTiling,
): { slices: number; sliceDepth: number } {
  const { result, depth } = options;
  const useful = result.kind !== "accumulate" ? 1 : Math.min(
    Math.ceil(BUSY_WORKGROUPS / tilesOf(options, tiling)),
    Math.ceil(depth / LEAST_SLICE),
  );
  const wanted = options.slices ?? useful;
  const sliceDepth = Math.ceil(depth / wanted / tiling.depth) * tiling.depth;
  return { slices: Math.ceil(depth / sliceDepth), sliceDepth };
}

function matrixSource(
  options: ProductOptions & { readonly slices: number },
  tiling: MatrixProductTiling,
  access: FactorAccess,
): PipelineSource {
  const code = generateMatrixProduct(options, tiling, access);
  return sourceOf(options, { kernel: "matrix units", code, access });
}

function sourceOf(
  { form, dtype, result }: ProductOptions,
  { kernel, code, access }: { kernel: string; code: string; access: FactorAccess },
): PipelineSource {
  const extra = extraOf(result);
  return {
    label: `matrix product ${form} ${dtype} ${result.kind} ${kernel}`,
    code,
    bindings: [
      access,
      access,
      "read-write",
      ...extra ? [extra === "activation" ? "read-write" as const : "read" as const] : [],
      "uniform",
    ],
  };
}

function paramsOf(
  options: ProductOptions,
  { sliceDepth, width }: { sliceDepth: number; width: number },
): ProductPlan["params"] {
  const { rows, columns, depth, leftHeads, rightHeads, result } = options;
  const resultHeads = result.kind === "store" || result.kind === "rope" ? result.heads : undefined;
  const part = (layout: HeadLayout | undefined, each: number) =>
    layout ? partStride(layout) / each : 0;
  return {
    rows,
    columns,
    depth,
    sliceDepth,
    context: (leftHeads ?? rightHeads ?? resultHeads)?.context ?? rows,
    leftPart: part(leftHeads, width),
    rightPart: part(rightHeads, width),
    resultPart: part(resultHeads, 8),
  };
}

function bufferBytesOf(options: ProductOptions, partialBytes: number): ProductPlan["bufferBytes"] {
  const { rows, columns, depth, dtype, leftHeads, rightHeads, result } = options;
  const size = bytesPerElement(dtype);
  const elements = (layout: HeadLayout | undefined, plain: number) => {
    const count = layout ? headElements(layout) : plain;
    requireWhole(ACTION, "elements of a matrix", count, { most: 2 ** 32 - 1 });
    return count;
  };
  const cells = rows * columns;
  const heads = result.kind === "store" || result.kind === "rope" ? result.heads : undefined;
  const resultSize = result.kind === "store"
    ? bytesPerElement(result.dtype)
    : result.kind === "rope" || result.kind === "swiglu"
    ? size
    : 4;
  return {
    left: elements(leftHeads, rows * depth) * size,
    right: elements(rightHeads, columns * depth) * size,
    result: elements(heads, cells) * resultSize,
    ...result.kind === "rope" && { table: result.heads.context * result.heads.headDim * 4 },
    ...result.kind === "residual" && { residual: cells * 4 },
    ...result.kind === "swiglu" && { activation: cells / 2 * size },
    ...partialBytes > 0 && { partials: partialBytes },
  };
}

/** A compiled product, which may be bound any number of times. */
export interface Product {
  /** What was compiled. */
  readonly plan: ProductPlan;
  /** The dispatches of one product: its own, and the sum of its slices. */
  readonly bind: (buffers: ProductBuffers) => Dispatch[];
  /** Frees what the product holds. */
  readonly destroy: () => void;
}

/**
 * Compiles a product.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createProduct(gpu: Gpu, plan: ProductPlan): Promise<Product> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const { slices, rows, columns } = plan;
  const sum = slices > 1
    ? await createSumPartials(gpu, planSumPartials({ count: slices, size: rows * columns }))
    : undefined;
  const uniform = createParams(gpu, PRODUCT_PARAMS, plan.params);
  const extra = extraOf(plan.result);
  return {
    plan,
    bind(buffers) {
      for (const [name, bytes] of Object.entries(plan.bufferBytes)) {
        requireBytes(
          `${plan.pipeline.label}: ${name}`,
          buffers[name as keyof ProductBuffers]!,
          bytes,
        );
      }
      const { left, right, result, partials } = buffers;
      const dispatch = bindDispatch(gpu, pipeline, {
        slices: [
          left,
          right,
          sum ? partials! : result,
          ...extra ? [buffers[extra]!] : [],
          slice(uniform),
        ],
        workgroups: plan.workgroups,
        flops: plan.flops,
      });
      return sum ? [dispatch, ...sum.bind({ partials: partials!, result })] : [dispatch];
    },
    destroy: () => {
      sum?.destroy();
      uniform.destroy();
    },
  };
}
