/**
 * Dense causal attention, forward: O = softmax(Q·Kᵀ/√d + causal mask)·V, per head.
 *
 * Shapes: Q, K, V, O `[heads, N, d]`; log-sum-exp `[heads, N]`, natural logarithm of the sum of
 * exponentials of the scaled logits. Row i attends to keys 0…i, so no row is ever fully masked.
 *
 * Numerics: f16 or f32 storage, every product and sum in f32. Against a float64 evaluation of the
 * same stored inputs the error is that of f32 dot products of length d, of one exponential per
 * score and of one rounding to the storage type.
 *
 * A NaN or an infinity in a row of K or V reaches the rows from it on, and may reach those of its tile
 * before it, at most 256, whose weight of 0 times NaN is NaN.
 *
 * Variants: `dense` is tiled and tuned, on matrix units where the device has them (dense_matrix.ts
 * says when, and what that does to the numerics) and portable elsewhere; `dense-naive`
 * (dense_attention_naive.ts) is one thread per row and exists as a second opinion in tests.
 *
 * @module
 */
import code from "./portable/dense_attention.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type Dispatch,
  headsPerBlock,
  readBuffer,
  requireBytes,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../gpu/pipeline.ts";
import {
  requireDType,
  requirePositive,
  requireRecord,
  requireWhole,
  show,
} from "../gpu/require.ts";
import { createParams } from "../gpu/uniform.ts";
import {
  type DenseAttentionBuffers,
  type DenseAttentionOptions,
  type DenseKernel,
  type DenseResult,
  HEAD_DIMS,
} from "./types.ts";
import { generateDense } from "./portable/dense_attention_codegen.ts";
import { denseForwardBytes, denseForwardFlops } from "./dense_attention_cost.ts";
import { chooseMatrixTiling, whyNotOnMatrixUnits } from "./matrix/dense_matrix.ts";
import { type Tiling, tilingName } from "./tilings.ts";
import { generateDenseMatrix } from "./matrix/dense_matrix_codegen.ts";
import { matrixTileRows, matrixWorkgroupBytes } from "./matrix/matrix_layout.ts";
import { type InputAccess, ringAccess } from "./matrix/row_staging_codegen.ts";
import { layOut } from "./portable/tile_layout.ts";
import { splitTiles, type TileRange } from "./portable/tile_ranges.ts";
import { tunedTiling } from "./tuning.ts";

/** Of both kernels. */
const PARAMS = {
  rows: "u32",
  tileCount: "u32",
  firstTile: "u32",
  scale: "f32",
  sequences: "u32",
  gridWidth: "u32",
  resultRows: "u32",
} as const;

/** Everything about the launch that can be known without a device. */
export interface DenseAttentionPlan extends DenseAttentionOptions {
  /** Softmax scale. */
  readonly scale: number;
  /** Which of the two texts. */
  readonly kernel: DenseKernel;
  /** The kernel and its tiling, in a few words. */
  readonly variant: string;
  /** What will be compiled. */
  readonly pipeline: PipelineSource;
  /** Query-tile ranges, one per dispatch, heaviest first. */
  readonly ranges: readonly TileRange[];
  /** Bytes of workgroup memory. */
  readonly workgroupBytes: number;
  /** FLOP of all ranges together. */
  readonly flops: number;
  /** Least bytes that must move. */
  readonly bytes: number;
}

/**
 * Tile sizes by adapter: a GPU wants registers full of independent products, a CPU driver wants
 * little code and few threads.
 */
export function chooseTiling(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  headDim: number,
): Tiling {
  const threadsX = headDim % 64 === 0 ? 16 : 8;
  const { maxWorkgroupBytes, maxInvocations } = gpu.capabilities;
  const candidates: Tiling[] = [
    // The fastest of 18 tilings measured on an H100: 8 × 8 scores and outputs a thread.
    { tileRows: 128, tileColumns: 8 * threadsX, threadsX, threadsY: 16, chunk: 16 },
    // Fits 32 KiB of workgroup memory, and is the fastest measured on llvmpipe.
    { tileRows: 128, tileColumns: 64, threadsX: 8, threadsY: 16, chunk: 16 },
    // Fits the least that WebGPU promises: 16 KiB of workgroup memory, 256 invocations.
    { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 },
  ].slice(gpu.adapter.software ? 1 : 0);
  for (const tiling of candidates) {
    const fits = layOut(tiling, headDim).workgroupBytes <= maxWorkgroupBytes &&
      tiling.threadsX * tiling.threadsY <= maxInvocations;
    if (fits) return tiling;
  }
  const last = candidates[candidates.length - 1];
  throw new RangeError(
    `plan dense attention: head dimension ${headDim} needs ${
      layOut(last, headDim).workgroupBytes
    } bytes of workgroup memory, the device has ${maxWorkgroupBytes}`,
  );
}

