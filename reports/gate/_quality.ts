/**
 * How good the gate is: false alarms between runs of the same code, and how many injected slowdowns
 * it finds, on synthetic noise and on recorded runs. `deno task gate-quality` writes the outcome to
 * `fixtures/gate/quality.json`; the tests recompute parts of it.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { createRandom, normalQuantile } from "./bootstrap.ts";
import { compareResults } from "./compare_results.ts";
import { countVerdicts } from "./gate_report.ts";

/** Injected slowdowns, as factors on the time of one kind of cases. */
export const SLOWDOWNS = [1.05, 1.1, 1.2] as const;

/** Standard deviations of a machine's noise, in logarithms of seconds. */
export interface NoiseModel {
  readonly description: string;
  /** Shift of a whole run, which the canary shares. */
  readonly run: number;
  /** Shift of one case in one run: placement in memory, caches. */
  readonly caseInRun: number;
  /** Slow drift from round to round, first-order autoregressive with 0.8. */
  readonly drift: number;
  /** Each sample on its own. */
  readonly sample: number;
  /** Share of samples that were interrupted, and by how much on average. */
  readonly tail: { readonly share: number; readonly mean: number };
}

/** Machines that the gate meets. The software adapter's numbers follow the recorded runs. */
export const MODELS: Record<string, NoiseModel> = {
  "quiet GPU": {
    description: "a data-centre GPU with fixed clocks",
    run: 0.003,
    caseInRun: 0.004,
    drift: 0.002,
    sample: 0.004,
    tail: { share: 0.01, mean: 0.1 },
  },
  "desktop GPU": {
    description: "boost clocks, a compositor, warm-up",
    run: 0.01,
    caseInRun: 0.01,
    drift: 0.01,
    sample: 0.015,
    tail: { share: 0.03, mean: 0.2 },
  },
  "busy software adapter": {
    description: "two shared processor cores",
    run: 0.12,
    caseInRun: 0.12,
    drift: 0.1,
    sample: 0.2,
    tail: { share: 0.05, mean: 0.6 },
  },
};

/** Outcome of many comparisons. */
export interface QualityRow {
  readonly comparisons: number;
  /** `slower` or `faster` between runs of the same code. */
  readonly falseAlarms: number;
  readonly falseAlarmRate: number;
  readonly inconclusive: number;
  /** Median of the shown noise thresholds. */
  readonly medianThreshold: number;
  /** Of the cases slowed by each factor, how many were called slower. */
  readonly detection: Record<string, { injected: number; detected: number; rate: number }>;
}

/** One run of 4 contexts and 3 kinds, 20 samples in 10 rounds each, with a model's noise. */
export function synthesizeRun(model: NoiseModel, seed: number): Result {
  const random = createRandom(seed);
  const normal = () => normalQuantile(1e-12 + random() * (1 - 2e-12));
  const result = sampleResult({ contexts: [4096, 8192, 16_384, 32_768], samples: 20 });
  const third = result.cases.filter(({ options }) => options).map((record): CaseRecord => ({
    ...structuredClone(record),
    implementation: "lighthouse-dilated",
    id: record.id.replace("lighthouse-norm", "lighthouse-dilated"),
  }));
  result.cases.push(...third);
  result.startedAt = new Date(Date.UTC(2026, 0, 1) + seed * 1000).toISOString();
  result.hashes.wgsl = seed.toString(16).padStart(64, "0");
  const runShift = model.run * normal();
  for (const record of result.cases) {
    const shift = runShift + model.caseInRun * normal();
    const median = record.statistic!.median;
    let drift = model.drift * normal();
    record.samples = Array.from({ length: 20 }, (_, i) => {
      if (i % 2 === 0) drift = 0.8 * drift + 0.6 * model.drift * normal();
      const interrupted = random() < model.tail.share
        ? -model.tail.mean * Math.log(1 - random())
        : 0;
      const seconds = median *
        Math.exp(shift + drift + model.sample * normal() + interrupted);
      const canary = Math.exp(runShift + drift + model.sample * normal());
      return { seconds, wallSeconds: seconds, round: i >> 1, place: i % 2, canary };
    });
  }
  return result;
}

