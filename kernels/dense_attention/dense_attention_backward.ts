/**
 * Dense causal attention, backward: dQ, dK, dV from Q, K, V, O, the log-sum-exp and dO.
 *
 * Shapes: all tensors `[heads, N, d]`; log-sum-exp and delta `[heads, N]` f32.
 *
 * Three passes, each deterministic without atomics: delta = Σ dO ∘ O per row, then dQ by query
 * tile, then dK and dV by key tile. The portable kernels recompute the scores in both of the last
 * two, so seven products are done where the convention counts five. On matrix units dK and dV come
 * first and leave the gradients of scores to dQ: `dense_matrix_backward.ts`.
 *
 * Numerics: as in the forward kernel, every product and sum in f32, one rounding on storing; on matrix
 * units products of f16, as `dense_matrix_backward_codegen.ts` says. Weights are recomputed from the
 * log-sum-exp, which is f32: where it is beyond 2^20 a weight is off by 6 % and more, and from 2^28 on
 * it may be anything from 0 to 1. It never exceeds 1.
 *
 * @module
 */
import deltaCode from "./portable/dense_attention_backward_delta.wgsl" with { type: "text" };
import keyValueCode from "./portable/dense_attention_backward_key_value.wgsl" with { type: "text" };
import queryCode from "./portable/dense_attention_backward_query.wgsl" with { type: "text" };
import scalesCode from "./matrix/dense_matrix_gradient_scales.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  type Dispatch,
  type DType,
  requireBytes,
  slice,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { NEAREST_HALF } from "../gpu/half.ts";
import { createPipeline, type Pipeline, type PipelineSource } from "../gpu/pipeline.ts";
import { requireDType } from "../gpu/require.ts";
import { requireDenseOptions } from "./dense_attention.ts";
import { createParams } from "../gpu/uniform.ts";
import type { DenseBackwardBuffers, DenseBackwardOptions, DenseKernel } from "./types.ts";
import {
  generateKeyValueBackward,
  generateQueryBackward,
} from "./portable/dense_attention_backward_codegen.ts";
import {
  denseBackwardBytes,
  denseBackwardFlops,
  denseForwardFlops,
} from "./dense_attention_cost.ts";
import { chooseMatrixBackward, whyNoMatrixBackward } from "./matrix/dense_matrix.ts";
import {
  createMatrixBinding,
  createMatrixScratch,
  hasRoom,
  type MatrixBackwardSchedule,
  type MatrixBackwardScratch,
  planMatrixSchedule,
  scaledOf,
} from "./matrix/dense_matrix_backward.ts";
import { type BackwardTilings, type Tiling, tilingName } from "./tilings.ts";
import { generateMatrixKeyValue } from "./matrix/dense_matrix_key_value_codegen.ts";
import { generateMatrixQuery } from "./matrix/dense_matrix_query_codegen.ts";
import { matrixTileRows } from "./matrix/matrix_layout.ts";
import { layOut } from "./portable/tile_layout.ts";
import { splitTiles, splitTilesMirrored, type TileRange } from "./portable/tile_ranges.ts";
import { tunedTiling } from "./tuning.ts";

const DELTA_PARAMS = { rows: "u32", stride: "u32" } as const;
/** Of the pass that also scales dO. */
const SCALES_PARAMS = { rows: "u32", blocks: "u32", gridWidth: "u32" } as const;

/** Of the portable passes. */
const PARAMS = { rows: "u32", tileCount: "u32", firstTile: "u32", scale: "f32" } as const;

/** Everything about the launch that can be known without a device. */
export interface DenseBackwardPlan extends DenseBackwardOptions {
  /** Storage of dO, dQ, dK and dV. */
  readonly gradientType: DType;
  /** The kernels that were chosen. */
  readonly kernel: DenseKernel;
  /** The kernels and their tilings, in a few words. */
  readonly variant: string;
  /** Softmax scale. */
  readonly scale: number;
  /** What will be compiled, by pass. */
  readonly pipelines: {
    readonly delta: PipelineSource;
    readonly query: PipelineSource;
    readonly keyValue: PipelineSource;
  };
  /** Of the portable kernels: tile ranges, one per dispatch, heaviest first. */
  readonly ranges: {
    readonly query: readonly TileRange[];
    readonly keyValue: readonly TileRange[];
  };
  /** Of the kernels on matrix units: how the two passes take turns. */
  readonly schedule?: MatrixBackwardSchedule;
  /** Bytes of buffers of its own that the kernel allocates, whatever the number of bindings. */
  readonly scratchBytes: number;
  /** By convention: 2.5 times the forward FLOP. */
  readonly flops: number;
  /** Least bytes that must move. */
  readonly bytes: number;
}

