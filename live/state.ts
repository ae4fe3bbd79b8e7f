/**
 * The page's state and what changes it: a pure function of what happens, so that every state can be
 * made in a test.
 *
 * @module
 */
import { caseTitle } from "../reports/text/case_title.ts";
import type { CaseRecord, Result, RetrievalCell } from "../suites/result/result_schema.ts";
import type { Answer, DeviceFound, Moment } from "./protocol.ts";
import type { TrainingEnd, TrainingMoment } from "./tiny_training.ts";
import { budgetOf, type ModeName, modeOf } from "./modes.ts";

/** A result that the page shows: its own, or one that was dropped on it. */
export interface ShownResult {
  /** File name, or what made it. */
  readonly name: string;
  readonly result: Result;
  /** True for a run of this page. */
  readonly own: boolean;
}

/** A run under way. */
export interface Running {
  readonly mode: ModeName;
  /** Seconds of the whole run. */
  readonly budgetSeconds: number;
  /** Milliseconds of `performance.now()` when it began. */
  readonly startedAt: number;
  readonly moment: Moment | null;
  /** When that moment was, on the same clock. */
  readonly momentAt: number;
  /** Share of the run that is over, 0 to 1; it never falls. */
  readonly progress: number;
  /** Finished cases, the last one first. */
  readonly finished: readonly FinishedCase[];
  readonly notes: readonly string[];
  readonly partial: Result | null;
  /** Cells of needles beyond those of `partial`: of the case that goes on. */
  readonly cells: readonly RetrievalCell[];
  /** Stop was pressed. */
  readonly stopping: boolean;
  /** Seconds for which the tab was hidden. */
  readonly hiddenSeconds: number;
}

/** A training of the tiny models, under way or over. */
export interface Training {
  readonly moment: TrainingMoment | null;
  /** When that moment was, milliseconds of `performance.now()`. */
  readonly momentAt: number;
  /** Stop was pressed. */
  readonly stopping: boolean;
  /** How it ended; null while it goes on. */
  readonly end: TrainingEnd | "failed" | null;
}

/** One line of the list of finished cases. */
export interface FinishedCase {
  readonly id: string;
  /** The id in words. */
  readonly title: string;
  readonly status: CaseRecord["status"];
  readonly text: string;
}

/** Everything that the page shows. */
export interface PageState {
  readonly device:
    | { readonly state: "looking" }
    | { readonly state: "missing"; readonly reason: string }
    | { readonly state: "found"; readonly found: DeviceFound };
  readonly mode: ModeName;
  readonly deviceName: string;
  readonly seed: number;
  /** Seconds that a run may spend, instead of its mode's. */
  readonly budgetSeconds: number | null;
  readonly running: Running | null;
  readonly training: Training | null;
  readonly shown: readonly ShownResult[];
  /** An own result that is not shown, offered again: a run that a reload cut short, or a closed one. */
  readonly kept: ShownResult | null;
  /** What went wrong last, one line. */
  readonly error: string | null;
  /** The result was copied a moment ago. */
  readonly copied: boolean;
  /** Another tab of this page is measuring. */
  readonly otherTab: boolean;
}

/** What happens to a page. */
export type Happening =
  | Exclude<Answer, { readonly type: "moment" | "training" }>
  | { readonly type: "moment"; readonly moment: Moment; readonly at: number }
  | { readonly type: "train"; readonly at: number }
  | { readonly type: "training"; readonly training: TrainingMoment; readonly at: number }
  | { readonly type: "mode"; readonly mode: ModeName }
  | { readonly type: "device-name"; readonly deviceName: string }
  | { readonly type: "start"; readonly at: number }
  | { readonly type: "stopping" }
  | { readonly type: "tick"; readonly at: number }
  | { readonly type: "hidden"; readonly seconds: number }
  | { readonly type: "opened"; readonly results: readonly ShownResult[] }
  | { readonly type: "closed" }
  | { readonly type: "kept"; readonly kept: ShownResult | null }
  | { readonly type: "copied"; readonly copied: boolean }
  | { readonly type: "other-tab"; readonly busy: boolean }
  | { readonly type: "error"; readonly line: string | null };

/** Lines of finished cases that the page keeps. */
const MOST_LINES = 200;

/** The state before anything happened. */
export function firstState(
  { mode, deviceName = "", seed = 1010, budgetSeconds = null, complaint = null }: {
    mode?: string | null;
    deviceName?: string;
    seed?: number;
    budgetSeconds?: number | null;
    /** What cannot be used of the address. */
    complaint?: string | null;
  } = {},
): PageState {
  return {
    device: { state: "looking" },
    mode: modeOf(mode).name,
    deviceName,
    seed,
    budgetSeconds,
    running: null,
    training: null,
    shown: [],
    kept: null,
    error: complaint,
    copied: false,
    otherTab: false,
  };
}

/** Whether the device is at work for this page. */
export function isBusy({ running, training }: Pick<PageState, "running" | "training">): boolean {
  return running !== null || (training !== null && training.end === null);
}

