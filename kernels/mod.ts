/**
 * The kernels alone: dense causal attention and Lighthouse attention on a WebGPU device, forward
 * and backward, with their float64 references, and the building blocks of new kernels: buffers,
 * uniforms packed by field name, pipelines, dispatches, timing. Uses no Deno API and no npm
 * package, so that a bundle of it runs in a browser.
 *
 * @example Lighthouse attention in a browser or in Deno
 * ```ts
 * import { DeviceError, digestSelection, lighthouseAttention, openDevice } from "./mod.ts";
 *
 * try {
 *   const gpu = await openDevice();
 *   const q = Float32Array.from({ length: 2048 * 32 }, () => Math.random() - 0.5);
 *   const { output, selection } = await lighthouseAttention(
 *     gpu,
 *     { q, k: q, v: q },
 *     { headDim: 32, levels: 3, pooling: 4, k: 128 },
 *   );
 *   console.log(output, await digestSelection(selection));
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 *
 * @module
 */

// Attention in one call
export * from "./attention.ts";
export {
  type AttentionGradientInputs,
  type AttentionInput,
  type AttentionInputs,
  type AttentionOptions,
} from "./attention_inputs.ts";

// Devices, memory, inputs, timing
export {
  type AdapterRecord,
  type Capabilities,
  DeviceError,
  DeviceLostError,
  type Gpu,
  openDevice,
  type OpenDeviceOptions,
  type Stack,
  type SubgroupMatrixConfig,
  type TunedTiling,
} from "./gpu/device.ts";
export {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  bytesPerHead,
  createStorageBuffer,
  createTensor,
  createUniform,
  type Dispatch,
  type DType,
  encodeDispatches,
  floatBits,
  headsPerBlock,
  readBuffer,
  readRows,
  readTensor,
  runDispatches,
  slice,
  type Tensor,
  type TensorBlock,
  type TensorShape,
  USAGE,
  writeBuffer,
  writeTensor,
} from "./gpu/buffers.ts";
export {
  createParams,
  packUniform,
  type UniformLayout,
  type UniformValues,
} from "./gpu/uniform.ts";
export * from "./gpu/pipeline.ts";
export * from "./gpu/random.ts";
export * from "./gpu/inspect.ts";
export { type RunOptions, type Stage, Timer, type Timing } from "./gpu/timing.ts";
export { MemoryError, RefusedError } from "./gpu/submit.ts";

// Implementations, all with one signature
export * from "./implementation.ts";
export { requireOptions } from "./options.ts";
export { dense } from "./dense_attention/dense_layer.ts";
export { slidingWindow } from "./sparse_attention/sliding_window/sliding_window.ts";
export { bigBird } from "./sparse_attention/bigbird/bigbird.ts";
export { moba } from "./sparse_attention/moba/moba.ts";
export { nsa } from "./sparse_attention/nsa/nsa.ts";
export { dsa } from "./sparse_attention/dsa/dsa.ts";
export { hisa } from "./sparse_attention/hisa/hisa.ts";
export { denseNaive } from "./dense_attention/naive/dense_attention_naive.ts";
export { IMPLEMENTATIONS } from "./implementations.ts";
export {
  lighthouseDilated,
  lighthouseGla,
  lighthouseImplementation,
  type LighthouseImplementationOptions,
  lighthouseNorm,
  type LighthouseTuning,
} from "./lighthouse/lighthouse_attention.ts";

// Scorers
export {
  type BlockScorer,
  type Scorer,
  type ScorerBindings,
  type ScorerPlan,
  type ScorerProblem,
  type ScoringPass,
} from "./lighthouse/scorers/scorer.ts";
export { findScorer, SCORERS } from "./lighthouse/scorers/scorers.ts";
export { DEFAULT_DILATION } from "./lighthouse/scorers/dilation.ts";
export { normScorer } from "./lighthouse/scorers/norm/norm_scorer.ts";
export { dilatedScorer } from "./lighthouse/scorers/dilated/dilated_scorer.ts";
export { randomScorer } from "./lighthouse/scorers/random/random_scorer.ts";
export { glaScorer, type GlaScorerOptions } from "./lighthouse/scorers/gla/gla_scorer.ts";
export { requireGates } from "./lighthouse/scorers/gla/gla_gates.ts";

