/**
 * Verdicts from two revisions that ran in turns. Pure: results and times in, a report out.
 *
 * A quad is four turns in the order A B B A or B A A B: what drifts linearly over it adds the same to
 * both sides. A block is the quads of one pair of fresh processes: what differs from process to
 * process is in the spread between blocks.
 *
 * @module
 */
import { compareResults, finishReport } from "../../../reports/gate/compare_results.ts";
import { createRandom, medianOf, studentQuantile } from "../../../reports/gate/bootstrap.ts";
import { verdictOf } from "../../../reports/gate/compare_times.ts";
import { DEFAULTS, type GateConfig, settingsOf } from "../../../reports/gate/gate_config.ts";
import type { GateCase, GateReport, TimeComparison } from "../../../reports/gate/gate_report.ts";
import { formatPercent, formatPlural } from "../../../reports/text/format.ts";
import type { Result } from "../../result/result_schema.ts";

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
 * Numbers of blocks after which verdicts are taken. Each look gets an equal share of what the
 * confidence leaves, so that looking often does not make false alarms more likely.
 */
export const LOOKS = [6, 12, 24, 48, 96] as const;

/** Enough for the ends of an interval that Student's is compared with anyway. */
const RESAMPLES = 1000;

/** Logarithm of a ratio over blocks, with the ends of its interval. */
export interface BlockRatio {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** ln(candidate / baseline) of one quad. */
export function ratioOfQuad({ baseline, candidate }: Quad): number {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + Math.log(value), 0) / values.length;
  return mean(candidate) - mean(baseline);
}

/**
 * Mean over blocks of the median logarithm of their quads' ratios, with an interval: the wider of a
 * bootstrap that draws blocks, and quads within them, and of Student's over the blocks.
 *
 * @throws {RangeError} without blocks.
 */
export function ratioOfBlocks(
  blocks: readonly (readonly Quad[])[],
  options: { confidence: number; seed?: number },
): BlockRatio {
  if (blocks.length === 0) throw new RangeError("ratio of blocks: 0 blocks given, 1 needed");
  const random = createRandom(options.seed ?? 1);
  const below = (count: number) => Math.floor(random() * count);
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const logs = blocks.map((quads) => quads.map(ratioOfQuad));
  const medians = logs.map(medianOf);
  const estimate = mean(medians);
  // Typed arrays sort as numbers and in place: this loop is nearly all of a verdict's time.
  const buffer = new Float64Array(Math.max(...logs.map(({ length }) => length)));
  const drawMedian = (quads: readonly number[]) => {
    const drawn = buffer.subarray(0, quads.length);
    for (let i = 0; i < drawn.length; i++) drawn[i] = quads[below(quads.length)];
    drawn.sort();
    return (drawn[(drawn.length - 1) >> 1] + drawn[drawn.length >> 1]) / 2;
  };
  const drawn = Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < logs.length; i++) sum += drawMedian(logs[below(logs.length)]);
    return sum / logs.length;
  }).sort((a, b) => a - b);
  const tail = (1 - options.confidence) / 2;
  const at = (p: number) => drawn[Math.min(RESAMPLES - 1, Math.floor(p * RESAMPLES))];
  const variance = medians.reduce((sum, value) => sum + (value - estimate) ** 2, 0) /
    Math.max(1, medians.length - 1);
  const half = medians.length < 2 ? 0 : studentQuantile(options.confidence, medians.length - 1) *
    Math.sqrt(variance / medians.length);
  return {
    estimate,
    low: Math.min(at(tail), estimate - half),
    high: Math.max(at(1 - tail), estimate + half),
  };
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

/** Confidence of one look, so that all of them together have the one asked for. */
export function confidenceOfLook(confidence: number): number {
  return 1 - (1 - confidence) / LOOKS.length;
}

/** The verdict on one case from its blocks. */
export function judgeTurns(
  blocks: readonly Block[string][],
  options: { id: string; config?: GateConfig },
): Pick<GateCase, "verdict" | "time" | "reason"> & { readonly control?: BlockRatio } {
  const config: GateConfig = options.config ?? { cases: [] };
  const settings = settingsOf(options.id, config);
  const confidence = confidenceOfLook(config.confidence ?? DEFAULTS.confidence);
  const measured = blocks.filter(({ quads }) => quads.length > 0);
  if (measured.length === 0) {
    const reason = blocks.find((block) => block.reason !== undefined)?.reason ??
      "never run in turns";
    return { verdict: "inconclusive", reason };
  }
  const ratio = ratioOfBlocks(measured.map(({ quads }) => quads), { confidence });
  const control = ratioOfBlocks(measured.map((block) => block.control), { confidence });
  // A noise that the configuration names is the least that is allowed for.
  const noise = settings.noise === undefined ? 0 : Math.log1p(settings.noise);
  const low = Math.min(ratio.low, ratio.estimate - noise);
  const high = Math.max(ratio.high, ratio.estimate + noise);
  const { estimate } = ratio;
  const disturbed = (control.low > 0 || control.high < 0) &&
    Math.abs(control.estimate) > Math.log1p(settings.minimum);
  const reason = disturbed
    ? `the control case took ${Math.exp(control.estimate).toFixed(3)} times as long beside the ` +
      "candidate: the machine was disturbed"
    : measured.length < LOOKS[0]
    ? `${formatPlural(measured.length, "block")} of turns fit the budget, ${
      LOOKS[0]
    } are needed; ` +
      "raise --budget"
    : undefined;
  const turns = (side: keyof Quad) =>
    measured.flatMap(({ quads }) => quads.flatMap((quad) => [...quad[side]]));
  const [before, after] = [turns("baseline"), turns("candidate")];
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
  return {
    verdict: reason === undefined ? verdictOf({ estimate, low, high }, settings) : "inconclusive",
    ...(reason !== undefined && { reason }),
    time,
    control,
  };
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
    const { control, ...judged } = judgeTurns(taken, { id: one.id, config });
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
        "processes, with a control case in every turn; " +
        `intervals at ${
          formatPercent(confidenceOfLook(config.confidence ?? DEFAULTS.confidence))
        } ` +
        `for each of ${LOOKS.length} looks`,
  ];
  return finishReport({
    ...exact,
    noise: {
      canaryShift: controls.length > 0 ? medianOf(controls) : null,
      caseSpread: null,
      sampleSpread: spreads.length > 0 ? medianOf(spreads) : null,
      historySpread: null,
      historyRuns: Math.max(0, ...counts),
    },
    cases,
    notes,
  }, { ignored: (id) => settingsOf(id, config).times === "ignore" });
}
