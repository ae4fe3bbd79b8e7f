/**
 * Verdicts from two revisions that ran in turns. Pure: results and times in, a report out.
 *
 * A quad is four turns in the order A B B A or B A A B: what drifts linearly over it adds the same
 * to both sides. A block is the quads of one pair of fresh processes: what differs from process to
 * process is in the spread between blocks.
 *
 * @module
 */
import { mean, sampleStandardDeviation } from "simple-statistics";
import { compareResults } from "../../../reports/gate/compare_results.ts";
import { finishReport } from "../../../reports/gate/finish_report.ts";
import { createRandom, medianOf } from "../../../reports/gate/bootstrap.ts";
import {
  type Interval,
  levelsOf,
  stepNoise,
  verdictOf,
} from "../../../reports/gate/compare_times.ts";
import { DEFAULTS, type GateConfig, settingsOf } from "../../../reports/gate/gate_config.ts";
import type { GateCase, GateReport, TimeComparison } from "../../../reports/gate/gate_report.ts";
import { formatPercent, formatPlural } from "../../../reports/text/format.ts";
import { clockStep } from "../../../reports/gate/timed_case.ts";
import type { Result } from "../../result/result_schema.ts";
import { twoSidedStudent } from "../../statistics/quantiles.ts";

/** Something of each side. */
export interface Sides<T> {
  readonly baseline: T;
  readonly candidate: T;
}

/** Seconds of two turns of each side. */
export type Quad = Sides<readonly number[]>;

/** What one pair of processes measured, by the id of the case. */
export type Block = Record<string, {
  readonly quads: readonly Quad[];
  /** The control case, run in the same turns with the same code on both sides. */
  readonly control: readonly Quad[];
  /** Why there are no quads. */
  readonly reason?: string;
}>;

/** A case that is measured in turns. */
export interface TurnCase {
  readonly id: string;
}

/**
 * Numbers of blocks after which verdicts are taken. Each look at each case gets an equal share of
 * what the confidence leaves, so that neither looking often nor many cases make false alarms more
 * likely.
 */
export const LOOKS = [6, 12, 24, 48, 96] as const;

/**
 * Enough for the ends of an interval that Student's, which is nearly always wider, is held against.
 */
const RESAMPLES = 400;

/** ln(candidate / baseline) of one quad. */
export function ratioOfQuad({ baseline, candidate }: Quad): number {
  return mean(candidate.map(Math.log)) - mean(baseline.map(Math.log));
}

/**
 * Mean over blocks of the median logarithm of their quads' ratios, with intervals: the wider of a
 * bootstrap that draws blocks and of Student's over the blocks.
 *
 * @returns an interval for each level, the probability with which it leaves out the true ratio.
 * @throws {RangeError} without blocks.
 */
export function ratioOfBlocks(
  blocks: readonly (readonly Quad[])[],
  options: { levels: readonly number[]; seed?: number },
): Interval[] {
  const count = blocks.length;
  if (count === 0) throw new RangeError("ratio of blocks: 0 blocks given, 1 needed");
  const random = createRandom(options.seed ?? 1);
  const medians = blocks.map((quads) => medianOf(quads.map(ratioOfQuad)));
  const estimate = mean(medians);
  const drawn = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += medians[Math.floor(random() * count)];
    return sum / count;
  }).sort();
  const at = (p: number) => drawn[Math.min(RESAMPLES - 1, Math.floor(p * RESAMPLES))];
  const error = count < 2 ? 0 : sampleStandardDeviation(medians) / Math.sqrt(count);
  return options.levels.map((level) => {
    const half = count < 2 ? 0 : twoSidedStudent(level, count - 1) * error;
    return {
      estimate,
      low: Math.min(at(level / 2), estimate - half),
      high: Math.max(at(1 - level / 2), estimate + half),
    };
  });
}

/** Resamples of a time's own interval, which no verdict depends on. */
const TIME_RESAMPLES = 200;

/**
 * Ends of the 95 % interval of the median turn of one side: a bootstrap that draws pairs of
 * processes.
 */