/** Threads that share a row in the delta pass: a power of two, so that they divide a workgroup. */
function deltaLanes(headDim: number, dtype: DType): number {
  const rowVectors = headDim / (dtype === "f16" ? 8 : 4);
  return 2 ** Math.floor(Math.log2(Math.min(16, rowVectors)));
}

/**
 * Tile sizes by adapter. The tiled passes hold two score tiles and one or two gradients in
 * registers, so their tiles are smaller than the forward kernel's.
 */
export function chooseBackwardTilings(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  headDim: number,
): BackwardTilings {
  const threadsX = headDim % 64 === 0 ? 16 : 8;
  const { maxWorkgroupBytes, maxInvocations } = gpu.capabilities;
  const small: Tiling = { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 };
  const fits = (tiling: Tiling) =>
    layOut(tiling, headDim).workgroupBytes <= maxWorkgroupBytes &&
    tiling.threadsX * tiling.threadsY <= maxInvocations;
  const first = (...tilings: Tiling[]) => [...tilings, small].find(fits);
  const middle: Tiling = { tileRows: 64, tileColumns: 32, threadsX: 8, threadsY: 16, chunk: 16 };
  // The fastest of nine tilings measured for each pass on an H100.
  const wide = (tileColumns: number): Tiling[] =>
    gpu.adapter.software ? [] : [{ tileRows: 128, tileColumns, threadsX, threadsY: 16, chunk: 16 }];
  const query = first(...wide(8 * threadsX), middle);
  const keyValue = first(...wide(4 * threadsX), middle);
  if (!query || !keyValue) {
    throw new RangeError(
      `plan dense attention backward: head dimension ${headDim} needs ${
        layOut(small, headDim).workgroupBytes
      } bytes of workgroup memory, the device has ${maxWorkgroupBytes}`,
    );
  }
  return { query, keyValue };
}

/**
 * Plans a launch.
 *
 * @throws {RangeError} naming the value and the limit, when the kernels cannot run the shape.
 */
export function planDenseBackward(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseBackwardOptions,
): DenseBackwardPlan {
  requireDenseOptions("plan dense attention backward", gpu, options);
  const { heads, rows, headDim, dtype } = options;
  const { gradientType = dtype } = options;
  requireDType("plan dense attention backward: gradients", gradientType);
  if (dtype === "f32" && gradientType === "f16") {
    throw new RangeError(
      "plan dense attention backward: gradients of f32 tensors are f32, not f16",
    );
  }
  const unfit = whyNoMatrixBackward(gpu.capabilities, options);
  const asked = options.kernel === "matrix" || options.matrixTilings !== undefined;
  if (unfit && asked) {
    throw new RangeError(`plan dense attention backward on matrix units: ${unfit}`);
  }
  const refused = unfit || options.kernel === "portable" || options.tilings;
  const passes = refused ? portablePasses(gpu, options) : matrixPasses(gpu, options);
  return {
    ...options,
    gradientType,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    ...passes,
    pipelines: {
      delta: passes.schedule?.bytes.scaledGradients === undefined
        ? deltaSource({ ...options, gradientType })
        : scalesSource(options),
      ...passes.pipelines,
    },
    flops: denseBackwardFlops({ heads, rows, headDim }),
    bytes: denseBackwardBytes({ heads, rows, headDim, dtype, gradientType }),
  };
}

/** The dot product of two vectors of 8 halves, `a` and `b`. */
const DOT_HALVES = [..."xyzw"].map((c) => `dot(unpack2x16float(a.${c}), unpack2x16float(b.${c}))`)
  .join(" + ");

