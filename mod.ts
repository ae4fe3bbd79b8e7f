/**
 * Lighthouse Attention Bench: dense causal attention and Lighthouse attention as WebGPU kernels,
 * the suites that check and time them, and the reports that interpret the numbers.
 *
 * This module has what programs use. `./kernels` is for authors of kernels and, since it runs
 * wherever WebGPU does, for pages; `./suites` has the parts of a run, `./results` the format of its
 * file.
 *
 * @example Both attentions on this machine, forward and backward
 * ```ts
 * import { denseAttention, DeviceError, lighthouseAttention, openDevice } from "./mod.ts";
 *
 * const random = () => Float32Array.from({ length: 2048 * 32 }, () => Math.random() - 0.5);
 * const inputs = { q: random(), k: random(), v: random(), outputGradient: random() };
 * try {
 *   const gpu = await openDevice();
 *   const dense = await denseAttention(gpu, inputs, { headDim: 32 });
 *   const lighthouse = await lighthouseAttention(gpu, inputs, { headDim: 32, k: 128 });
 *   console.log(dense.output, dense.gradients.q, dense.timing.wallSeconds);
 *   console.log(lighthouse.output, lighthouse.gradients.q, lighthouse.selection);
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 *
 * @example The same layer repeatedly, everything on the device
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
 * @example A run and its report
 * ```ts
 * import { DeviceError, renderReport, runSuite } from "./mod.ts";
 * import assert from "node:assert/strict";
 *
 * try {
 *   const result = await runSuite({
 *     profile: "smoke",
 *     suites: ["latency"],
 *     implementations: ["dense"],
 *     directions: ["forward"],
 *     contexts: [512],
 *     samples: 2,
 *   });
 *   assert.ok(result.cases.every(({ status }) => status !== "failed"));
 *   console.log(renderReport(result, { format: "markdown" })); // without a format: the HTML page
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

// Attention in one call
export { denseAttention, lighthouseAttention } from "./kernels/attention.ts";
export type {
  AttentionGradients,
  AttentionResult,
  LighthouseAttentionOptions,
  LighthouseAttentionResult,
} from "./kernels/attention.ts";
export type {
  AttentionGradientInputs,
  AttentionInput,
  AttentionInputs,
  AttentionOptions,
} from "./kernels/attention_inputs.ts";

// Devices and tensors
export { DeviceError, DeviceLostError, type Gpu, type Stack } from "./kernels/gpu/device.ts";
export { openDevice } from "./kernels/gpu/open_device.ts";
export { MemoryError, RefusedError } from "./kernels/gpu/submit.ts";
export {
  createTensor,
  type DType,
  readRows,
  readTensor,
  type Tensor,
  type TensorShape,
  writeTensor,
} from "./kernels/gpu/buffers.ts";
export { fillSeeded } from "./kernels/gpu/random.ts";
export { NotFiniteError, requireFinite } from "./kernels/gpu/inspect.ts";
export type { RunOptions, Timing } from "./kernels/gpu/timing.ts";

// Layers that stay on the device
export { IMPLEMENTATIONS } from "./kernels/implementations.ts";
export { dense } from "./kernels/dense_attention/dense_layer.ts";
export { slidingWindow } from "./kernels/sparse_attention/sliding_window/sliding_window.ts";
export { bigBird } from "./kernels/sparse_attention/bigbird/bigbird.ts";
export { moba } from "./kernels/sparse_attention/moba/moba.ts";
export { nsa } from "./kernels/sparse_attention/nsa/nsa.ts";
export { dsa } from "./kernels/sparse_attention/dsa/dsa.ts";
export { hisa } from "./kernels/sparse_attention/hisa/hisa.ts";
export {
  lighthouseDilated,
  lighthouseGla,
  lighthouseNorm,
} from "./kernels/lighthouse/lighthouse_attention.ts";
export type {
  AttentionShape,
  Direction,
  Implementation,
  LayerInputs,
  LighthouseOptions,
  Prepared,
  Problem,
} from "./kernels/implementation.ts";
export { type LighthouseGeometry, planGeometry } from "./kernels/lighthouse/lighthouse_geometry.ts";

// A run, its checks and its result file
export {
  exitCodeOf,
  type ProgressEvent,
  runSuite,
  type SuiteHooks,
  type SuiteOptions,
} from "./suites/run/runner.ts";
export {
  formatCheck,
  verify,
  type VerifyCheck,
  type VerifyOptions,
  type VerifySummary,
} from "./suites/correctness/verify.ts";
export { parseResult, readResult, ResultFileError } from "./suites/result/read_result.ts";
export type { CaseRecord, Result } from "./suites/result/result.ts";

// Reports
export { renderReport, type ReportOptions } from "./reports/render_report.ts";
export { renderTerminal, type TerminalOptions } from "./reports/text/terminal.ts";
export { renderMarkdown } from "./reports/text/markdown.ts";
export { type HtmlOptions, renderHtml, type ReportSite } from "./reports/html/render_html.tsx";
export type { PageImage, SiteLink } from "./reports/html/page.tsx";
