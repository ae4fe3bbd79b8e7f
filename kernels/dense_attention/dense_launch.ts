/**
 * The forward kernel of dense attention, compiled and bound: portable or on matrix units, for rows
 * or for their squared norms.
 *
 * @module
 */
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type Dispatch,
  type DType,
  readBuffer,
  requireBytes,
  slice,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { createPipeline } from "../gpu/pipeline.ts";
import { createParams } from "../gpu/uniform.ts";
import { kvHeadsOf } from "../key_heads.ts";
import type { DenseAttentionPlan } from "./types.ts";

/** Parameters of the portable kernel and of the kernel on matrix units. */
const PARAMS = {
  rows: "u32",
  tileCount: "u32",
  firstTile: "u32",
  scale: "f32",
  sequences: "u32",
  gridWidth: "u32",
  resultRows: "u32",
} as const;

/** A compiled variant; `bind` takes its storage bindings in order. */
export interface DenseLaunch {
  readonly bind: (slices: readonly BufferSlice[], firstHead?: number) => Dispatch[];
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
  const walk = await plan.walk?.create(gpu, plan.tile);
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
  const keyHeads = kvHeadsOf(plan);
  const rowBytes = (heads: number, dtype: DType) =>
    heads * layout.rowStride * plan.rows * plan.headDim * bytesPerElement(dtype);
  const { outputType = plan.dtype } = plan;
  const keyBytes = rowBytes(keyHeads, plan.dtype);
  // Keys and values of their own, and queries that are gathered, are checked by whoever made the
  // walk.
  const bytesOf: Record<string, number> = {
    ...!plan.walk?.gathers && { q: rowBytes(plan.heads, plan.dtype) },
    ...!plan.walk?.apart && { k: keyBytes, v: keyBytes },
    o: rowBytes(plan.heads, outputType),
  };
  const wordBytes = plan.heads * layout.resultRows * 4;
  return {
    bind: (slices, firstHead = 0) => {
      for (const [i, name] of names.entries()) {
        const bytes = bytesOf[name] ?? (i < 3 ? 0 : wordBytes);
        requireBytes(`dense attention: ${name}`, slices[i], bytes);
      }
      return plan.ranges.map((range, i) =>
        bindDispatch(gpu, pipeline, {
          slices: [
            slice(uniforms[i]),
            ...slices,
            ...restarts ? [slice(restarts)] : [],
            ...walk ? walk.slices(firstHead) : [],
          ],
          workgroups: [x, range.tileCount, z],
          flops: range.flops,
        })
      );
    },
    readRestarts: restarts &&
      (async () => new Uint32Array((await readBuffer(gpu, slice(restarts))).buffer)[0]),
    destroy: () =>
      [...uniforms, ...restarts ? [restarts] : [], ...walk ? [walk] : []].forEach((owned) =>
        owned.destroy()
      ),
  };
}

function foldSequences(count: number, limit: number): [number, number] {
  const z = Math.ceil(count / limit);
  return [Math.ceil(count / z), z];
}