/** The pass that gives delta. */
function deltaSource(
  options: DenseBackwardOptions & { readonly gradientType: DType },
): PipelineSource {
  const { headDim, dtype, gradientType } = options;
  const dot = dtype === "f32"
    ? "let b = outputGradients[at]; return dot(bitcast<vec4f>(a), bitcast<vec4f>(b));"
    : gradientType === "f16"
    ? `let b = outputGradients[at]; return ${DOT_HALVES};`
    : `let low = bitcast<vec4f>(outputGradients[2u * at]);
  let high = bitcast<vec4f>(outputGradients[2u * at + 1u]);
  return dot(vec4f(unpack2x16float(a.x), unpack2x16float(a.y)), low) +
    dot(vec4f(unpack2x16float(a.z), unpack2x16float(a.w)), high);`;
  return {
    label: labelOf("delta", options),
    code: `${deltaCode}
const LANES = ${deltaLanes(headDim, dtype)}u;
const ROW_VECTORS = ${headDim / (dtype === "f16" ? 8 : 4)}u;
// Of 16 bytes of O and the elements of dO beside them.
fn dotAt(at: u32) -> f32 {
  let a = outputs[at];
  ${dot}
}
`,
    bindings: ["read", "read", "read-write", "uniform"],
  };
}

/** The same on matrix units, where dO is f32: it also makes the f16 that they multiply. */
function scalesSource(options: DenseBackwardOptions): PipelineSource {
  return {
    label: labelOf("delta and scaled output gradients", options),
    code: `${scalesCode}
const ROW_VECTORS = ${options.headDim / 8}u;
fn dotVector(a: vec4u, b: vec4u) -> f32 { return ${DOT_HALVES}; }
${NEAREST_HALF}`,
    bindings: ["read", "read", "read-write", "read-write", "read-write", "uniform"],
  };
}

function labelOf(
  pass: string,
  { headDim, dtype, gradientType = dtype }: DenseBackwardOptions,
): string {
  const types = gradientType === dtype ? dtype : `${dtype}, gradients ${gradientType}`;
  return `dense attention backward, ${pass}, d=${headDim} ${types}`;
}

/** What the two sorts of kernels plan for themselves. */
type Passes =
  & Pick<DenseBackwardPlan, "kernel" | "variant" | "ranges" | "schedule" | "scratchBytes">
  & { readonly pipelines: Omit<DenseBackwardPlan["pipelines"], "delta"> };

/** FLOP of one product. */
function productFlops(options: { heads: number; rows: number; headDim: number }): number {
  return denseForwardFlops(options) / 2;
}

function portablePasses(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseBackwardOptions,
): Passes {
  const { heads, headDim, dtype, rows, gradientType: stored } = options;
  const tuned = (pass: "query" | "key-value") =>
    tunedTiling(gpu.capabilities, { kernel: "portable", pass, headDim, dtype, rows, heads });
  const preferred = () => {
    const chosen = chooseBackwardTilings(gpu, headDim);
    return {
      query: tuned("query") ?? chosen.query,
      keyValue: tuned("key-value") ?? chosen.keyValue,
    };
  };
  const { query, keyValue } = options.tilings ?? preferred();
  const product = productFlops(options);
  const most = gpu.capabilities.maxWorkgroupsPerDimension;
  const limit = options.flopsPerDispatch;
  const inputs = Array<"read">(6).fill("read");
  return {
    kernel: "portable",
    variant: `portable ${tilingName(query)} and ${tilingName(keyValue)}`,
    scratchBytes: 0,
    pipelines: {
      query: {
        label: labelOf("queries", options),
        code: queryCode + generateQueryBackward({ tiling: query, headDim, dtype, stored }),
        bindings: [...inputs, "read-write", "uniform"],
      },
      keyValue: {
        label: labelOf("keys and values", options),
        code: keyValueCode + generateKeyValueBackward({ tiling: keyValue, headDim, dtype, stored }),
        bindings: [...inputs, "read-write", "read-write", "uniform"],
      },
    },
    ranges: {
      query: splitTiles({
        tiles: Math.ceil(rows / query.tileRows),
        flops: 3 * product,
        limit,
        most,
      }),
      keyValue: splitTilesMirrored({
        tiles: Math.ceil(rows / keyValue.tileRows),
        flops: 4 * product,
        limit,
        most,
      }),
    },
  };
}

