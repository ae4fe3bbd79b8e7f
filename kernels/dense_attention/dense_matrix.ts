/**
 * A trial: dense causal attention, forward, on subgroup matrices. `dense_attention.ts` says what is
 * computed and has the portable kernel. No suite runs this one yet: `TUNING.md` says what was
 * measured and what is missing.
 *
 * Shapes and results are those of the portable kernel; f16 storage only, d = 64 or 128.
 *
 * Numerics: products of f16 with f32 accumulation. Softmax weights are rounded to f16 before the
 * second product, which the portable kernel does not do: each weight is off by half a unit in the
 * last place of f16 more.
 *
 * @module
 */
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  createUniform,
  type Dispatch,
  floatBits,
  readBuffer,
  slice,
} from "../gpu/buffers.ts";
import type { Capabilities, Gpu } from "../gpu/device.ts";
import { NEAREST_HALF } from "../gpu/half.ts";
import { createPipeline, type PipelineSource } from "../gpu/pipeline.ts";
import type { DenseAttentionOptions } from "./dense_attention.ts";
import { denseForwardBytes, denseForwardFlops } from "./dense_attention_cost.ts";
import {
  generateDenseMatrix,
  matrixTileRows,
  type MatrixTiling,
  matrixWorkgroupBytes,
} from "./dense_matrix_codegen.ts";
import { splitTiles, type TileRange } from "./tile_ranges.ts";

/** Head dimensions that the kernel supports. */
export const MATRIX_HEAD_DIMS: readonly number[] = [64, 128];

/** Everything about the launch that can be known without a device. */
export interface DenseMatrixPlan extends Omit<DenseAttentionOptions, "tiling"> {
  readonly scale: number;
  readonly tiling: MatrixTiling;
  readonly pipeline: PipelineSource;
  readonly ranges: readonly TileRange[];
  readonly workgroupBytes: number;
  readonly flops: number;
  readonly bytes: number;
}

/**
 * Why the device cannot run the kernel; undefined when it can. The configuration is read from the
 * device's own table: f16 × f16 → f32 at 16 × 16 × 16, in subgroups of 32.
 */
export function whyNoMatrixUnits(capabilities: Capabilities): string | undefined {
  const { subgroupMatrix, subgroupMinSize, subgroupMaxSize } = capabilities;
  if (subgroupMatrix.length === 0) return "the device has no subgroup matrices";
  const found = subgroupMatrix.some((c) =>
    c.componentType === "f16" && c.resultComponentType === "f32" &&
    c.M === 16 && c.N === 16 && c.K === 16
  );
  if (!found) return "the device has no f16 × f16 → f32 subgroup matrices of 16 × 16 × 16";
  if (subgroupMinSize !== 32 || subgroupMaxSize !== 32) {
    return `subgroups of ${subgroupMinSize} to ${subgroupMaxSize} threads are not of 32`;
  }
  return undefined;
}

/**
 * Plans a launch.
 *
 * @throws {RangeError} naming what is missing or out of range.
 */
export function planDenseMatrix(
  gpu: Pick<Gpu, "capabilities">,
  options: Omit<DenseAttentionOptions, "tiling"> & { readonly tiling?: MatrixTiling },
): DenseMatrixPlan {
  const { heads, rows, headDim, dtype } = options;
  const fail = (reason: string): never => {
    throw new RangeError(`plan dense attention on matrix units: ${reason}`);
  };
  const missing = whyNoMatrixUnits(gpu.capabilities);
  if (missing) fail(missing);
  if (dtype !== "f16") fail(`storage ${dtype} is not f16`);
  if (!MATRIX_HEAD_DIMS.includes(headDim)) {
    fail(`head dimension ${headDim} is not one of ${MATRIX_HEAD_DIMS.join(", ")}`);
  }
  const tiling = options.tiling ?? chooseMatrixTiling(rows);
  const workgroupBytes = matrixWorkgroupBytes(tiling, headDim);
  const { maxWorkgroupBytes, maxWorkgroupsPerDimension } = gpu.capabilities;
  if (workgroupBytes > maxWorkgroupBytes) {
    fail(`${workgroupBytes} bytes of workgroup memory exceed the device's ${maxWorkgroupBytes}`);
  }
  const flops = denseForwardFlops({ heads, rows, headDim });
  return {
    ...options,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    tiling,
    pipeline: {
      label: `dense attention on matrix units d=${headDim}`,
      code: generateDenseMatrix(tiling, headDim) + NEAREST_HALF,
      bindings: [
        "uniform",
        "read",
        "read",
        "read",
        "read-write",
        "read-write",
        "read-write",
      ],
    },
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

/** Short contexts want more, smaller workgroups; long ones more reuse of each staged key. */
export function chooseMatrixTiling(rows: number): MatrixTiling {
  return rows < 8192
    ? { subgroups: 4, blocks: 2, tileColumns: 32 }
    : { subgroups: 8, blocks: 2, tileColumns: 64 };
}

/** A compiled kernel. */
export interface DenseMatrix {
  readonly plan: DenseMatrixPlan;
  readonly bind: (
    buffers: { q: BufferSlice; k: BufferSlice; v: BufferSlice; o: BufferSlice; lse: BufferSlice },
  ) => Dispatch[];
  /** Workgroups that started over since the kernel was created. */
  readonly readRestarts: () => Promise<number>;
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernel.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createDenseMatrix(gpu: Gpu, plan: DenseMatrixPlan): Promise<DenseMatrix> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const restarts = await createStorageBuffer(gpu, 16, { label: "restarts" });
  const uniforms = plan.ranges.map(({ firstTile, tileCount }) =>
    createUniform(gpu, [plan.rows, tileCount, firstTile, floatBits(plan.scale * Math.LOG2E)])
  );
  return {
    plan,
    bind: ({ q, k, v, o, lse }) =>
      plan.ranges.map((range, i) =>
        bindDispatch(gpu, pipeline, {
          slices: [slice(uniforms[i]), q, k, v, o, lse, slice(restarts)],
          workgroups: [plan.heads, range.tileCount, 1],
          flops: range.flops,
        })
      ),
    readRestarts: async () => new Uint32Array((await readBuffer(gpu, slice(restarts))).buffer)[0],
    destroy: () => [restarts, ...uniforms].forEach((buffer) => buffer.destroy()),
  };
}
