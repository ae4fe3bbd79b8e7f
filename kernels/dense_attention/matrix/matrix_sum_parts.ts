/**
 * The pass that adds the partial sums of dK and dV of a list that was split into ranges of queries:
 * `dense_matrix_backward.ts` says when it is needed.
 *
 * @module
 */
import code from "./dense_matrix_sum_parts.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import type { Pipeline, PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";

const PARAMS = {
  rows: "u32",
  keys: "u32",
  parts: "u32",
  partialRows: "u32",
  heads: "u32",
  firstHead: "u32",
  scale: "f32",
} as const;

const THREADS = 64;

/** The shader, for a result type. */
export function sumPartsSource(
  label: string,
  { headDim, gradientType }: { readonly headDim: number; readonly gradientType: DType },
): PipelineSource {
  const half = gradientType === "f16";
  const pack = (name: string) => `pack2x16float(${name}.xy), pack2x16float(${name}.zw)`;
  const eight = half
    ? [
      "alias Eight = vec4u;",
      "fn eight(low: vec4f, high: vec4f) -> Eight {",
      "  let x = nearestHalf(low);",
      "  let y = nearestHalf(high);",
      `  return vec4u(${pack("x")}, ${pack("y")});`,
      "}",
      NEAREST_HALF,
    ]
    : [
      "struct Eight { low: vec4f, high: vec4f }",
      "fn eight(low: vec4f, high: vec4f) -> Eight { return Eight(low, high); }",
    ];
  return {
    label,
    code: wgsl`
      ${code}
      const ROW_VECTORS = ${headDim / 8}u;
      ${eight}
    `,
    bindings: ["read", "read-write", "read-write", "uniform"],
  };
}

/** The dispatch for some heads, ready to bind to buffers. */
export function createSumParts(
  gpu: Gpu,
  pipeline: Pipeline,
  sizes: {
    readonly rows: number;
    readonly headDim: number;
    /** Softmax scale. */
    readonly scale: number;
    readonly keys: number;
    readonly parts: number;
    readonly partialRows: number;
    readonly heads: number;
    readonly firstHead: number;
  },
): {
  bind: (partials: BufferSlice, keyGradient: BufferSlice, valueGradient: BufferSlice) => Dispatch;
  destroy: () => void;
} {
  const { headDim, heads, keys, ...rest } = sizes;
  const uniform = createParams(gpu, PARAMS, { ...rest, heads, keys });
  const threads = keys * headDim / 8;
  return {
    bind: (partials, keyGradient, valueGradient) =>
      bindDispatch(gpu, pipeline, {
        slices: [partials, keyGradient, valueGradient, slice(uniform)],
        workgroups: [Math.ceil(threads / THREADS), heads, 2],
      }),
    destroy: () => uniform.destroy(),
  };
}
