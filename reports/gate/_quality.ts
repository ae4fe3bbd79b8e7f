/**
 * The quality of the gate between two files: false alarms between runs of the same code, and how many
 * injected slowdowns it finds, on synthetic noise and on recorded runs. `deno task gate-quality`
 * writes the results to `fixtures/gate/quality.json`; the tests measure parts of it again.
 *
 * @module
 */
import { sampleResult } from "../../suites/result/_sample_result.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { createNormal, createRandom, medianOf } from "./bootstrap.ts";
import { judgePair, levelsOf, pairTimes, type TimedPair, weighNoise } from "./compare_times.ts";
import { DEFAULTS } from "./gate_config.ts";
import type { CaseVerdict } from "./gate_report.ts";
import { type TimedCase, timesOf } from "./timed_case.ts";

/** Noise of a machine, as standard deviations of logarithms of seconds unless stated otherwise. */
export interface MachineNoise {
  /** Of each separate sample, and of each reading of the canary. */
  readonly within: number;
  /** Shift of one case in one run: placement in memory, caches. */
  readonly between: number;
  /** Largest deviation of the clock during a run, which the canary shows. */
  readonly drift: number;
  /** Shift of a whole run that the canary does not show. */
  readonly unseen: number;
}

/** A comparison of two runs of one machine. */
export interface Setting extends MachineNoise {
  readonly contexts: number;
  /** Implementations: the number of cases is contexts times kinds. */
  readonly kinds: number;
  /** Earlier runs of the baseline's code. */
  readonly history: number;
}

/** Injected slowdowns, as shares of the time. */
export const SLOWDOWNS = [0.02, 0.05, 0.1, 0.2, 0.5] as const;

/** Which cases are slowed: the dense case at the longest context, or all. */
export const TARGETS = ["one", "all"] as const;

/** Contexts that the quality is measured for. */
export const CONTEXTS = [2, 3, 4, 7] as const;

/** Earlier runs, in the settings that have them. */
export const HISTORY = 5;

/** Noise levels for which the stated bound of false alarms holds. */
export const NOISES: readonly MachineNoise[] = [0.005, 0.02].flatMap((within) =>
  [0, 0.005, 0.02].flatMap((between) =>
    [0, 0.05].map((drift) => ({ within, between, drift, unseen: between > 0 ? 0.005 : 0 }))
  )
);

/** Noise levels beyond it, to show where the bound ends. */
export const NOISES_BEYOND: readonly MachineNoise[] = [
  { within: 0.005, between: 0.03, drift: 0, unseen: 0.005 },
  { within: 0.005, between: 0.05, drift: 0, unseen: 0.005 },
  { within: 0.005, between: 0.005, drift: 0, unseen: 0.01 },
  { within: 0.005, between: 0.005, drift: 0, unseen: 0.02 },
];

function settings(
  noises: readonly MachineNoise[],
  { kinds, contexts = CONTEXTS }: { kinds: number; contexts?: readonly number[] },
): Setting[] {
  return [0, HISTORY].flatMap((history) =>
    contexts.flatMap((count) =>
      noises.map((noise) => ({ contexts: count, kinds, history, ...noise }))
    )
  );
}

/** Settings for which the stated bound of false alarms holds: two kinds of cases. */
export const GRID: readonly Setting[] = settings(NOISES, { kinds: 2 });

/** Settings beyond the bound. */
export const BEYOND: readonly Setting[] = settings(NOISES_BEYOND, {
  kinds: 2,
  contexts: [2, 7],
});

/** One kind alone: for two of its cases there is only the assumed noise. */
export const ONE_KIND: readonly Setting[] = settings(
  NOISES.filter(({ within, between, drift }) => within < 0.01 && between > 0.01 && drift === 0),
  { kinds: 1 },
);

/** How often each slowdown was found. */
export type Detection = Record<typeof TARGETS[number], Record<string, number>>;

/** Results of many comparisons. */
export interface QualityRow {
  /** Comparisons of two runs. */
  readonly runs: number;
  /** Cases in all of them. */
  readonly cases: number;
  /** Comparisons of the same code in which any case was `slower` or `faster`. */
  readonly falseAlarms: number;
  /** Cases with these verdicts. */
  readonly falseCases: number;
  /** Comparisons of the same code without an alarm but with an open case. */
  readonly inconclusive: number;
  /** Median of the reported noise thresholds. */
  readonly medianThreshold: number;
  /**
   * For `one`, the share of comparisons in which that case was `slower`; for `all`, in which any was.
   * By the size of the slowdown.
   */
  readonly detection: Detection;
}

