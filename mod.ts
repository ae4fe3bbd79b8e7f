/**
 * Lighthouse Attention Bench: dense causal attention and Lighthouse attention as WebGPU kernels, the
 * suites that check and time them, and the reports that say what the numbers mean.
 *
 * Kernels run wherever WebGPU does; suites and reports need Deno.
 *
 * @example Dense causal attention on this machine
 * ```ts
 * import { createTensor, dense, DeviceError, fillSeeded, openDevice, readRows } from "./mod.ts";
 *
 * try {
 *   const gpu = await openDevice();
 *   const shape = { heads: 2, context: 300, headDim: 64, dtype: "f32" } as const;
 *   const [q, k, v] = await Promise.all([1, 2, 3].map(async (seed) => {
 *     const tensor = await createTensor(gpu, { heads: 2, rows: 300, dim: 64, dtype: "f32" });
 *     await fillSeeded(gpu, tensor, seed); // or writeTensor(gpu, tensor, yourNumbers)
 *     return tensor;
 *   }));
 *   const layer = await dense.prepare(gpu, { shape }, { inputs: { q, k, v } });
 *   const { gpuSeconds } = await layer.execute();
 *   const first = await readRows(gpu, layer.outputs.output, { head: 0, first: 0, count: 1 });
 *   console.log(gpuSeconds, first);
 *   layer.destroy();
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 *
 * @example What a Lighthouse layer would take, without a GPU
 * ```ts
 * import { planGeometry } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * const { gathered } = planGeometry(524288, { levels: 3, pooling: 4, k: 8192 });
 * assert.equal(gathered, 98304);
 * ```
 *
 * @module
 */

// Devices, memory, inputs, timing
export * from "./kernels/gpu/device.ts";
export * from "./kernels/gpu/buffers.ts";
export * from "./kernels/gpu/pipeline.ts";
export * from "./kernels/gpu/random.ts";
export * from "./kernels/gpu/inspect.ts";
export * from "./kernels/gpu/timing.ts";

// Implementations, all with one signature
export * from "./kernels/implementation.ts";
export { dense } from "./kernels/dense_attention/dense_layer.ts";
export { denseNaive } from "./kernels/dense_attention/dense_attention_naive.ts";
export {
  lighthouseDilated,
  lighthouseGla,
  lighthouseImplementation,
  type LighthouseImplementationOptions,
  lighthouseNorm,
  type LighthouseTuning,
} from "./kernels/lighthouse/lighthouse_attention.ts";

export { type Scorer, type ScoringPass } from "./kernels/lighthouse/scorer.ts";
export { glaScorer } from "./kernels/lighthouse/gla_scorer.ts";
export { requireGates } from "./kernels/lighthouse/gla_gates.ts";

// Single kernels and plans
export {
  createDenseAttention,
  type DenseAttention,
  type DenseAttentionBuffers,
  type DenseAttentionOptions,
  type DenseAttentionPlan,
  HEAD_DIMS,
  planDenseAttention,
} from "./kernels/dense_attention/dense_attention.ts";
export {
  createDenseBackward,
  type DenseBackward,
  type DenseBackwardBuffers,
  type DenseBackwardOptions,
  type DenseBackwardPlan,
  planDenseBackward,
} from "./kernels/dense_attention/dense_attention_backward.ts";
export type { Tiling } from "./kernels/dense_attention/tile_codegen.ts";
export type { TileRange } from "./kernels/dense_attention/tile_ranges.ts";
export {
  createSelection,
  NOT_SELECTED,
  planSelection,
  type Selection,
  type SelectionBindings,
  type SelectionPlan,
} from "./kernels/lighthouse/select.ts";
export { type LighthouseGeometry, planGeometry } from "./kernels/lighthouse/lighthouse_geometry.ts";

// Float64 references
export {
  denseAttentionReference,
  denseAttentionRow,
  type DenseReferenceInputs,
  type DenseReferenceRow,
  worstRatio,
} from "./kernels/dense_attention/dense_attention_reference.ts";
export {
  denseBackwardReference,
  type DenseBackwardReferenceInputs,
  type GradientRow,
} from "./kernels/dense_attention/dense_attention_backward_reference.ts";
export { lighthouseBackwardReference } from "./kernels/lighthouse/lighthouse_backward_reference.ts";
export {
  type LighthouseReference,
  lighthouseReference,
  type LighthouseReferenceOptions,
  selectReference,
} from "./kernels/lighthouse/lighthouse_reference.ts";

// Suites
export {
  exitCodeOf,
  type ProgressEvent,
  runSuite,
  type SuiteHooks,
  type SuiteOptions,
} from "./suites/runner.ts";
export type { PlanOptions } from "./suites/plan.ts";
export { IMPLEMENTATIONS, type Registration } from "./suites/implementations.ts";
export {
  formatCheck,
  verify,
  type VerifyCheck,
  type VerifyOptions,
  type VerifySummary,
} from "./suites/verify.ts";
export { type ForwardCase, type Golden, readGolden, type SelectionCase } from "./suites/golden.ts";
export { diagnoseStack, type StackDiagnosis } from "./suites/doctor.ts";
export * from "./suites/result_schema.ts";

// Reports
export { readResult } from "./reports/read_result.ts";
export { renderTerminal, type TerminalOptions } from "./reports/terminal.ts";
export { renderMarkdown } from "./reports/markdown.ts";
export { type HtmlOptions, renderHtml } from "./reports/html/render_html.tsx";
