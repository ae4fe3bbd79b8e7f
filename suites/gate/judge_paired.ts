/**
 * Verdicts from interleaved runs of two revisions. Pure: results in, a report out.
 *
 * A block is four fresh processes in the order A, B, B, A, each followed by a run of the control
 * case. What drifts linearly over a block adds the same to both sides; what differs from process to
 * process is in the spread between blocks.
 *
 * @module
 */
import { compareResults, finishReport } from "../../reports/gate/compare_results.ts";
import {
  createRandom,
  medianOf,
  robustDeviation,
  studentQuantile,
} from "../../reports/gate/bootstrap.ts";
import { timesOf, verdictOf } from "../../reports/gate/compare_times.ts";
import { DEFAULTS, type GateConfig, settingsOf } from "../../reports/gate/gate_config.ts";
import type { GateCase, GateReport } from "../../reports/gate/gate_report.ts";
import { formatPlural } from "../../reports/format.ts";
import type { Result } from "../result_schema.ts";

/** Four runs: two of each side, and the control case's run after each. */
export interface Block {
  readonly baseline: readonly Result[];
  readonly candidate: readonly Result[];
  /** The control, run with the same code after runs of either side. */
  readonly baselineControl: readonly Result[];
  readonly candidateControl: readonly Result[];
}

/** Blocks that a verdict needs: fewer have no spread to speak of. */
export const LEAST_BLOCKS = 3;

/** Enough for the ends of an interval that Student's is compared with anyway. */
const RESAMPLES = 400;

/** Logarithm of a ratio over blocks, with the ends of its interval. */
export interface BlockRatio {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Mean of the blocks' ln(candidate median / baseline median), with an interval: the wider of a
 * bootstrap that draws blocks, and samples within them, and of Student's over the blocks. One block
 * alone has the bootstrap's, which is no ground for a verdict.
 *
 * @throws {RangeError} without blocks.
 */
export function ratioOfBlocks(
  blocks: readonly { baseline: readonly number[]; candidate: readonly number[] }[],
  options: { confidence: number; seed?: number },
): BlockRatio {
  if (blocks.length === 0) throw new RangeError("ratio of blocks: 0 blocks given, 1 needed");
  const random = createRandom(options.seed ?? 1);
  const pick = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)];
  const log = (candidate: readonly number[], baseline: readonly number[]) =>
    Math.log(medianOf(candidate)) - Math.log(medianOf(baseline));
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const logs = blocks.map(({ baseline, candidate }) => log(candidate, baseline));
  const estimate = mean(logs);
  const drawn = Array.from({ length: RESAMPLES }, () =>
    mean(blocks.map(() => {
      const { baseline, candidate } = pick(blocks);
      return log(candidate.map(() => pick(candidate)), baseline.map(() => pick(baseline)));
    }))).sort((a, b) => a - b);
  const tail = (1 - options.confidence) / 2;
  const at = (p: number) => drawn[Math.min(RESAMPLES - 1, Math.floor(p * RESAMPLES))];
  const variance = logs.reduce((sum, value) => sum + (value - estimate) ** 2, 0) /
    Math.max(1, logs.length - 1);
  const half = logs.length < 2
    ? 0
    : studentQuantile(options.confidence, logs.length - 1) * Math.sqrt(variance / logs.length);
  return {
    estimate,
    low: Math.min(at(tail), estimate - half),
    high: Math.max(at(1 - tail), estimate + half),
  };
}

/**
 * The report on all blocks so far. Exact fields are compared between the first runs of each side.
 * Where the control case moved, the machine was disturbed, and no verdict on a time stands.
 */
