/**
 * The scatter of gradients of Q, K and V in one dispatch. Shapes, numerics and results are those of
 * `scatter.ts`.
 *
 * @module
 */
import scatterMain from "./scatter_merged.wgsl" with { type: "text" };
import scatterCode from "./scatter.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, wideCellCode, wordsPerRow } from "../rows.ts";
import { forTensor, functionsOf, TENSORS } from "./merged_passes.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { generateSumRows, planScatter, type ScatterOptions } from "./scatter.ts";

/** Buffers of one block of heads. */
export interface MergedScatterBindings {
  readonly gatheredQ: BufferSlice;
  readonly gatheredK: BufferSlice;
  readonly gatheredV: BufferSlice;
  readonly slots: BufferSlice;
  readonly outputQ: BufferSlice;
  readonly outputK: BufferSlice;
  readonly outputV: BufferSlice;
}

/** Plans the scatter of all three gradients of a block of heads. */
export function planMergedScatter(
  geometry: LighthouseGeometry,
  options: Omit<ScatterOptions, "gradient">,
): PassPlan<MergedScatterBindings> {
  const single = planScatter(geometry, { ...options, gradient: true });
  const { heads, headDim, dtype, threads = 256 } = options;
  const rowsPerThread = Math.min(options.rowsPerThread ?? 4, geometry.pooling);
  const own = [
    functionsOf(scatterCode, ["rowAt", "store"]),
    wideCellCode(dtype, "gathered").load,
    generateSumRows(geometry, { rowsPerThread, mean: true }),
  ].join("\n");
  const [x, y] = single.workgroups;
  const { gathered, slots, output } = single.bytes;
  return {
    pipeline: {
      label: "lighthouse scatter of gradients of Q, K and V",
      bindings: [
        ...Array<"read">(4).fill("read"),
        ...Array<"read-write">(3).fill("read-write"),
        "uniform",
      ],
      code: [
        scatterMain,
        `const threads = ${threads}u;`,
        `const columns = ${wordsPerRow(headDim, dtype)}u;`,
        `const rowsPerThread = ${rowsPerThread}u;`,
        "const shift = 0u;",
        cellCode(dtype),
        functionsOf(scatterCode, ["slotAt"]),
        ...TENSORS.map((tensor) => forTensor(own, tensor)),
      ].join("\n"),
    },
    layout: {
      context: "u32",
      entries: "u32",
      gathered: "u32",
      units: "u32",
      gridWidth: "u32",
      heads: "u32",
    },
    params: { ...single.params, heads },
    workgroups: [x, y, 3 * heads],
    bytes: {
      gatheredQ: gathered,
      gatheredK: gathered,
      gatheredV: gathered,
      slots,
      outputQ: output,
      outputK: output,
      outputV: output,
    },
  };
}

/** Compiles the pass. */
export function createMergedScatter(
  gpu: Gpu,
  plan: PassPlan<MergedScatterBindings>,
): Promise<Pass<MergedScatterBindings>> {
  return createPass(gpu, plan);
}
