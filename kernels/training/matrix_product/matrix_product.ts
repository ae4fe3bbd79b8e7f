/**
 * Matrix products of the training step: `[rows, depth] × [depth, columns]`, in the three forms that
 * a layer's output, the gradient of its input and that of its weights need, with the epilogues that
 * follow them. `types.ts` says which.
 *
 * Shapes: sizes that lie side by side in memory are multiples of 8; others are any. A matrix of
 * tokens may be stored by heads, `[parts, sequences, heads, context, headDim]`.
 *
 * Numerics: factors f16 or f32 as stored, products and sums f32, results rounded to storage once,
 * to nearest even. The order of sums is fixed by the plan, so that two runs give the same bits. On
 * matrix units (f16 alone) the device decides how sums of 16 products round.
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
import { requireWhole } from "../../gpu/require.ts";
import { createParams } from "../../gpu/uniform.ts";
import { createSumPartials, planSumPartials } from "../sum_partials/sum_partials.ts";
import { generateMatrixProduct, stagedFactors } from "./matrix_product_codegen.ts";
import { productBytes, productFlops } from "./matrix_product_cost.ts";
import { generatePortableProduct } from "./portable_product_codegen.ts";
import { ACTION, headElements, isSummed, partStride, requireProduct } from "./product_checks.ts";
import { extraOf, type FactorAccess } from "./product_codegen.ts";
import {
  loopDepth,
  MATRIX_PRODUCT_TILINGS,
  type MatrixProductTiling,
  matrixProductVectors,
  matrixTilingsOf,
  PORTABLE_PRODUCT_TILINGS,
  portableProductBytes,
  type PortableProductTiling,
  productTilingName,
} from "./product_tilings.ts";
import {
  type HeadLayout,
  PRODUCT_PARAMS,
  type ProductBuffers,
  type ProductOptions,
  type ProductPlan,
} from "./types.ts";

/**
 * Workgroups that keep a large GPU busy: with fewer tiles, the depth is cut into slices. On matrix
 * units they fill an H200 (132 multiprocessors, two workgroups on each) almost three times, so that
 * little of the last round is idle.
 */
const BUSY_WORKGROUPS = { portable: 512, matrix: 768 } as const;

/**
 * Workgroups of a full round on a large GPU: two on each of 132 multiprocessors, some of which may
 * idle.
 */
const ROUND = 256;

/** Rows of tiles in a band where a result has more columns of tiles than rows. */
const BAND_ROWS = 12;

/**
 * Least depth of a slice. What is stored is cut where the depth is very long: the gradient of the
 * head's input, over a large vocabulary.
 */
const LEAST_SLICE = { accumulate: 256, store: 4096 } as const;

/** Fewer workgroups than this of a wide tiling leave a GPU idle. */
const FEW_WORKGROUPS = 128;

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

/** Most slices of useful depth. */
function mostSlices({ result, depth }: Pick<ProductOptions, "result" | "depth">): number {
  if (!isSummed(result)) return 1;
  return Math.ceil(depth / LEAST_SLICE[result.kind as "accumulate" | "store"]);
}

/** The widest of some tilings of which there are enough; else the narrowest. */
function chooseTiling<Tiling extends { readonly rows: number; readonly columns: number }>(
  tilings: readonly Tiling[],
  options: ProductOptions,
): Tiling {
  // The depth of what is accumulated is cut where tiles are few.
  const cuts = mostSlices(options);
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
  const fitting = matrixTilingsOf(options.form).filter(fitsMatrix);
  // What is early is fast with whole tiles alone.
  const suits = (tiling: MatrixProductTiling) => {
    const { sliceDepth } = cutDepth(options, tiling);
    return !tiling.early || isWhole(options, { tiling, sliceDepth });
  };
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
      chooseTiling(
        fitting.length > 0 ? fitting.filter(suits) : MATRIX_PRODUCT_TILINGS,
        options,
      )
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
  const whole = matrix !== undefined && isWhole(options, { tiling: matrix, sliceDepth });
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
    pipeline: matrix ? matrixPipeline(planned, { tiling: matrix, whole }) : sourceOf(planned, {
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
  const { depth } = options;
  const busy = BUSY_WORKGROUPS["threadsY" in tiling ? "portable" : "matrix"];
  const tiles = tilesOf(options, tiling);
  const many = Math.ceil(busy / tiles);
  // On matrix units the fewest whose workgroups come in full rounds, if any do.
  const full = "threadsY" in tiling ? many : ROUND / commonDivisor(tiles, ROUND);
  const useful = Math.min(many, full, mostSlices(options));
  const wanted = options.slices ?? useful;
  const step = "threadsY" in tiling ? tiling.depth : loopDepth(tiling);
  const sliceDepth = Math.ceil(depth / wanted / step) * step;
  return { slices: Math.ceil(depth / sliceDepth), sliceDepth };
}

/** Whether a result has more columns of tiles than rows. */
function isBroad({ rows, columns }: ProductOptions, tiling: MatrixProductTiling): boolean {
  return Math.ceil(columns / tiling.columns) > Math.ceil(rows / tiling.rows);
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Whether all tiles, slices and steps are whole. */
function isWhole(
  { rows, columns, depth }: ProductOptions,
  { tiling, sliceDepth }: { tiling: MatrixProductTiling; sliceDepth: number },
): boolean {
  return rows % tiling.rows === 0 && columns % tiling.columns === 0 &&
    depth % sliceDepth === 0 && sliceDepth % loopDepth(tiling) === 0;
}

/** The kernel on matrix units, and the one for factors that share a buffer. */
function matrixPipeline(
  options: ProductOptions & { readonly slices: number },
  { tiling, whole }: { tiling: MatrixProductTiling; whole: boolean },
): PipelineSource {
  const source = (access: FactorAccess) =>
    sourceOf(options, {
      kernel: "matrix units",
      code: generateMatrixProduct(
        options,
        { ...tiling, unguarded: whole && tiling.unguarded },
        // The few rows of a broad result stay in the cache while columns come and go.
        {
          access,
          bandRows: tiling.bandRows ?? (isBroad(options, tiling) ? BAND_ROWS : undefined),
        },
      ),
      access,
    });
  // NVIDIA's compiler moves loads through read-only bindings down to where they wait.
  return { ...source("read-write"), shared: source("read") };
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
      ...extra ? [extra === "activation" ? "read-write" as const : access] : [],
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
    ? await createSumPartials(
      gpu,
      planSumPartials({
        count: slices,
        size: rows * columns,
        adds: plan.result.kind === "accumulate",
      }),
    )
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