export function judgePaired(
  blocks: readonly Block[],
  options: { names: { baseline: string; candidate: string }; config?: GateConfig },
): GateReport {
  const config: GateConfig = options.config ?? { cases: [] };
  const confidence = config.confidence ?? DEFAULTS.confidence;
  const exact = compareResults(blocks[0].baseline[0], blocks[0].candidate[0], options);
  const collect = (results: readonly Result[], id: string) =>
    results.flatMap(({ cases }) => {
      const record = cases.find((one) => one.id === id);
      return record ? [...timesOf(record)?.samples ?? []] : [];
    });
  const ratioOf = (id: string, control: boolean) => {
    const sides = blocks.map((block) => ({
      baseline: collect(control ? block.baselineControl : block.baseline, id),
      candidate: collect(control ? block.candidateControl : block.candidate, id),
    })).filter(({ baseline, candidate }) => baseline.length > 0 && candidate.length > 0);
    return sides.length === 0 ? undefined : { sides, ratio: ratioOfBlocks(sides, { confidence }) };
  };
  const controlId = blocks[0].baselineControl[0]?.cases.find(({ samples }) => samples.length > 0)
    ?.id;
  const control = controlId === undefined ? undefined : ratioOf(controlId, true);
  const minimum = Math.log1p(config.minimum ?? DEFAULTS.minimum);
  const disturbed = control !== undefined &&
    blocks.length >= LEAST_BLOCKS &&
    (control.ratio.low > 0 || control.ratio.high < 0) &&
    Math.abs(control.ratio.estimate) > minimum;
  const enough = blocks.length >= LEAST_BLOCKS;
  const spreads: number[] = [];
  const cases = exact.cases.map((one): GateCase => {
    const settings = settingsOf(one.id, config);
    const differs = one.differences.some(({ severity }) => severity === "failure");
    const found = one.verdict === "missing" || one.verdict === "new"
      ? undefined
      : ratioOf(one.id, false);
    if (!found) return one;
    const { sides, ratio: { estimate, low, high } } = found;
    const flat = (side: "baseline" | "candidate") => sides.flatMap((block) => block[side]);
    spreads.push(robustDeviation(flat("baseline").map(Math.log)));
    const judged = verdictOf({ estimate, low, high }, settings);
    const reason = disturbed
      ? "the control case moved: the machine was disturbed"
      : enough
      ? undefined
      : `${formatPlural(blocks.length, "block")}, ${LEAST_BLOCKS} needed`;
    const verdict = reason === undefined ? judged : "inconclusive";
    return {
      ...one,
      verdict,
      fails: differs || verdict === "slower" && settings.times === "gate",
      ...(reason !== undefined && { reason }),
      time: {
        ratio: Math.exp(estimate),
        low: Math.exp(low),
        high: Math.exp(high),
        baselineSeconds: medianOf(flat("baseline")),
        candidateSeconds: medianOf(flat("candidate")),
        baselineSamples: flat("baseline").length,
        candidateSamples: flat("candidate").length,
        threshold: Math.expm1(Math.min(Math.max(estimate - low, high - estimate), 20)),
        runNoise: 0,
      },
    };
  });
  const notes = [
    ...exact.notes,
    `${formatPlural(blocks.length, "block")} of A/B/B/A, each run in a process of its own`,
    control && controlId
      ? `control case ${controlId}: ${Math.exp(control.ratio.estimate).toFixed(3)} ` +
        `(${Math.exp(control.ratio.low).toFixed(3)} to ${Math.exp(control.ratio.high).toFixed(3)})${
          disturbed ? ": the machine was disturbed" : ""
        }`
      : "no control case: a disturbed machine would not be noticed",
  ];
  return finishReport({
    ...exact,
    method: "paired",
    // Measured and judged all the same: a shortcut has no place where the time was spent anyway.
    identicalCode: false,
    noise: {
      canaryShift: control?.ratio.estimate ?? null,
      caseSpread: null,
      sampleSpread: spreads.length > 0 ? medianOf(spreads) : null,
      historySpread: null,
      historyRuns: blocks.length,
    },
    cases,
    notes,
  }, { ignored: (id) => settingsOf(id, config).times === "ignore" });
}