// Single kernels and plans
export {
  createDenseAttention,
  type DenseAttention,
  planDenseAttention,
} from "./dense_attention/dense_attention.ts";
export {
  type DenseAttentionBuffers,
  type DenseAttentionOptions,
  type DenseAttentionPlan,
  type DenseBackwardBuffers,
  type DenseBackwardOptions,
  type DenseKernel,
  HEAD_DIMS,
} from "./dense_attention/types.ts";
export type {
  TileWalk,
  WalkBuffers,
  WalkRectangle,
  WalkTile,
} from "./dense_attention/tile_walk.ts";
export type {
  BackwardTilings,
  MatrixBackwardTiling,
  MatrixBackwardTilings,
  MatrixTiling,
  Tiling,
} from "./dense_attention/tilings.ts";
export type { BackwardPasses, DenseBackwardPlan } from "./dense_attention/backward_plan.ts";
export {
  createDenseBackward,
  type DenseBackward,
  planDenseBackward,
} from "./dense_attention/dense_attention_backward.ts";
export { withTuning } from "./dense_attention/tuning.ts";
export {
  createMatrixScratch,
  type MatrixBackwardScratch,
} from "./dense_attention/matrix/dense_matrix_backward.ts";
export type {
  MatrixBackwardSchedule,
  ScoreRectangle,
} from "./dense_attention/matrix/matrix_schedule.ts";
export type { TileRange } from "./dense_attention/portable/tile_ranges.ts";
export {
  createSelection,
  NOT_SELECTED,
  planSelection,
  type Selection,
  type SelectionBindings,
  type SelectionOptions,
  type SelectionPlan,
} from "./lighthouse/passes/select.ts";
export { digestSelection } from "./lighthouse/selection_digest.ts";
export { type LighthouseGeometry, planGeometry } from "./lighthouse/lighthouse_geometry.ts";

// Float64 references
export {
  denseAttentionReference,
  denseAttentionRow,
  type DenseReferenceInputs,
  type DenseReferenceRow,
  type ReferenceOptions,
  worstRatio,
} from "./dense_attention/dense_attention_reference.ts";
export {
  type BackwardReferenceOptions,
  denseBackwardReference,
  type DenseBackwardReferenceInputs,
  type GradientRow,
} from "./dense_attention/dense_attention_backward_reference.ts";
export {
  lighthouseBackwardReference,
  type LighthouseBackwardReferenceOptions,
} from "./lighthouse/lighthouse_backward_reference.ts";
export {
  type LighthouseReference,
  lighthouseReference,
  type LighthouseReferenceOptions,
  maximaReference,
  type Numbers,
  scatterReference,
  selectReference,
} from "./lighthouse/lighthouse_reference.ts";
export {
  type GlaReferenceOptions,
  glaScoresReference,
} from "./lighthouse/scorers/gla/gla_scores_reference.ts";

// Training: the model and its step, checkpoints, matrix products
export {
  type CreateModelOptions,
  createTrainingModel,
  type HistoryLine,
  type ParameterPart,
  type RunStepsOptions,
  type TrainingModel,
} from "./training/model/training_model.ts";
export type { SamplerOptions, SamplerRecord } from "./training/model/fill_model.ts";
export type { StreamOptions } from "./training/stream/stream_options.ts";
export {
  type BufferGroup,
  describeTrainingPlan,
  type PlanOptions,
  planTraining,
  type TrainingBuffer,
  type TrainingPlan,
} from "./training/model/model_plan.ts";
export {
  endsDense,
  type Model,
  type ModelOptions,
  paperModel,
} from "./training/model/model_options.ts";
export type { Parameter } from "./training/model/parameters.ts";
export type {
  Chunk,
  HeadProducts,
  LayerProducts,
  ModelProducts,
} from "./training/model/model_products.ts";
export { STAGE_NAMES, type StageName } from "./training/model/step_stages.ts";
export {
  type ModelReference,
  modelReference,
  type ModelReferenceOptions,
  type Rounding,
} from "./training/model/model_reference.ts";
export type {
  AttentionBuffer,
  AttentionPlan,
  AttentionSize,
  LayerAttention,
  Recompute,
} from "./training/attention/types.ts";
export type { Optimizer, OptimizerOptions } from "./training/optimizer/optimizer_options.ts";
export { STEP_STATE, type StepState } from "./training/optimizer/step_state.ts";
export type { RopeScaling } from "./training/rope/rope.ts";
export {
  blobSource,
  type CheckpointSource,
  loadCheckpoint,
  saveCheckpoint,
} from "./training/checkpoint/checkpoint.ts";
export {
  createProduct,
  planProduct,
  type Product,
} from "./training/matrix_product/matrix_product.ts";
export {
  type HeadLayout,
  PRODUCT_PARAMS,
  type ProductBuffers,
  type ProductForm,
  type ProductOptions,
  type ProductPlan,
  type ProductResult,
} from "./training/matrix_product/types.ts";
export type {
  MatrixProductTiling,
  PortableProductTiling,
} from "./training/matrix_product/product_tilings.ts";
