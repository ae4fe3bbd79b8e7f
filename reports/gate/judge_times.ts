/**
 * Verdicts on the times of two runs, and which earlier runs give the noise between them.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { isSameRun } from "../../suites/result/same_run.ts";
import type { SuiteRecord } from "../../suites/result/suite_record.ts";
import { formatPlural } from "../text/format.ts";
import { timeObstacles } from "./comparability.ts";
import { judgePair, levelsOf, pairTimes, sampleSpread, weighNoise } from "./compare_times.ts";
import { DEFAULTS, type GateConfig, settingsOf } from "./gate_config.ts";
import type { GateCase, NoiseEstimate } from "./gate_report.ts";
import { ENOUGH_RUNS, spreadOfCases, spreadsAmongRuns } from "./run_noise.ts";
import { canarySeconds, clockStep, tellsTrips, timesOfRun } from "./timed_case.ts";

/** Verdicts on the times of all cases that both runs timed. */
export function judgeTimes(
  runs: { baseline: Result; candidate: Result; history: readonly Result[] },
  { config, comparable, records }: {
    config: GateConfig;
    comparable: boolean;
    records: readonly SuiteRecord[];
  },
): { of: Map<string, Pick<GateCase, "verdict" | "time">>; noise: NoiseEstimate } {
  const { baseline, candidate, history } = runs;
  const others = new Map(candidate.cases.map((record) => [record.id, record]));
  const unlike = new Set(
    baseline.cases.filter((record) => {
      const other = others.get(record.id);
      return other && machineOf(record) !== machineOf(other);
    }).map(({ id }) => id),
  );
  const reading = { records, perTrip: [baseline, candidate, ...history].some(tellsTrips) };
  const before = timesOfRun(baseline, reading);
  const after = new Map(timesOfRun(candidate, reading).map((times) => [times.id, times]));
  const pairs = pairTimes(
    comparable
      ? before.flatMap((times) => {
        const other = after.get(times.id);
        return other && !unlike.has(times.id) ? [{ baseline: times, candidate: other }] : [];
      })
      : [],
  );
  const earlier = [before, ...history.map((run) => timesOfRun(run, reading))];
  const evidence = weighNoise(pairs, { earlier });
  const settings = pairs.map(({ id }) => settingsOf(id, config));
  const confidence = config.confidence ?? DEFAULTS.confidence;
  const levels = levelsOf(confidence, settings.filter(({ times }) => times === "gate").length);
  const step = Math.max(clockStep(baseline), clockStep(candidate));
  const canaries = [baseline, candidate].map((run) => canarySeconds(run, reading));
  return {
    of: new Map(
      pairs.map((pair, i) => [
        pair.id,
        judgePair(pair, { evidence: evidence[i], settings: settings[i], levels, step }),
      ]),
    ),
    noise: {
      canaryShift: comparable && canaries[0] && canaries[1]
        ? Math.log(canaries[1] / canaries[0])
        : null,
      caseSpread: spreadOfCases(pairs.map(({ shifts }) => shifts[0])),
      sampleSpread: sampleSpread(pairs),
      historySpread: comparable
        ? spreadsAmongRuns(earlier, { byCanary: false })?.pooled ?? null
        : null,
      historyRuns: earlier.length,
      clockStep: step,
    },
  };
}

/** The machine of a case in a merged result; undefined in others. */
export function machineOf(record: CaseRecord): unknown {
  return (record as { machine?: unknown }).machine;
}

/**
 * Earlier runs that give the noise between runs: on the same device and clock, each once, and
 * neither of the two compared runs, which would make the noise look small or hide a change.
 */
export function usableHistory(
  history: readonly Result[],
  { baseline, candidate }: { baseline: Result; candidate: Result },
): { runs: Result[]; notes: string[] } {
  const notes: string[] = [];
  const like = history.filter((run) => timeObstacles(baseline, run).length === 0);
  const runs: Result[] = [];
  for (const run of like) {
    if (![baseline, candidate, ...runs].some((known) => isSameRun(known, run))) runs.push(run);
  }
  const unlike = history.length - like.length;
  const repeated = like.length - runs.length;
  if (unlike > 0) {
    notes.push(
      `${
        formatPlural(unlike, "earlier run")
      } of another device, stack or clock left out of the noise`,
    );
  }
  if (repeated > 0) {
    notes.push(
      `${
        formatPlural(repeated, "earlier run")
      } left out of the noise: given twice, or compared here`,
    );
  }
  if (history.length > 0 && runs.length + 1 < ENOUGH_RUNS) {
    notes.push(
      `${formatPlural(runs.length, "earlier run")} to learn the noise from, ${
        ENOUGH_RUNS - 1
      } are needed`,
    );
  }
  return { runs, notes };
}