/** The state after something happened. */
export function nextState(state: PageState, event: Happening): PageState {
  const { running } = state;
  switch (event.type) {
    case "device":
      return { ...state, device: { state: "found", found: event.device } };
    case "no-device":
      return { ...ended(state), device: { state: "missing", reason: event.reason } };
    case "train":
      return {
        ...state,
        error: null,
        training: { moment: null, momentAt: event.at, stopping: false, end: null },
      };
    case "training":
      return withTraining(state, { moment: event.training, momentAt: event.at });
    case "trained":
      return withTraining(state, { end: event.end });
    case "mode":
      return running ? state : { ...state, mode: event.mode };
    case "device-name":
      return running ? state : { ...state, deviceName: event.deviceName };
    case "start":
      return {
        ...state,
        error: null,
        shown: [],
        kept: null,
        running: {
          mode: state.mode,
          budgetSeconds: state.budgetSeconds ?? budgetOf(modeOf(state.mode), {
            software: state.device.state === "found" && state.device.found.adapter.software,
          }),
          startedAt: event.at,
          moment: null,
          momentAt: event.at,
          progress: 0,
          finished: [],
          notes: [],
          partial: null,
          cells: [],
          stopping: false,
          hiddenSeconds: 0,
        },
      };
    case "stopping":
      return running
        ? { ...state, running: { ...running, stopping: true } }
        : withTraining(state, { stopping: true });
    case "tick":
      return running ? { ...state, running: advance(running, event.at) } : state;
    case "hidden":
      return running
        ? {
          ...state,
          running: { ...running, hiddenSeconds: running.hiddenSeconds + event.seconds },
        }
        : state;
    case "moment":
      return running ? { ...state, running: withMoment(running, event) } : state;
    case "partial":
      return running ? { ...state, running: withPartial(running, event.result) } : state;
    case "cells":
      return running ? { ...state, running: { ...running, cells: event.cells } } : state;
    case "finished":
      if (event.result.cases.length === 0) {
        const line = "the run ended before its first case: there is nothing to show";
        return { ...state, running: null, error: line };
      }
      return {
        ...state,
        error: null,
        running: null,
        shown: [{
          name: event.stopped ? "this run, stopped" : "this run",
          result: event.result,
          own: true,
        }],
      };
    case "failed":
      return { ...ended(state), kept: keptOf(running) ?? state.kept, error: event.line };
    case "opened":
      return running ? state : {
        ...state,
        shown: event.results,
        kept: state.shown.find(({ own }) => own) ?? state.kept,
        error: null,
      };
    case "closed":
      // A run's own result is offered again, so that closing it loses nothing.
      return { ...state, shown: [], kept: state.shown.find(({ own }) => own) ?? state.kept };
    case "kept":
      return { ...state, kept: event.kept };
    case "copied":
      return { ...state, copied: event.copied };
    case "other-tab":
      return { ...state, otherTab: event.busy };
    case "error":
      return { ...state, error: event.line };
  }
}

/** What a run found before it broke off; null without a case. */
function keptOf(running: Running | null): ShownResult | null {
  const result = running?.partial;
  if (!result || result.cases.length === 0) return null;
  return { name: "a run that was cut short", result, own: true };
}

/** Without what goes on: it broke off. */
function ended(state: PageState): PageState {
  return { ...withTraining(state, { end: "failed" }), running: null };
}

/** A training that goes on, changed; one that is over stays as it is. */
function withTraining(state: PageState, change: Partial<Training>): PageState {
  const { training } = state;
  if (training === null || training.end !== null) return state;
  return { ...state, training: { ...training, ...change } };
}

function withMoment(
  running: Running,
  { moment, at }: { moment: Moment; at: number },
): Running {
  return {
    ...running,
    moment,
    momentAt: at,
    notes: moment.kind === "note" && !running.notes.includes(moment.text)
      ? [...running.notes, moment.text]
      : running.notes,
  };
}

function withPartial(running: Running, partial: Result): Running {
  const known = new Map(running.finished.map((line) => [line.id, line]));
  const lines = partial.cases.map((record) => describe(record));
  const fresh = lines.filter(({ id, text }) => known.get(id)?.text !== text).reverse();
  const changed = new Set(fresh.map(({ id }) => id));
  const rest = running.finished.filter(({ id }) => !changed.has(id));
  // A case that is finished has its cells in the result.
  const cells = partial.cases.length > (running.partial?.cases.length ?? 0) ? [] : running.cells;
  return { ...running, partial, cells, finished: [...fresh, ...rest].slice(0, MOST_LINES) };
}

/** A case in a line: what was checked, or why there is no number. */
function describe(record: CaseRecord): FinishedCase {
  const { id, status, check, reason } = record;
  const text = reason ?? (check ? "matches float64" : status);
  return { id, title: caseTitle(record), status, text };
}

/**
 * The share that is over by the run's own estimate. What the estimate takes back is not taken back
 * here: the bar waits then.
 */
function advance(running: Running, at: number): Running {
  const left = secondsLeft(running, at);
  if (left === null) return running;
  const elapsed = Math.max(0, (at - running.startedAt) / 1e3);
  const share = elapsed / Math.max(elapsed + left, 1e-3);
  return { ...running, progress: Math.min(1, Math.max(running.progress, share)) };
}

/**
 * Seconds left: the run's last estimate less the time since then, or what the cases still to come take
 * at the pace of the others, if that is longer, since the estimate knows nothing of checks; never more
 * than the mode's budget leaves. A run without an estimate has that budget. Null before it is planned.
 */
export function secondsLeft(running: Running, at: number): number | null {
  const { moment, momentAt, startedAt, budgetSeconds } = running;
  if (moment === null || moment.total === 0) return null;
  const elapsed = (at - startedAt) / 1e3;
  const bound = budgetSeconds - elapsed;
  if (moment.remainingSeconds === null) return Math.max(0, bound);
  const estimate = moment.remainingSeconds - (at - momentAt) / 1e3;
  const pace = elapsed * (moment.total - moment.done) / Math.max(moment.done, 1);
  return Math.max(0, Math.min(Math.max(estimate, pace), Math.max(estimate, bound)));
}
