/**
 * What all measuring suites share: the session, its cases, and how a case ends.
 *
 * @module
 */
import type { Prepared } from "../../kernels/implementation.ts";
import { MemoryError } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Timing } from "../../kernels/gpu/timing.ts";
import type { LayerInputs } from "../../kernels/implementation.ts";
import type { Budget } from "../plan/budget.ts";
import type { Calibration } from "../device/calibrate.ts";
import type { CheckOutcome, checkOutputs, digestOutputs } from "../check/check.ts";
import type { Around, ClockWatch } from "../device/clock.ts";
import { errorLine } from "../errors.ts";
import type { Measurable } from "../plan/measurable.ts";
import { type Layer, UnavailableError } from "../plan/measurable.ts";
import type { PlannedCase } from "../plan/planned_case.ts";
import type {
  BlockSelectionRecord,
  CaseRecord,
  RatioRecord,
  Sample,
  SelectionQualityRecord,
} from "../result/result_schema.ts";

/**
 * What a session has the device do besides the executions of a layer. Tests replace it by a model
 * of a device.
 */
export interface DeviceAccess {
  readonly createInputs: (
    session: Session,
    members: readonly PlannedCase[],
  ) => Promise<LayerInputs & { destroy: () => void }>;
  readonly checkOutputs: typeof checkOutputs;
  readonly digestOutputs: typeof digestOutputs;
  readonly probeLists: (
    session: Session,
    entry: PlannedCase,
    options: { prepared: Prepared; inputs: LayerInputs },
  ) => Promise<BlockSelectionRecord | undefined>;
  readonly probeSelection: (
    session: Session,
    entry: PlannedCase,
    options: { prepared: Prepared; inputs: LayerInputs },
  ) => Promise<SelectionQualityRecord | undefined>;
}

/** What every suite needs, and where it reports. */
export interface RunSession {
  readonly gpu: Gpu;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Records a finished case; a later record of the same id replaces the earlier one. */
  readonly record: (record: CaseRecord) => Promise<void>;
  /** The record of a case that an earlier, interrupted run finished. */
  readonly finished: (id: string) => CaseRecord | undefined;
  readonly note: (line: string) => void;
  /** Reports what is in progress, for a progress display. */
  readonly step: (text: string) => void;
  /**
   * Reports what was found of a case that is not finished, in the form of the suite's part of a
   * result.
   */
  readonly found?: (found: unknown) => void;
}

/** What timing needs in addition. */
export interface Session extends RunSession {
  /** Default: the device's own. */
  readonly access?: DeviceAccess;
  readonly registry: readonly Measurable[];
  readonly calibration: Calibration;
  readonly clock: ClockWatch;
  /** Cases whose samples are being taken, in case the clock must be judged again. */
  readonly live: Set<Pick<Started, "samples" | "first">>;
  readonly budget: Budget;
  /** Device memory that cases may hold together; null if unknown. */
  readonly memoryBytes: number | null;
  readonly recordRatio: (ratio: RatioRecord) => Promise<void>;
}

/** A case whose executions are timed in rounds. */
export interface Timed {
  readonly entry: PlannedCase;
  readonly prepared: Pick<Layer, "stages" | "execute" | "peer">;
  readonly samples: Sample[];
  /** GPU seconds of each staged execution, by stage. */
  readonly stageSamples: number[][];
  /** The first execution, if it was long enough to count as a sample. */
  first?: FirstRun;
  /** How a case ends whose peer failed while its samples were taken. */
  failure?: ReturnType<typeof outcomeOf>;
}

/** A case with its buffers that ran once. */
export interface Started extends Timed {
  readonly prepared: Layer;
  /** Its earlier record, if it is measured again; `samples` includes the samples of that record. */
  readonly earlier?: CaseRecord;
  /** Peak bytes of buffers for this case, including its inputs. */
  readonly measuredPeakBytes: number;
  /** Seconds for preparing and running it, without the execution. */
  readonly setupSeconds: number;
  /** Workgroups of the first execution that restarted, on matrix units. */
  readonly restarts?: number;
}

/** A case that ran once with correct results. */
export interface Running extends Started {
  readonly outcome: CheckOutcome;
  readonly selectionQuality?: SelectionQualityRecord;
  readonly blockSelection?: BlockSelectionRecord;
}

/** A first execution that counts as a sample. */
export interface FirstRun {
  readonly timing: Timing;
  /** The worst canary reading around it. */
  readonly canary: number;
  /** What the device reported meanwhile. */
  readonly device?: Around<unknown>["device"];
  /** Whether the clock was down, and not by the layer's own power. */
  readonly off: boolean;
}

/** How a case ends that could not be prepared or run. */
export function outcomeOf(error: unknown): { status: "skipped" | "failed"; reason: string } {
  const skipped = error instanceof MemoryError || error instanceof UnavailableError;
  return { status: skipped ? "skipped" : "failed", reason: errorLine(error) };
}

/** Bytes of a layer's inputs, which its measured peak also includes. */
export function bytesOf({ q, k, v, outputGradient }: LayerInputs): number {
  return [q, k, v, outputGradient].reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);
}

/** Errors that end the run: the device is lost, or the user stopped it. */
export function rethrowFatal(session: Pick<RunSession, "gpu" | "signal">, error: unknown): void {
  if (session.signal?.aborted || session.gpu.lost() !== undefined) throw error;
  if (error instanceof Error && ["DeviceLostError", "OutputError"].includes(error.name)) {
    throw error;
  }
}

/** The number of the round after the last one with samples. */
export function nextRound(samples: readonly Sample[]): number {
  return samples.reduce((most, { round }) => Math.max(most, round), -1) + 1;
}
