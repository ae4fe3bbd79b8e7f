/**
 * The parts of a run, for programs with measurements of their own: what is measured and by whom,
 * plans, golden vectors, tilings measured on this machine, and what a stack can do. A whole run is
 * `runSuite` of the main entry.
 *
 * @module
 */

// What is measured
export {
  type Layer,
  type Measurable,
  type Outputs,
  type PeerTraits,
  type PrepareOptions,
  type RemoteTensor,
  type RowRange,
  type Rows,
  UnavailableError,
} from "./plan/measurable.ts";
export type { PeerModel, PeerStep, TrainingPeer, TrainingRequest } from "./plan/training_peer.ts";
export type { PlanOptions } from "./plan/plan_options.ts";
export type { KRule } from "./plan/profile.ts";
export type { Shard } from "./plan/shard.ts";

// What it is compared with
export {
  type BaselineCase,
  type ForwardCase,
  type Golden,
  type GoldenArray,
  readGolden,
  type SelectionCase,
} from "./check/golden.ts";

// The machine
export { type AppliedTuning, applyTuning, type ApplyTuningOptions } from "./device/tuning_file.ts";
export { diagnoseStack, type StackDiagnosis } from "./run/doctor.ts";
export { openDawn } from "../kernels/gpu/dawn.ts";
export { openDevice } from "../kernels/gpu/open_device.ts";