function intervalOfTurns(
  blocks: readonly (readonly Quad[])[],
  side: keyof Quad,
): readonly [number, number] {
  const random = createRandom(1);
  const turns = blocks.map((quads) => quads.flatMap((quad) => [...quad[side]]));
  const drawn = Float64Array.from({ length: TIME_RESAMPLES }, () => {
    const sample = turns.flatMap(() => turns[Math.floor(random() * turns.length)]);
    const sorted = Float64Array.from(sample).sort();
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  }).sort();
  const at = (p: number) => drawn[Math.floor(p * (TIME_RESAMPLES - 1))];
  return [at(0.025), at(0.975)];
}

/** What a verdict on one of several cases depends on. */
export interface TurnOptions {
  readonly id: string;
  readonly config?: GateConfig;
  /** Cases that are measured in turns and can fail, this one included. */
  readonly cases: number;
  /** Seconds of one step of the clock. Default 0. */
  readonly step?: number;
}

/** What the blocks of one case say, before a verdict. */
export interface WeighedTurns {
  /** Decides whether the case moved. */
  readonly alarm: Interval;
  /** Decides whether a change of the tolerance is ruled out. */
  readonly pass: Interval;
  readonly control: Interval;
  /** Why there is no verdict, where there is none. */
  readonly reason?: string;
}

/**
 * The intervals of one case from its blocks.
 *
 * @param blocks those that have quads, at least one.
 */
export function weighTurns(
  blocks: readonly Block[string][],
  options: TurnOptions,
): WeighedTurns {
  const config: GateConfig = options.config ?? { cases: [] };
  const settings = settingsOf(options.id, config);
  const levels = levelsOf(config.confidence ?? DEFAULTS.confidence, options.cases);
  const look = { alarm: levels.alarm / LOOKS.length, pass: levels.pass / LOOKS.length };
  // A noise that the configuration names is the least that is allowed for, and one step of the
  // clock is an error that turns may share.
  const noise = settings.noise === undefined ? 0 : Math.log1p(settings.noise);
  const widen = ({ estimate, low, high }: Interval, step: number, least: number): Interval => ({
    estimate,
    low: Math.min(low, estimate - least) - step,
    high: Math.max(high, estimate + least) + step,
  });
  const stepFor = (of: "quads" | "control") => {
    if (!options.step) return 0;
    const seconds = SIDES.map((side) => medianOf(turnsOf(blocks, { of, side })));
    return stepNoise(options.step, Math.min(...seconds));
  };
  const intervals = (of: "quads" | "control", wanted: readonly number[], least: number) => {
    const step = stepFor(of);
    return ratioOfBlocks(blocks.map((block) => block[of]), { levels: wanted })
      .map((interval) => widen(interval, step, least));
  };
  const [alarm, pass] = intervals("quads", [look.alarm, look.pass], noise);
  const [control] = intervals("control", [look.alarm], 0);
  const disturbed = (control.low > 0 || control.high < 0) &&
    Math.abs(control.estimate) > Math.log1p(settings.minimum);
  const reason = blocks.length < LOOKS[0]
    ? `${formatPlural(blocks.length, "block")} of turns fit the budget, ${LOOKS[0]} are needed; ` +
      "raise --budget"
    : disturbed
    ? `the control case took ${Math.exp(control.estimate).toFixed(3)} times as long beside the ` +
      "candidate: the machine was disturbed"
    : undefined;
  return { alarm, pass, control, ...(reason !== undefined && { reason }) };
}

const SIDES = ["baseline", "candidate"] as const satisfies readonly (keyof Quad)[];

function turnsOf(
  blocks: readonly Block[string][],
  { of, side }: { of: "quads" | "control"; side: keyof Quad },
): number[] {
  return blocks.flatMap((block) => block[of].flatMap((quad) => [...quad[side]]));
}

/** The verdict on one case from its blocks. */
export function judgeTurns(
  blocks: readonly Block[string][],
  options: TurnOptions,
): Pick<GateCase, "verdict" | "time" | "reason"> & { readonly control?: Interval } {
  const measured = blocks.filter(({ quads }) => quads.length > 0);
  if (measured.length === 0) {
    const reason = blocks.find((block) => block.reason !== undefined)?.reason ??
      "never run in turns";
    return { verdict: "inconclusive", reason };
  }
  const weighed = weighTurns(measured, options);
  const { control, reason } = weighed;
  const [before, after] = SIDES.map((side) => turnsOf(measured, { of: "quads", side }));
  const { estimate, low, high } = weighed.alarm;
  const time: TimeComparison = {
    ratio: Math.exp(estimate),
    low: Math.exp(low),
    high: Math.exp(high),
    baselineSeconds: medianOf(before),
    candidateSeconds: medianOf(after),
    baselineSamples: before.length,
    candidateSamples: after.length,
    threshold: Math.expm1(Math.min(Math.max(estimate - low, high - estimate), 20)),
    runNoise: 0,
  };
  const settings = settingsOf(options.id, options.config ?? { cases: [] });
  return {
    verdict: reason === undefined ? verdictOf(weighed, settings) : "inconclusive",
    ...(reason !== undefined && { reason }),
    time,
    control,
  };
}