const IMPLEMENTATIONS = ["dense", "lighthouse-norm", "lighthouse-dilated"] as const;

/**
 * How far a kernel follows the clock that the canary shows. On the H100 of `fixtures/baselines`,
 * if the canary moved at all, kernels followed it by 0.3 to 1.05.
 */
const FOLLOWS = [1, 0.5, 0.75] as const;

/** Share of samples that were interrupted, and their average delay. */
const INTERRUPTED = { share: 0.01, mean: 0.1 };

/** Rounds of a case, with two samples each. */
const ROUNDS = 10;

/** What a run needs to be compared by time. */
type TimedRecord = Pick<
  CaseRecord,
  "id" | "suite" | "implementation" | "direction" | "status" | "samples"
>;

/** The cases of one run: contexts one after the other, the kinds of a context in the same rounds. */
export function synthesizeCases(setting: Setting, seed: number): TimedRecord[] {
  const random = createRandom(seed);
  const normal = createNormal(random);
  const { contexts, kinds, within, between, drift, unseen } = setting;
  const run = unseen * normal();
  const [cycles, phase] = [0.25 + 0.75 * random(), random()];
  const clock = (time: number) => drift * Math.sin(2 * Math.PI * (cycles * time + phase));
  return Array.from(
    { length: contexts },
    (_, context) =>
      IMPLEMENTATIONS.slice(0, kinds).map((implementation, kind): TimedRecord => {
        const shift = run + between * normal();
        const seconds = 1e-3 * 4 ** context / (1 + 3 * kind);
        return {
          id: `latency/${implementation}/forward/N${4096 * 2 ** context}`,
          suite: "latency",
          implementation,
          direction: "forward",
          status: "ok",
          samples: Array.from({ length: 2 * ROUNDS }, (_, i) => {
            const at = clock((context + i / (2 * ROUNDS)) / contexts);
            const late = random() < INTERRUPTED.share
              ? -INTERRUPTED.mean * Math.log1p(-random())
              : 0;
            const log = shift + FOLLOWS[kind] * at + within * normal() + late;
            return {
              seconds: seconds * Math.exp(log),
              wallSeconds: seconds * Math.exp(log),
              round: i >> 1,
              place: i % 2,
              canary: Math.exp(at + within * normal()),
            };
          }),
        };
      }),
  ).flat();
}

/** A whole result of 12 cases, three kinds at four contexts, with a machine's noise. */
export function synthesizeRun(noise: MachineNoise, seed: number): Result {
  const result = sampleResult({ contexts: [4096, 8192, 16_384, 32_768], samples: 20 });
  const third = result.cases.filter(({ options }) => options).map((record): CaseRecord => ({
    ...structuredClone(record),
    implementation: "lighthouse-dilated",
    id: record.id.replace("lighthouse-norm", "lighthouse-dilated"),
  }));
  result.cases.push(...third);
  result.startedAt = new Date(Date.UTC(2026, 0, 1) + seed * 1000).toISOString();
  result.hashes.wgsl = seed.toString(16).padStart(64, "0");
  const setting = { ...noise, contexts: 4, kinds: 3, history: 0 };
  for (const { id, samples } of synthesizeCases(setting, seed)) {
    result.cases.find((record) => record.id.startsWith(`${id}-`))!.samples = samples;
  }
  return result;
}

/** Machines of named kinds, for tests. */
export const MACHINES = {
  quiet: { within: 0.004, between: 0.004, drift: 0, unseen: 0 },
} satisfies Record<string, MachineNoise>;

/** A pair of runs of the same code, with earlier runs of the baseline. */
export interface RunPair {
  readonly baseline: readonly TimedCase[];
  readonly candidate: readonly TimedCase[];
  readonly history: readonly (readonly TimedCase[])[];
}

/** A number that differs between settings (FNV-1a), so that settings share no noise. */
export function seedOf(setting: object): number {
  let hash = 0x811c9dc5;
  for (const letter of JSON.stringify(setting)) {
    hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  }
  return hash;
}

function pairOf(setting: Setting, index: number): RunPair {
  const first = seedOf(setting) + (2 + setting.history) * index;
  const run = (which: number) =>
    synthesizeCases(setting, first + which).map((record) =>
      timesOf(record as CaseRecord, { canarySeconds: 1e-3 })!
    );
  return {
    baseline: run(0),
    candidate: run(1),
    history: Array.from({ length: setting.history }, (_, i) => run(2 + i)),
  };
}