function matrixPasses(
  { capabilities }: Pick<Gpu, "capabilities">,
  options: DenseBackwardOptions,
): Passes {
  const { heads, headDim, dtype, rows, matrixTilings, gradientType = dtype } = options;
  const tuned = (pass: "query" | "key-value") =>
    tunedTiling(capabilities, { kernel: "matrix", pass, headDim, dtype, rows, heads });
  const preferred = () => {
    const chosen = chooseMatrixBackward(capabilities, { heads, rows, headDim });
    return {
      query: tuned("query") ?? chosen.query,
      keyValue: tuned("key-value") ?? chosen.keyValue,
    };
  };
  const tilings = matrixTilings ?? preferred();
  const { query, keyValue } = tilings;
  const schedule = planMatrixSchedule(capabilities, {
    heads,
    rows,
    headDim,
    tilings,
    gradientType,
    // Four products in the longer of the two dispatches, 2·d FLOP a pair each.
    pairsAtMost: options.flopsPerDispatch && options.flopsPerDispatch / (8 * headDim * heads),
  });
  return {
    kernel: "matrix",
    variant: `matrix units ${tilingName(query)} and ${tilingName(keyValue)}`,
    ranges: { query: [], keyValue: [] },
    schedule,
    scratchBytes: Object.values(schedule.bytes).reduce((a, b) => a + b),
    pipelines: {
      query: {
        label: labelOf("queries on matrix units", options),
        code: generateMatrixQuery(query, {
          headDim,
          keyRows: matrixTileRows(keyValue),
          gradientType,
        }),
        bindings: [
          ...Array<"read">(gradientType === "f32" ? 4 : 3).fill("read"),
          "read-write",
          "read-write",
          "uniform",
        ],
      },
      keyValue: {
        label: labelOf("keys and values on matrix units", options),
        code: generateMatrixKeyValue(keyValue, { headDim, gradientType }),
        bindings: [
          ...Array<"read">(gradientType === "f32" ? 7 : 6).fill("read"),
          ...Array<"read-write">(5).fill("read-write"),
          "uniform",
        ],
      },
    },
  };
}

/** Dispatches of the passes over one block of heads. */
export interface BackwardPasses {
  /** The first of all. */
  readonly delta: Dispatch;
  /** dQ. */
  readonly query: readonly Dispatch[];
  /** dK and dV. */
  readonly keyValue: readonly Dispatch[];
}