const ROWS = { result: "rows", rowStride: 1 } as const;

/**
 * Plans a launch.
 *
 * @throws {RangeError} naming the value and the limit, when the kernel cannot run the shape.
 */
export function planDenseAttention(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
): DenseAttentionPlan {
  return planVariant(gpu, options, ROWS);
}

/** Plans the kernel for what it reads and writes: see {@linkcode DenseResult}. */
export function planVariant(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
  variant: { readonly result: DenseResult; readonly rowStride: number },
): DenseAttentionPlan {
  requireDenseOptions("plan dense attention", gpu, options);
  const unfit = whyNotOnMatrixUnits(gpu.capabilities, options);
  if (options.kernel === "matrix" || options.matrixTiling) {
    if (unfit) throw new RangeError(`plan dense attention on matrix units: ${unfit}`);
    return planMatrix(gpu, options, variant);
  }
  if (options.kernel === "portable" || options.tiling || unfit) {
    return planPortable(gpu, options, variant);
  }
  return planMatrix(gpu, options, variant);
}

function planMatrix(
  { capabilities }: Pick<Gpu, "capabilities">,
  options: DenseAttentionOptions,
  { result, rowStride }: { readonly result: DenseResult; readonly rowStride: number },
): DenseAttentionPlan {
  const { heads, rows, headDim, dtype } = options;
  const key = {
    kernel: "matrix",
    pass: "forward",
    headDim,
    dtype,
    rows,
    heads: heads * rowStride,
  } as const;
  const tiling = options.matrixTiling ?? tunedTiling(capabilities, key) ??
    chooseMatrixTiling(capabilities, key);
  const workgroupBytes = matrixWorkgroupBytes(tiling, headDim);
  const { maxWorkgroupBytes, maxWorkgroupsPerDimension } = capabilities;
  if (workgroupBytes > maxWorkgroupBytes) {
    throw new RangeError(
      `plan dense attention on matrix units: tiling ${tilingName(tiling)} needs ` +
        `${workgroupBytes} bytes of workgroup memory, the device has ${maxWorkgroupBytes}`,
    );
  }
  const flops = denseForwardFlops({ heads, rows, headDim });
  const access = ringAccess(tiling);
  const source = (inputs: InputAccess): PipelineSource => ({
    label: `dense attention ${result} on matrix units d=${headDim}`,
    code: generateDenseMatrix(tiling, { headDim, rowStride, result, inputs }),
    bindings: ["uniform", inputs, inputs, inputs, ...resultBindings(result), "read-write"],
  });
  return {
    ...options,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    kernel: "matrix",
    variant: `matrix units ${tilingName(tiling)}`,
    pipeline: access === "read" ? source("read") : { ...source(access), shared: source("read") },
    ranges: splitTiles({
      tiles: Math.ceil(rows / matrixTileRows(tiling)),
      flops,
      limit: options.flopsPerDispatch,
      most: maxWorkgroupsPerDimension,
    }),
    workgroupBytes,
    flops,
    bytes: denseForwardBytes({ heads, rows, headDim, dtype }),
  };
}

function resultBindings(result: DenseResult): "read-write"[] {
  return Array<"read-write">(result === "rows" ? 2 : 1).fill("read-write");
}

/** The plan of the portable kernel. */
export interface DensePortablePlan extends DenseAttentionPlan {
  readonly kernel: "portable";
  readonly tiling: Tiling;
}