/** Measures one setting; the same seeds give the same row. */
export function measureSetting(
  setting: Setting,
  options: { runs: number; first?: number },
): QualityRow {
  const { runs, first = 0 } = options;
  return measureQuality(Array.from({ length: runs }, (_, i) => () => pairOf(setting, first + i)));
}

/** The recorded runs of `fixtures/gate/software_runs.json`. */
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

/** Every pair of recorded runs; with `history`, the other runs serve as earlier ones. */
export function recordedPairs(
  recorded: RecordedRuns,
  options: { history: boolean },
): (() => RunPair)[] {
  const runs = recorded.runs.map((run) =>
    recorded.cases.map((id, at) => {
      const [suite, implementation, direction] = id.split("/");
      const samples = run.samples[at].map((seconds, i) => ({
        seconds,
        wallSeconds: seconds,
        round: run.rounds[at][i],
        place: 0,
        canary: run.canary[at][i],
      }));
      const record = { id, suite, implementation, direction, status: "ok", samples };
      return timesOf(record as unknown as CaseRecord, { canarySeconds: run.canarySeconds })!;
    })
  );
  return runs.flatMap((baseline, i) =>
    runs.slice(i + 1).map((candidate) => () => ({
      baseline,
      candidate,
      history: options.history ? runs.filter((run) => run !== baseline && run !== candidate) : [],
    }))
  );
}

/** Compares every pair unchanged, and with each slowdown of each target. */
export function measureQuality(pairs: readonly (() => RunPair)[]): QualityRow {
  const counts = { cases: 0, falseAlarms: 0, falseCases: 0, inconclusive: 0 };
  const thresholds: number[] = [];
  const found = TARGETS.map(() => SLOWDOWNS.map(() => 0));
  for (const create of pairs) {
    const { baseline, candidate, history } = create();
    const timed = pairTimes(baseline.map((times, i) => ({
      baseline: times,
      candidate: candidate[i],
    })));
    const earlier = [baseline, ...history];
    const still = judgeAll(timed, earlier);
    const moved = still.filter(({ verdict }) => verdict === "slower" || verdict === "faster");
    counts.cases += still.length;
    counts.falseCases += moved.length;
    if (moved.length > 0) counts.falseAlarms++;
    else if (still.some(({ verdict }) => verdict === "inconclusive")) counts.inconclusive++;
    thresholds.push(...still.map(({ threshold }) => threshold));
    const one = timed.findLastIndex(({ kind }) => kind === "latency/dense/forward");
    for (const [at, slowdown] of SLOWDOWNS.entries()) {
      const slowed = (which: (index: number) => boolean) =>
        judgeAll(timed.map((pair, i) => which(i) ? slow(pair, 1 + slowdown) : pair), earlier);
      if (slowed((i) => i === one)[one].verdict === "slower") found[0][at]++;
      if (slowed(() => true).some(({ verdict }) => verdict === "slower")) found[1][at]++;
    }
  }
  return {
    runs: pairs.length,
    ...counts,
    medianThreshold: round(medianOf(thresholds)),
    detection: Object.fromEntries(TARGETS.map((target, i) => [
      target,
      Object.fromEntries(
        SLOWDOWNS.map((slowdown, at) => [
          `${Math.round(100 * slowdown)} %`,
          round(found[i][at] / pairs.length),
        ]),
      ),
    ])) as Detection,
  };
}

/** Verdicts with the gate's own settings. */
function judgeAll(
  pairs: readonly TimedPair[],
  earlier: readonly (readonly TimedCase[])[],
): { verdict: CaseVerdict; threshold: number }[] {
  const evidence = weighNoise(pairs, { earlier });
  const settings = { ...DEFAULTS, times: "gate" as const, accept: [], mayVanish: false };
  const levels = levelsOf(DEFAULTS.confidence, pairs.length);
  return pairs.map((pair, i) => {
    const options = { evidence: evidence[i], settings, levels, step: 0 };
    const { verdict, time } = judgePair(pair, options);
    return { verdict, threshold: time.threshold };
  });
}

/** The pair with every sample of the candidate slowed by a factor. */
export function slow(pair: TimedPair, factor: number): TimedPair {
  const { candidate, shifts } = pair;
  return {
    ...pair,
    candidate: { ...candidate, seconds: candidate.seconds * factor },
    shifts: shifts.map((shift) => ({ ...shift, log: shift.log + Math.log(factor) })),
  };
}

function round(value: number): number {
  return Number(value.toFixed(4));
}
