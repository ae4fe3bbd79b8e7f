/**
 * The first backward pass of dense attention: delta = Σ dO ∘ O per row. On matrix units with an f32
 * dO it also writes the scaled f16 copy that matrix units multiply.
 *
 * @module
 */
import scalesCode from "./matrix/dense_matrix_gradient_scales.wgsl" with { type: "text" };
import deltaCode from "./portable/dense_attention_backward_delta.wgsl" with { type: "text" };
import { bindDispatch, type Dispatch, type DType, slice } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { NEAREST_HALF } from "../gpu/half.ts";
import type { Pipeline, PipelineSource } from "../gpu/pipeline.ts";
import { createParams } from "../gpu/uniform.ts";
import { type DenseBackwardPlan, labelOf } from "./backward_plan.ts";
import { type MatrixBackwardScratch, scaledOf } from "./matrix/dense_matrix_backward.ts";
import { CLASS_ROWS } from "./matrix/matrix_layout.ts";
import type { DenseBackwardBuffers, DenseBackwardOptions } from "./types.ts";
import { wgsl } from "../gpu/wgsl.ts";

const DELTA_PARAMS = { rows: "u32", stride: "u32" } as const;
/** Parameters of the delta pass that also scales dO. */
const SCALES_PARAMS = { rows: "u32", blocks: "u32", gridWidth: "u32" } as const;

/** Threads that share a row in the delta pass: a power of two, so that they divide a workgroup. */
export function deltaLanes(headDim: number, dtype: DType): number {
  const rowVectors = headDim / (dtype === "f16" ? 8 : 4);
  return 2 ** Math.floor(Math.log2(Math.min(16, rowVectors)));
}

/** The dot product of two vectors of 8 halves, `a` and `b`. */
const DOT_HALVES = [..."xyzw"].map((c) => `dot(unpack2x16float(a.${c}), unpack2x16float(b.${c}))`)
  .join(" + ");

/** The shader that computes delta. */
export function deltaSource(
  options: DenseBackwardOptions & { readonly gradientType: DType },
): PipelineSource {
  const { headDim, dtype, gradientType } = options;
  const dotFloats =
    "let b = outputGradients[at]; return dot(bitcast<vec4f>(a), bitcast<vec4f>(b));";
  const dotHalves = `let b = outputGradients[at]; return ${DOT_HALVES};`;
  const dotMixed = wgsl`
    let low = bitcast<vec4f>(outputGradients[2u * at]);
    let high = bitcast<vec4f>(outputGradients[2u * at + 1u]);
    return dot(vec4f(unpack2x16float(a.x), unpack2x16float(a.y)), low) +
      dot(vec4f(unpack2x16float(a.z), unpack2x16float(a.w)), high);
  `;
  return {
    label: labelOf("delta", options),
    code: wgsl`
      ${deltaCode}
      const LANES = ${deltaLanes(headDim, dtype)}u;
      const ROW_VECTORS = ${headDim / (dtype === "f16" ? 8 : 4)}u;
      // Of 16 bytes of O and the elements of dO beside them.
      fn dotAt(at: u32) -> f32 {
        let a = outputs[at];
        ${dtype === "f32" ? dotFloats : gradientType === "f16" ? dotHalves : dotMixed}
      }

    `,
    bindings: ["read", "read", "read-write", "uniform"],
  };
}

/** The shader for matrix units with an f32 dO: it also writes the scaled f16 copy. */
export function scalesSource(options: DenseBackwardOptions): PipelineSource {
  return {
    label: labelOf("delta and scaled output gradients", options),
    code: wgsl`
      ${scalesCode}
      const ROW_VECTORS = ${options.headDim / 8}u;
      fn dotVector(a: vec4u, b: vec4u) -> f32 { return ${DOT_HALVES}; }
      ${NEAREST_HALF}
    `,
    bindings: ["read", "read", "read-write", "read-write", "read-write", "uniform"],
  };
}

/** The dispatch of the first pass. */
export function bindDelta(
  gpu: Gpu,
  { plan, delta, scratch }: {
    plan: DenseBackwardPlan;
    delta: Pipeline;
    scratch?: MatrixBackwardScratch;
  },
): { bind: (buffers: DenseBackwardBuffers) => Dispatch; destroy: () => void } {
  const { heads, rows, headDim, dtype } = plan;
  const found = scratch && plan.schedule && scaledOf(scratch, plan.schedule);
  const scaled = found ? [found.gradients, found.masks] : [];
  const lanes = deltaLanes(headDim, dtype);
  const blocks = Math.ceil(rows / CLASS_ROWS);
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