/** Compiled backward kernels. `bind` may be called for any number of head blocks. */
export interface DenseBackward {
  /** What was compiled. */
  readonly plan: DenseBackwardPlan;
  /** The dispatches for one block of heads, in their order. */
  readonly bind: (buffers: DenseBackwardBuffers) => Dispatch[];
  /** The same by pass, to time one by itself. */
  readonly bindPasses: (buffers: DenseBackwardBuffers) => BackwardPasses;
  /** Frees what the kernels hold. */
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernels.
 *
 * @param options `scratch`: buffers between the passes on matrix units, of a plan for the same shape,
 * that another kernel may use at another time. Default: the kernel's own.
 * @throws {ShaderError} when the device refuses a shader.
 * @throws {MemoryError} when the device has no room for the buffers between the passes.
 */
export async function createDenseBackward(
  gpu: Gpu,
  plan: DenseBackwardPlan,
  options: { readonly scratch?: MatrixBackwardScratch } = {},
): Promise<DenseBackward> {
  const [delta, query, keyValue] = await Promise.all([
    createPipeline(gpu, plan.pipelines.delta),
    createPipeline(gpu, plan.pipelines.query),
    createPipeline(gpu, plan.pipelines.keyValue),
  ]);
  const pipelines = { query, keyValue };
  const tiled = plan.schedule
    ? await bindMatrix(gpu, { plan, schedule: plan.schedule, pipelines, ...options })
    : bindPortable(gpu, { plan, pipelines });
  const first = bindDelta(gpu, { plan, delta, scratch: tiled.scratch });
  const bindPasses = (b: DenseBackwardBuffers) => {
    requireBuffers(plan, b);
    return { delta: first.bind(b), ...tiled.bind(b) };
  };
  return {
    plan,
    bindPasses,
    bind: (buffers) => {
      const { delta, query, keyValue } = bindPasses(buffers);
      return plan.schedule
        ? [delta, ...keyValue.flatMap((dispatch, i) => [dispatch, query[i]])]
        : [delta, ...query, ...keyValue];
    },
    destroy: () => {
      first.destroy();
      tiled.destroy();
    },
  };
}

const ROWS = ["q", "k", "v", "o"] as const;
const GRADIENTS = ["outputGradient", "queryGradient", "keyGradient", "valueGradient"] as const;

/** The dispatch of the first pass. */
function bindDelta(
  gpu: Gpu,
  { plan, delta, scratch }: {
    plan: DenseBackwardPlan;
    delta: Pipeline;
    scratch?: MatrixBackwardScratch;
  },
): { bind: (buffers: DenseBackwardBuffers) => Dispatch; destroy: () => void } {
  const { heads, rows, headDim, dtype } = plan;
  const found = scratch && plan.schedule && scaledOf(scratch, plan.schedule);
  const scaled = found ? [found.gradients, found.scales] : [];
  const lanes = deltaLanes(headDim, dtype);
  const blocks = Math.ceil(rows / 16);
  const groups = scaled.length > 0 ? blocks : Math.ceil(heads * rows / (256 / lanes));
  const x = Math.min(groups, 32768);
  const uniform = scaled.length > 0
    ? createParams(gpu, SCALES_PARAMS, { rows, blocks, gridWidth: x })
    : createParams(gpu, DELTA_PARAMS, { rows: heads * rows, stride: x * (256 / lanes) });
  return {
    bind: (b) =>
      bindDispatch(gpu, delta, {
        slices: [b.o, b.outputGradient, b.delta, ...scaled, slice(uniform)],
        workgroups: [x, Math.ceil(groups / x), scaled.length > 0 ? heads : 1],
      }),
    destroy: () => uniform.destroy(),
  };
}

/** Checks that buffers hold what the passes will address. */
function requireBuffers(plan: DenseBackwardPlan, buffers: DenseBackwardBuffers): void {
  const { heads, rows, headDim, dtype, gradientType } = plan;
  const elements = heads * rows * headDim;
  const require = (name: keyof DenseBackwardBuffers, bytes: number) =>
    requireBytes(`dense attention backward: ${name}`, buffers[name], bytes);
  for (const name of ROWS) require(name, elements * bytesPerElement(dtype));
  for (const name of GRADIENTS) require(name, elements * bytesPerElement(gradientType));
  require("lse", heads * rows * 4);
  require("delta", heads * rows * 4);
}

interface TiledPasses {
  readonly scratch?: MatrixBackwardScratch;
  readonly bind: (buffers: DenseBackwardBuffers) => Omit<BackwardPasses, "delta">;
  readonly destroy: () => void;
}

interface TiledPipelines {
  readonly query: Pipeline;
  readonly keyValue: Pipeline;
}

async function bindMatrix(
  gpu: Gpu,
  options: {
    plan: DenseBackwardPlan;
    schedule: MatrixBackwardSchedule;
    pipelines: TiledPipelines;
    scratch?: MatrixBackwardScratch;
  },
): Promise<TiledPasses> {
  const { plan, schedule, pipelines } = options;
  if (options.scratch && !hasRoom(options.scratch, schedule)) {
    throw new RangeError(
      "create dense attention backward: the scratch is smaller than the plan's schedule needs",
    );
  }
  const scratch = options.scratch ?? await createMatrixScratch(gpu, schedule);
  const { bind, destroy } = createMatrixBinding(gpu, {
    ...plan,
    schedule,
    pipelines,
    scratch,
    productFlops: productFlops(plan),
  });
  return {
    scratch,
    bind,
    destroy: () => {
      destroy();
      if (!options.scratch) scratch.destroy();
    },
  };
}

function bindPortable(
  gpu: Gpu,
  { plan, pipelines }: { plan: DenseBackwardPlan; pipelines: TiledPipelines },
): TiledPasses {
  const uniform = ({ tileCount, firstTile }: TileRange) =>
    createParams(gpu, PARAMS, {
      rows: plan.rows,
      tileCount,
      firstTile,
      scale: plan.scale * Math.LOG2E,
    });
  const bindRanges = (ranges: readonly TileRange[], pipeline: Pipeline) => {
    const uniforms = ranges.map(uniform);
    return {
      bind: (slices: readonly BufferSlice[]) =>
        ranges.map((range, i) =>
          bindDispatch(gpu, pipeline, {
            slices: [...slices, slice(uniforms[i])],
            workgroups: [plan.heads, range.tileCount, 1],
            flops: range.flops,
          })
        ),
      destroy: () => uniforms.forEach((buffer) => buffer.destroy()),
    };
  };
  const query = bindRanges(plan.ranges.query, pipelines.query);
  const keyValue = bindRanges(plan.ranges.keyValue, pipelines.keyValue);
  return {
    bind: (b) => {
      const shared = [b.q, b.k, b.v, b.outputGradient, b.lse, b.delta];
      return {
        query: query.bind([...shared, b.queryGradient]),
        keyValue: keyValue.bind([...shared, b.keyGradient, b.valueGradient]),
      };
    },
    destroy: () => {
      query.destroy();
      keyValue.destroy();
    },
  };
}
