/**
 * The time of each case over commits, and where it stepped.
 *
 * @module
 */
import { isMeasured } from "../data/analysis.ts";
import type { SiteDevice, SiteRun } from "./runs.ts";
import { findSteps, LEAST_POINTS, type Step } from "./steps.ts";

/** The time of a case in one run. */
export interface TrendPoint {
  /** Index into {@linkcode DeviceTrends.runs}. */
  readonly run: number;
  /** Seconds. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Samples that count. */
  readonly count: number;
}

/** A step, with the runs on either side. */
export interface TrendStep extends Step {
  readonly from: SiteRun;
  readonly to: SiteRun;
  /** Indices of those runs. */
  readonly fromRun: number;
  readonly toRun: number;
  /** Both runs are of one commit: the machine changed, not the code. */
  readonly withinCommit: boolean;
}

/** Times of a case on one machine, whose absolute times may be compared. */
export interface TrendLine {
  readonly fingerprint: string;
  readonly points: readonly TrendPoint[];
  readonly steps: readonly TrendStep[];
}

/** One case. */
export interface CaseTrend {
  readonly id: string;
  /** One for each driver or runtime, in order of their first points. */
  readonly lines: readonly TrendLine[];
}

/** All cases of a device. */
export interface DeviceTrends {
  readonly device: SiteDevice;
  /** By commit, commits in order of their first run. */
  readonly runs: readonly SiteRun[];
  readonly cases: readonly CaseTrend[];
}

/** The trends of a device: every case that was measured in any of its runs. */
export function deviceTrends(device: SiteDevice): DeviceTrends {
  const runs = byCommit(device.runs);
  const cases = new Map<string, Map<string, TrendPoint[]>>();
  for (const [run, { result }] of runs.entries()) {
    const seen = new Set<string>();
    // Wall-clock times and GPU times of one machine are not the same quantity.
    const key = `${result.environment.fingerprint} ${result.calibration?.clock ?? ""}`;
    for (const record of result.cases) {
      if (!isMeasured(record) || seen.has(record.id)) continue;
      seen.add(record.id);
      const lines = cases.get(record.id) ?? new Map<string, TrendPoint[]>();
      cases.set(record.id, lines);
      const { median, low, high, count } = record.statistic;
      lines.set(key, [...lines.get(key) ?? [], { run, median, low, high, count }]);
    }
  }
  return {
    device,
    runs,
    cases: [...cases].map(([id, lines]) => ({
      id,
      lines: [...lines].map(([fingerprint, points]): TrendLine => ({
        fingerprint,
        points,
        steps: findSteps(points.map(({ median }) => median)).map((step): TrendStep => {
          const [fromRun, toRun] = [points[step.at - 1].run, points[step.at].run];
          const [from, to] = [runs[fromRun], runs[toRun]];
          const withinCommit = from.result.tool.commit !== null &&
            from.result.tool.commit === to.result.tool.commit &&
            from.result.hashes.wgsl === to.result.hashes.wgsl;
          return { ...step, from, to, fromRun, toRun, withinCommit };
        }),
      })),
    })),
  };
}

/** Steps of all cases, the newest first. */
export function stepsOf({ cases }: DeviceTrends): { id: string; step: TrendStep }[] {
  return cases.flatMap(({ id, lines }) =>
    lines.flatMap(({ steps }) => steps.map((step) => ({ id, step })))
  ).sort((a, b) => b.step.toRun - a.step.toRun || b.step.ratio - a.step.ratio);
}

/** Whether any series is long enough for a step to show. */
export function canStep(trends: readonly DeviceTrends[]): boolean {
  return trends.some(({ cases }) =>
    cases.some(({ lines }) => lines.some(({ points }) => points.length >= LEAST_POINTS))
  );
}

/** Runs of one commit side by side; a run without a commit stands for itself. */
function byCommit(runs: readonly SiteRun[]): SiteRun[] {
  const groups = new Map<string | number, SiteRun[]>();
  for (const [i, run] of runs.entries()) {
    const { commit, dirty } = run.result.tool;
    // Uncommitted changes can be anything.
    const key = commit === null || dirty === true ? i : commit;
    groups.set(key, [...groups.get(key) ?? [], run]);
  }
  return [...groups.values()].flat();
}