/** Plans the portable kernel, whatever the device has. */
export function planPortable(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
  variant: { readonly result: DenseResult; readonly rowStride: number } = ROWS,
): DensePortablePlan {
  const { result, rowStride } = variant;
  requireDenseOptions("plan dense attention", gpu, options);
  const { heads, rows, headDim, dtype } = options;
  const { capabilities } = gpu;
  const tiling = options.tiling ??
    tunedTiling(capabilities, {
      kernel: "portable",
      pass: "forward",
      headDim,
      dtype,
      rows,
      heads: heads * rowStride,
    }) ??
    chooseTiling(gpu, headDim);
  const { workgroupBytes } = layOut(tiling, headDim);
  // Lanes of a row must lie in one subgroup, and subgroups must be runs of consecutive threads.
  const subgroups = capabilities.subgroups && capabilities.subgroupMinSize >= tiling.threadsX;
  const generated = generateDense({ tiling, headDim, dtype, rowStride }, { subgroups, result });
  const tiles = Math.ceil(rows / tiling.tileRows);
  const flops = denseForwardFlops({ heads, rows, headDim });
  return {
    ...options,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    kernel: "portable",
    tiling,
    variant: `portable ${tilingName(tiling)}`,
    pipeline: {
      label: `dense attention ${result} d=${headDim} ${dtype}`,
      code: `${subgroups ? capabilities.subgroupsDirective : ""}${code}${generated}`,
      bindings: [
        "uniform",
        "read",
        "read",
        "read",
        ...resultBindings(result),
      ],
    },
    ranges: splitTiles({
      tiles,
      flops,
      limit: options.flopsPerDispatch,
      most: capabilities.maxWorkgroupsPerDimension,
    }),
    workgroupBytes,
    flops,
    bytes: denseForwardBytes({ heads, rows, headDim, dtype }),
  };
}

/** Softmax scales between which no masked score can matter and no score overflows. */
const SCALES = { least: 2 ** -32, most: 2 ** 32 } as const;

const KERNELS: readonly unknown[] = ["matrix", "portable"];

/**
 * Checks what forward and backward kernels are planned for.
 *
 * @throws {TypeError} when the element type or the kernel is unknown.
 * @throws {RangeError} naming the value and the limit.
 */
export function requireDenseOptions(
  action: string,
  gpu: Pick<Gpu, "capabilities">,
  options: Pick<
    DenseAttentionOptions,
    "heads" | "rows" | "headDim" | "dtype" | "scale" | "flopsPerDispatch" | "kernel"
  >,
): void {
  requireRecord(action, "the options", options);
  const { heads, rows, headDim, dtype, scale = 1, kernel = "portable" } = options;
  requireWhole(action, "heads", heads);
  requireWhole(action, "rows", rows);
  requireDType(action, dtype);
  if (!HEAD_DIMS.includes(headDim)) {
    throw new RangeError(
      `${action}: head dimension ${show(headDim)} is not one of ${HEAD_DIMS.join(", ")}`,
    );
  }
  // Also keeps what is cut into tiles below countable.
  headsPerBlock(gpu, [{ heads, rows, dim: headDim, dtype }]);
  if (typeof scale !== "number" || !(scale >= SCALES.least && scale <= SCALES.most)) {
    throw new RangeError(
      `${action}: scale ${show(scale)} is not a number from ${SCALES.least} to ${SCALES.most}`,
    );
  }
  requirePositive(action, "flopsPerDispatch", options.flopsPerDispatch);
  if (!KERNELS.includes(kernel)) {
    throw new TypeError(`${action}: kernel ${show(kernel)} is not one of ${KERNELS.join(", ")}`);
  }
}

