/**
 * The delta pass of dense attention over rows of any number of heads.
 *
 * @module
 */
import { deltaLanes } from "../../dense_attention/delta_pass.ts";
import { bindDispatch, type BufferSlice, type DType, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { Bound } from "./packing.ts";

const PARAMS = { rows: "u32", stride: "u32" } as const;

/** Binds delta = Σ dO ∘ O of all rows. */
export async function bindDeltaRows(
  gpu: Gpu,
  options: {
    readonly source: PipelineSource;
    /** Rows of all heads. */
    readonly rows: number;
    readonly headDim: number;
    readonly dtype: DType;
    /** O, dO and delta. */
    readonly slices: readonly BufferSlice[];
  },
): Promise<Bound> {
  const { source, rows, headDim, dtype, slices } = options;
  const pipeline = await createPipeline(gpu, source);
  const perGroup = 256 / deltaLanes(headDim, dtype);
  const groups = Math.ceil(rows / perGroup);
  const x = Math.min(groups, 32768);
  const uniform = createParams(gpu, PARAMS, { rows, stride: x * perGroup });
  const dispatch = bindDispatch(gpu, pipeline, {
    slices: [...slices, slice(uniform)],
    workgroups: [x, Math.ceil(groups / x), 1],
  });
  return { dispatches: [dispatch], destroy: () => uniform.destroy() };
}