/** Cases that are measured in turns and can fail: those that a false alarm may come from. */
export function countGated(ids: Iterable<string>, config: GateConfig): number {
  return [...ids].filter((id) => settingsOf(id, config).times === "gate").length;
}

/** Seconds of one step of the clock of either side. */
export function clockStepOf({ baseline, candidate }: Sides<Result>): number {
  return Math.max(clockStep(baseline), clockStep(candidate));
}

/** What a pair of revisions gave. */
export interface PairedRuns {
  /** One run of the bench of each side: what is compared exactly. */
  readonly results: Sides<Result>;
  /** Blocks of each case that was run in turns, by its id. */
  readonly blocks: ReadonlyMap<string, readonly Block[string][]>;
}

/** The exact part, before any turn. Times are judged from turns alone. */
export function compareExactly(
  { baseline, candidate }: Sides<Result>,
  options: { names: Sides<string>; config?: GateConfig },
): GateReport {
  const report = compareResults(baseline, candidate, options);
  return { ...report, method: "paired" };
}

/** The report on the runs so far. */
export function judgePaired(
  { results, blocks }: PairedRuns,
  options: { names: Sides<string>; config?: GateConfig },
): GateReport {
  const config: GateConfig = options.config ?? { cases: [] };
  const exact = compareExactly(results, options);
  if (exact.identicalCode) return exact;
  const gated = countGated(blocks.keys(), config);
  const step = clockStepOf(results);
  const controls: number[] = [];
  const spreads: number[] = [];
  const cases = exact.cases.map((one): GateCase => {
    if (one.verdict === "missing" || one.verdict === "new") return one;
    const { times } = settingsOf(one.id, config);
    const differs = one.differences.some(({ severity }) => severity === "failure");
    const taken = blocks.get(one.id);
    if (!taken) {
      const { time: _, reason, ...rest } = one;
      const timed = one.time !== undefined || one.verdict === "inconclusive";
      return {
        ...rest,
        verdict: "same",
        fails: differs,
        reason: timed ? "its time is not measured in turns" : reason,
      };
    }
    const { control, ...judged } = judgeTurns(taken, { id: one.id, config, cases: gated, step });
    if (control) controls.push(control.estimate);
    for (const { quads } of taken) {
      spreads.push(
        ...quads.flatMap(({ baseline }) => Math.abs(Math.log(baseline[1] / baseline[0]))),
      );
    }
    const { time: _, reason: __, ...rest } = one;
    const run = taken.map(({ quads }) => quads).filter(({ length }) => length > 0);
    const intervals = run.length === 0 ? undefined : {
      baseline: intervalOfTurns(run, "baseline"),
      candidate: intervalOfTurns(run, "candidate"),
    };
    return {
      ...rest,
      ...judged,
      ...(judged.time && { time: { ...judged.time, intervals } }),
      fails: differs || judged.verdict === "slower" && times === "gate",
    };
  });
  const counts = [...blocks.values()].map(({ length }) => length);
  const notes = [
    ...exact.notes,
    counts.length === 0
      ? "no case was run in turns"
      : `${formatPlural(Math.max(...counts), "block")} of turns A/B/B/A, each in a pair of fresh ` +
        "processes, with a control case in every turn; what " +
        `${formatPercent(config.confidence ?? DEFAULTS.confidence)} leave is shared by ` +
        `${formatPlural(gated, "case")} and ${LOOKS.length} looks`,
  ];
  return finishReport({
    ...exact,
    noise: {
      canaryShift: controls.length > 0 ? medianOf(controls) : null,
      caseSpread: null,
      sampleSpread: spreads.length > 0 ? medianOf(spreads) : null,
      historySpread: null,
      historyRuns: Math.max(0, ...counts),
      clockStep: step,
    },
    cases,
    notes,
  }, { ignored: (id) => settingsOf(id, config).times === "ignore" });
}
