/**
 * What the page and its worker tell each other. Everything here survives a structured clone.
 *
 * @module
 */
import type { AdapterRecord } from "../kernels/gpu/device.ts";
import type { Result, RetrievalCell } from "../suites/result/result_schema.ts";
import type { ModeName } from "./modes.ts";
import type { TrainingEnd, TrainingFacts, TrainingMoment } from "./tiny_training.ts";

/** The device that the browser grants. */
export interface DeviceFound {
  readonly adapter: AdapterRecord;
  /** Name of the device, as far as the browser tells it. */
  readonly name: string;
  readonly features: readonly string[];
  /** What kernels may rely on, in words: `f16`, `subgroups`, `matrix units`, `timestamps`. */
  readonly capabilities: Readonly<
    Record<"f16" | "subgroups" | "matrixUnits" | "timestamps", boolean>
  >;
  /** Largest buffer, bytes. */
  readonly maxBufferBytes: number;
  /** The training that the page would show. */
  readonly training: TrainingFacts;
}

/** What the page asks of the worker. */
export type Request =
  | { readonly type: "find-device" }
  | { readonly type: "run"; readonly run: RunRequest }
  /** Trains the two tiny models. */
  | { readonly type: "train"; readonly seed: number }
  /** Ends the run or the training; what is finished is kept. */
  | { readonly type: "stop" }
  /** The tab was hidden, or is visible again; the result says for how long. */
  | { readonly type: "hidden"; readonly hidden: boolean }
  /** Destroys the device under the run, as a driver's reset does; for tests. */
  | { readonly type: "lose-device" };

/** A run to do. */
export interface RunRequest {
  readonly mode: ModeName;
  /** What the person calls the GPU; empty for the browser's own name. */
  readonly deviceName: string;
  readonly seed: number;
  /** Seconds to spend, instead of the mode's. */
  readonly budgetSeconds: number | null;
}

/** A moment of a run. */
export interface Moment {
  readonly kind: "step" | "case" | "note";
  readonly text: string;
  /** Cases finished. */
  readonly done: number;
  /** Cases planned. */
  readonly total: number;
  /** Seconds still to go, null before anything is known. */
  readonly remainingSeconds: number | null;
}

/** What the worker answers. */
export type Answer =
  | { readonly type: "device"; readonly device: DeviceFound }
  | { readonly type: "no-device"; readonly reason: string }
  | { readonly type: "moment"; readonly moment: Moment }
  /** What is finished so far; a valid result at any time. */
  | { readonly type: "partial"; readonly result: Result }
  /** Cells of the needles' map that is not finished. */
  | { readonly type: "cells"; readonly cells: readonly RetrievalCell[] }
  | { readonly type: "finished"; readonly result: Result; readonly stopped: boolean }
  | { readonly type: "training"; readonly training: TrainingMoment }
  | { readonly type: "trained"; readonly end: TrainingEnd }
  | { readonly type: "failed"; readonly line: string };