/** The recorded runs of `fixtures/gate/software_runs.json` as results. */
export function recordedRuns(recorded: RecordedRuns): Result[] {
  return recorded.runs.map((run, index) => {
    const result = sampleResult({ contexts: [8192], software: true });
    const [template] = result.cases;
    result.startedAt = run.startedAt;
    result.hashes.wgsl = (index + 1).toString(16).padStart(64, "0");
    result.calibration!.canary = {
      ...template.statistic!,
      median: run.canarySeconds,
    };
    result.cases = recorded.cases.map((id, at) => ({
      ...structuredClone(template),
      id,
      implementation: id.split("/")[1],
      samples: run.samples[at].map((seconds, i) => ({
        seconds,
        wallSeconds: seconds,
        round: run.rounds[at][i],
        place: 0,
        canary: run.canary[at][i],
      })),
    }));
    return result;
  });
}

/** Shape of the recorded runs. */
export interface RecordedRuns {
  readonly cases: readonly string[];
  readonly runs: readonly {
    readonly startedAt: string;
    readonly canarySeconds: number;
    readonly samples: readonly (readonly number[])[];
    readonly canary: readonly (readonly number[])[];
    readonly rounds: readonly (readonly number[])[];
  }[];
}

/** A pair of runs of the same code, with earlier runs of the baseline. */
export interface RunPair {
  readonly baseline: Result;
  readonly candidate: Result;
  readonly history?: readonly Result[];
}

/** Pairs of synthetic runs. */
export function synthesizePairs(
  model: NoiseModel,
  options: { pairs: number; history: number },
): RunPair[] {
  return Array.from({ length: options.pairs }, (_, i) => ({
    baseline: synthesizeRun(model, 1000 * i + 1),
    candidate: synthesizeRun(model, 1000 * i + 2),
    history: Array.from(
      { length: options.history },
      (_, j) => synthesizeRun(model, 1000 * i + 10 + j),
    ),
  }));
}

/** Every pair of recorded runs; with `history`, the other runs tell the noise. */
export function pairUp(runs: readonly Result[], options: { history: boolean }): RunPair[] {
  return runs.flatMap((baseline, i) =>
    runs.slice(i + 1).map((candidate) => ({
      baseline,
      candidate,
      history: options.history
        ? runs.filter((run) => run !== baseline && run !== candidate)
        : undefined,
    }))
  );
}

/** Compares every pair as it is, and with each slowdown of the cases of one implementation. */
export function measureQuality(
  pairs: readonly RunPair[],
  options: { slowed: string },
): QualityRow {
  let [comparisons, falseAlarms, inconclusive] = [0, 0, 0];
  const thresholds: number[] = [];
  const detection: QualityRow["detection"] = {};
  for (const { baseline, candidate, history } of pairs) {
    const { cases } = compareResults(baseline, candidate, { history });
    const counts = countVerdicts(cases);
    comparisons += cases.length;
    falseAlarms += counts.slower + counts.faster;
    inconclusive += counts.inconclusive;
    for (const { time } of cases) if (time) thresholds.push(time.threshold);
  }
  for (const factor of SLOWDOWNS) {
    let [injected, detected] = [0, 0];
    for (const { baseline, candidate, history } of pairs) {
      const slowed = structuredClone(candidate);
      const mine = slowed.cases.filter(({ implementation }) => implementation === options.slowed);
      for (const { samples } of mine) samples.forEach((sample) => sample.seconds *= factor);
      const ids = new Set(mine.map(({ id }) => id));
      const { cases } = compareResults(baseline, slowed, { history });
      injected += ids.size;
      detected += cases.filter(({ id, verdict }) => ids.has(id) && verdict === "slower").length;
    }
    detection[`${Math.round((factor - 1) * 100)} %`] = {
      injected,
      detected,
      rate: round(detected / injected),
    };
  }
  thresholds.sort((a, b) => a - b);
  return {
    comparisons,
    falseAlarms,
    falseAlarmRate: round(falseAlarms / comparisons),
    inconclusive,
    medianThreshold: round(thresholds[thresholds.length >> 1]),
    detection,
  };
}

function round(value: number): number {
  return Number(value.toFixed(4));
}