/** A compiled kernel. `bind` may be called for any number of head blocks of the planned size. */
export interface DenseAttention {
  /** What was compiled. */
  readonly plan: DenseAttentionPlan;
  /** The dispatches for one block of heads. */
  readonly bind: (buffers: DenseAttentionBuffers) => Dispatch[];
  /** On matrix units: workgroups that started over since the kernel was created. */
  readonly readRestarts?: () => Promise<number>;
  /** Frees what the kernel holds. */
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernel.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createDenseAttention(
  gpu: Gpu,
  plan: DenseAttentionPlan,
): Promise<DenseAttention> {
  const launch = await createLaunch(gpu, plan, {
    resultRows: plan.rows,
    rowStride: 1,
    results: ["o", "log-sum-exp"],
  });
  return {
    plan,
    bind: ({ q, k, v, o, lse }) => launch.bind([q, k, v, o, lse]),
    readRestarts: launch.readRestarts,
    destroy: launch.destroy,
  };
}

/** A compiled variant; `bind` takes its storage bindings in order. */
export interface DenseLaunch {
  readonly bind: (slices: readonly BufferSlice[]) => Dispatch[];
  readonly readRestarts?: () => Promise<number>;
  readonly destroy: () => void;
}

/** Compiles a planned variant. */
export async function createLaunch(
  gpu: Gpu,
  plan: DenseAttentionPlan,
  layout: {
    readonly resultRows: number;
    readonly rowStride: number;
    readonly results: readonly ("o" | "log-sum-exp" | "squared norms")[];
  },
): Promise<DenseLaunch> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const restarts = plan.kernel === "matrix"
    ? await createStorageBuffer(gpu, 16, { label: "restarts" })
    : undefined;
  const sequences = plan.heads * layout.rowStride;
  const [x, z] = foldSequences(sequences, gpu.capabilities.maxWorkgroupsPerDimension);
  const uniforms = plan.ranges.map(({ firstTile, tileCount }) =>
    createParams(gpu, PARAMS, {
      rows: plan.rows,
      tileCount,
      firstTile,
      scale: plan.scale * Math.LOG2E,
      sequences,
      gridWidth: x,
      resultRows: layout.resultRows,
    })
  );
  const names = ["q", "k", "v", ...layout.results];
  const inputBytes = sequences * plan.rows * plan.headDim * bytesPerElement(plan.dtype);
  const wordBytes = plan.heads * layout.resultRows * 4;
  return {
    bind: (slices) => {
      for (const [i, name] of names.entries()) {
        const bytes = i < 3 || name === "o" ? inputBytes : wordBytes;
        requireBytes(`dense attention: ${name}`, slices[i], bytes);
      }
      return plan.ranges.map((range, i) =>
        bindDispatch(gpu, pipeline, {
          slices: [slice(uniforms[i]), ...slices, ...restarts ? [slice(restarts)] : []],
          workgroups: [x, range.tileCount, z],
          flops: range.flops,
        })
      );
    },
    readRestarts: restarts &&
      (async () => new Uint32Array((await readBuffer(gpu, slice(restarts))).buffer)[0]),
    destroy: () =>
      [...uniforms, ...restarts ? [restarts] : []].forEach((buffer) => buffer.destroy()),
  };
}

function foldSequences(count: number, limit: number): [number, number] {
  const z = Math.ceil(count / limit);
  return [Math.ceil(count / z), z];
}

/** Dense attention bound to blocks of heads. */
export interface BoundDense {
  readonly dispatches: Dispatch[];
  /** On matrix units: workgroups that started over since the kernels were created. */
  readonly readRestarts?: () => Promise<number>;
  readonly destroy: () => void;
}

/**
 * Compiles kernels for every block size of a set of tensors and binds them, block after block.
 * Blocks differ in their number of heads only where the last one is smaller.
 */
export async function bindDenseTensors(
  gpu: Gpu,
  tensors: { q: Tensor; k: Tensor; v: Tensor; o: Tensor; lse: Tensor },
  options: {
    create?: (heads: number) => Promise<DenseAttention>;
    flopsPerDispatch?: number;
    kernel?: DenseKernel;
  } = {},
): Promise<BoundDense> {
  const { q, k, v, o, lse } = tensors;
  const create = options.create ?? ((heads) =>
    createDenseAttention(
      gpu,
      planDenseAttention(gpu, {
        heads,
        rows: q.rows,
        headDim: q.dim,
        dtype: q.dtype,
        flopsPerDispatch: options.flopsPerDispatch,
        kernel: options.kernel,
      }),
    ));
  const kernels = new Map<number, DenseAttention>();
  const dispatches: Dispatch[] = [];
  for (const [i, block] of q.blocks.entries()) {
    let kernel = kernels.get(block.heads);
    if (!kernel) kernels.set(block.heads, kernel = await create(block.heads));
    dispatches.push(...kernel.bind({
      q: block.data,
      k: k.blocks[i].data,
      v: v.blocks[i].data,
      o: o.blocks[i].data,
      lse: lse.blocks[i].data,
    }));
  }
  const counters = [...kernels.values()].flatMap(({ readRestarts }) => readRestarts ?? []);
  return {
    dispatches,
    readRestarts: counters.length === 0
      ? undefined
      : async () => (await Promise.all(counters.map((read) => read()))).reduce((a, b) => a + b),
    destroy: () => kernels.forEach((kernel) => kernel.destroy()),
  };
}
