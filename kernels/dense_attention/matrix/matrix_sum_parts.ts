/**
 * The pass that adds the partial sums of dK and dV: of a list that was split into ranges of
 * queries, and of the query heads that share a head of keys and values. `dense_matrix_backward.ts`
 * says when it is needed.
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
import { replaceLines } from "../tile_walk.ts";

const PARAMS = {
  rows: "u32",
  keys: "u32",
  parts: "u32",
  partialRows: "u32",
  heads: "u32",
  firstHead: "u32",
  scale: "f32",
} as const;

/** The same where query heads share a head of keys and values. */
const GROUPED_PARAMS = { ...PARAMS, firstKey: "u32" } as const;

const THREADS = 64;

/** `dense_matrix_sum_parts.wgsl` where `group` query heads share a head of keys and values. */
function groupSums(group: number): string {
  if (group === 1) return code;
  const scale = "scale: f32,       // of dK";
  return replaceLines(code, {
    [scale]: [scale, "firstKey: u32,    // the first key that has partial sums"],
    "for (var part = 0u; part < params.parts; part++) {": [
      "for (var i = 0u; i < params.parts * GROUP; i++) {",
      "  let part = i / GROUP;",
    ],
    "var low = vec4f();": [
      "// Where the last keys are fewer than a matrix, it began earlier, with rows of the block before.",
      "let own = params.firstKey + row / 16u * 16u;",
      "let stored = row + own - min(own, params.rows - 16u);",
      "var low = vec4f();",
    ],
    "let slot = (which * params.parts + part) * params.heads + head;": [
      "let slot = ((which * params.parts + part) * params.heads + head) * GROUP + i % GROUP;",
    ],
    "let at = 2u * ((slot * params.partialRows + row) * ROW_VECTORS + column);": [
      "let at = 2u * ((slot * params.partialRows + stored) * ROW_VECTORS + column);",
    ],
    "let to = ((params.firstHead + head) * params.rows + row) * ROW_VECTORS + column;": [
      "let keyRow = (params.firstHead + head) * params.rows + params.firstKey + row;",
      "let to = keyRow * ROW_VECTORS + column;",
    ],
  });
}

/** WGSL of eight elements of a result, and their conversion from f32. */
export function generateEight(gradientType: DType): string[] {
  const pack = (name: string) => `pack2x16float(${name}.xy), pack2x16float(${name}.zw)`;
  return gradientType === "f16"
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
}

/** The shader, for a result type. */
export function sumPartsSource(
  label: string,
  { headDim, gradientType, group }: {
    readonly headDim: number;
    readonly gradientType: DType;
    /** Query heads that share a head of keys and values. */
    readonly group: number;
  },
): PipelineSource {
  return {
    label,
    code: wgsl`
      ${groupSums(group)}
      const ROW_VECTORS = ${headDim / 8}u;
      ${group > 1 ? [`const GROUP = ${group}u;`] : []}
      ${generateEight(gradientType)}
    `,
    bindings: ["read", "read-write", "read-write", "uniform"],
  };
}

/** The dispatch for some heads of keys and values, ready to bind to buffers. */
export function createSumParts(
  gpu: Gpu,
  pipeline: Pipeline,
  sizes: {
    readonly rows: number;
    readonly headDim: number;
    /** Softmax scale. */
    readonly scale: number;
    readonly keys: number;
    /** Default: those are the first keys, and no heads are added. */
    readonly firstKey?: number;
    readonly parts: number;
    readonly partialRows: number;
    readonly heads: number;
    readonly firstHead: number;
  },
): {
  bind: (partials: BufferSlice, keyGradient: BufferSlice, valueGradient: BufferSlice) => Dispatch;
  destroy: () => void;
} {
  const { headDim, firstKey, ...values } = sizes;
  const { heads, keys } = values;
  const uniform = firstKey === undefined
    ? createParams(gpu, PARAMS, values)
    : createParams(gpu, GROUPED_PARAMS, { ...values, firstKey });
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
