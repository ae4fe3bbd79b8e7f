/**
 * Compares two result files case by case. Pure: two records in, a report out.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { formatPlural, plainText } from "../text/format.ts";
import { withCells } from "./compare_cells.ts";
import { compareExact, ranOut } from "./compare_exact.ts";
import {
  canarySeconds,
  caseSpread,
  historySpread,
  judgePair,
  pairTimes,
  sampleSpread,
  type TimedCase,
  timesOf,
} from "./compare_times.ts";
import {
  type CaseSettings,
  DEFAULTS,
  type GateConfig,
  GateInputError,
  settingsOf,
} from "./gate_config.ts";
import {
  countVerdicts,
  type GateCase,
  type GateReport,
  type GateSide,
  type NoiseEstimate,
} from "./gate_report.ts";
import { formatThreshold } from "./gate_table.ts";

/** Cases beyond this number are refused: no plan has them. */
export const MOST_CASES = 5000;

/** Options of {@linkcode compareResults}. */
export interface CompareOptions {
  readonly config?: GateConfig;
  /** Earlier results of the baseline's code on the same machine; they tell the noise between runs. */
  readonly history?: readonly Result[];
  /** What the sides are called, for example their file names. */
  readonly names?: { readonly baseline: string; readonly candidate: string };
}

/**
 * Compares a candidate with a baseline.
 *
 * @throws {GateInputError} when the baseline has no cases or none that ran, both are the same run, or
 * a file names a case twice.
 */
export function compareResults(
  baseline: Result,
  candidate: Result,
  options: CompareOptions = {},
): GateReport {
  const names = options.names ?? { baseline: "baseline", candidate: "candidate" };
  const config: GateConfig = options.config ?? { cases: [] };
  const before = indexCases(baseline, names.baseline);
  const after = indexCases(candidate, names.candidate);
  if (before.size === 0) {
    throw new GateInputError(`baseline ${plainText(names.baseline)} has no cases to compare with`);
  }
  if (isSameRun(baseline, candidate)) {
    throw new GateInputError(
      `${plainText(names.baseline)} and ${plainText(names.candidate)} are the same run, ` +
        `started ${plainText(baseline.startedAt)}: two runs are needed`,
    );
  }
  const dead = [...before.values()].every(({ status }) =>
    status === "failed" || status === "skipped"
  );
  if (dead) {
    const [{ id, status, reason }] = before.values();
    throw new GateInputError(
      `baseline ${plainText(names.baseline)} has no case that ran: ${plainText(id)} ` +
        `${status}: ${plainText(reason ?? "no reason given")}`.slice(0, 500),
    );
  }
  const timesNotComparable = timeObstacles(baseline, candidate);
  const identicalCode = hasIdenticalCode(baseline, candidate);
  const peersDiffer = peerVersions(baseline) !== peerVersions(candidate);
  const confidence = config.confidence ?? DEFAULTS.confidence;
  const timed = timesNotComparable.length > 0 ? [] : [...before].flatMap(([id, record]) => {
    const other = after.get(id);
    const times = [timesOf(record), other && timesOf(other)];
    return times[0] && times[1] ? [{ baseline: times[0], candidate: times[1] }] : [];
  });
  const pairs = new Map(pairTimes(timed, { confidence }).map((pair) => [pair.id, pair]));
  const noise = estimateNoise();
  const exactOptions = {
    sameAdapter: sameAdapter(baseline, candidate),
    tunedApart: baseline.tuning?.digest !== candidate.tuning?.digest,
    sameInputs: baseline.seed === candidate.seed,
  };
  let exactFields = 0;
  const cases: GateCase[] = [];
  for (const [id, record] of before) {
    const settings = settingsOf(id, config);
    const other = after.get(id);
    const base = { id, minimum: settings.minimum, tolerance: settings.tolerance };
    if (!other) {
      cases.push({
        ...base,
        verdict: "missing",
        fails: !settings.mayVanish,
        reason: `${settings.mayVanish ? "may vanish; " : ""}was ${record.status} in the baseline`,
        differences: [],
      });
      continue;
    }
    const exact = withCells(
      compareExact(record, other, {
        ...exactOptions,
        accept: settings.accept,
        peer: isPeer(record),
      }),
      { id, baseline, candidate },
    );
    exactFields += exact.fields;
    const differs = exact.differences.some(({ severity }) => severity === "failure");
    const judged = judgeTime(id, settings, [record, other]);
    cases.push({
      ...base,
      ...judged,
      fails: differs || judged.verdict === "slower" && settings.times === "gate",
      differences: exact.differences,
    });
  }
  for (const [id, record] of after) {
    if (before.has(id)) continue;
    const { minimum, tolerance } = settingsOf(id, config);
    const reason = `${record.status}, not in the baseline`;
    cases.push({ id, verdict: "new", fails: false, reason, minimum, tolerance, differences: [] });
  }
  return finishReport({
    schemaVersion: 1,
    kind: "gate",
    method: "absolute",
    baseline: describeSide(baseline, names.baseline),
    candidate: describeSide(candidate, names.candidate),
    identicalCode,
    timesNotComparable,
    confidence,
    noise,
    cases,
    exactFields,
    notes: collectNotes(),
  }, { ignored: (id) => settingsOf(id, config).times === "ignore" });

  function judgeTime(
    id: string,
    settings: CaseSettings,
    [record, other]: [CaseRecord, CaseRecord],
  ): Pick<GateCase, "verdict" | "time" | "reason"> {
    const pair = pairs.get(id);
    if (pair) {
      const { verdict, time } = judgePair(pair, { noise, settings, confidence });
      if (identicalCode && verdict !== "same" && !(isPeer(record) && peersDiffer)) {
        const reason = "code, configuration, adapter and packages hash the same: noise";
        return { verdict: "same", time, reason };
      }
      return { verdict, time };
    }
    if (timesNotComparable.length > 0) return { verdict: "same", reason: "time not compared" };
    if (ranOut(other) && record.samples.length > 0 && !identicalCode) {
      return { verdict: "inconclusive", reason: "the candidate's budget had no room for it" };
    }
    const hadTime = record.samples.length > 0 && other.samples.length > 0;
    if (!hadTime || identicalCode) return { verdict: "same", reason: "no time to compare" };
    return { verdict: "inconclusive", reason: "the clock was too coarse, or every sample flagged" };
  }

  function estimateNoise(): NoiseEstimate {
    const canaries = [canarySeconds(baseline), canarySeconds(candidate)];
    const comparable = timesNotComparable.length === 0;
    const earlier = (options.history ?? []).filter((result) =>
      result.environment.fingerprint === baseline.environment.fingerprint &&
      result.calibration?.clock === baseline.calibration?.clock
    );
    const runs = [baseline, ...earlier].map((result) =>
      result.cases.map(timesOf).filter((times): times is TimedCase => times !== undefined)
    );
    const all = [...pairs.values()];
    return {
      canaryShift: comparable && canaries[0] && canaries[1]
        ? Math.log(canaries[1] / canaries[0])
        : null,
      caseSpread: caseSpread(all),
      sampleSpread: sampleSpread(all),
      historySpread: comparable && runs.length > 1 ? historySpread(runs) : null,
      historyRuns: runs.length,
    };
  }

  function collectNotes(): string[] {
    const notes: string[] = [];
    if (baseline.finishedAt === null) notes.push("the baseline's run was cut short");
    if (candidate.finishedAt === null) notes.push("the candidate's run was cut short");
    if (baseline.seed !== candidate.seed) {
      notes.push(
        `seeds differ (${baseline.seed} and ${candidate.seed}): digests were not compared`,
      );
    }
    if (!exactOptions.sameAdapter) {
      notes.push("adapters differ: digests of outputs were not compared");
    } else if (exactOptions.tunedApart) {
      notes.push("tunings differ: digests of outputs were not compared");
    }
    if (peersDiffer) notes.push("peers or their versions differ");
    if (candidate.tool.dirty) notes.push("the candidate's tree had uncommitted changes");
    const unused =
      (options.history ?? []).filter((result) =>
        result.environment.fingerprint !== baseline.environment.fingerprint
      ).length;
    if (unused > 0) {
      notes.push(`${formatPlural(unused, "earlier run")} of another machine left out of the noise`);
    }
    return notes;
  }
}

/** Adds outcome, exit code and sentence to what was found. */
export function finishReport(
  found: Omit<GateReport, "outcome" | "exitCode" | "sentence">,
  options: { ignored?: (id: string) => boolean } = {},
): GateReport {
  const { cases, timesNotComparable } = found;
  const counts = countVerdicts(cases);
  const failing = cases.filter(({ fails }) => fails);
  const open = cases.filter(({ id, verdict }) =>
    verdict === "inconclusive" && !options.ignored?.(id)
  );
  const differing =
    failing.filter(({ differences }) => differences.some(({ severity }) => severity === "failure"))
      .length;
  const vanished = failing.filter(({ verdict }) => verdict === "missing").length;
  const slower = failing.filter(({ verdict }) => verdict === "slower").length;
  const faults = [
    slower > 0 && `${formatPlural(slower, "case")} slower`,
    differing > 0 && `${formatPlural(differing, "case")} with a different result, cost or status`,
    vanished > 0 && `${formatPlural(vanished, "case")} missing`,
  ].filter(Boolean).join(", ");
  const exactPart = `${formatPlural(found.exactFields, "exact field")} equal`;
  if (failing.length > 0) {
    return { ...found, outcome: "failed", exitCode: 1, sentence: `Failed: ${faults}.` };
  }
  if (timesNotComparable.length > 0) {
    const sentence = `Times are not comparable (${timesNotComparable.join("; ")}); ` +
      `no exact difference in ${formatPlural(found.exactFields, "field")}.`;
    return { ...found, outcome: "not comparable", exitCode: 4, sentence };
  }
  if (open.length > 0) {
    const count = formatPlural(open.length, "case");
    const noisy = open.filter(({ reason, time }) => reason === undefined && time !== undefined);
    const widest = Math.max(...noisy.map(({ time }) => time!.threshold));
    const why = noisy.length > 0
      ? `noise of ${formatThreshold(widest, "up to ")} hides what ${count} must show`
      : `${count} without a verdict: ${open[0].reason}`;
    const sentence = `Inconclusive: ${why}; ${exactPart} or accepted.`;
    return { ...found, outcome: "inconclusive", exitCode: 3, sentence };
  }
  const sentence = found.identicalCode
    ? `Passed: the code is identical, so every difference in time is noise; ${exactPart}.`
    : `Passed: ${formatPlural(counts.same, "case")} the same, ${counts.faster} faster, ` +
      `${counts.new} new; ${exactPart} or accepted.`;
  return { ...found, outcome: "passed", exitCode: 0, sentence };
}

/** What a report says of one result. */
export function describeSide(result: Result, name: string): GateSide {
  const { adapter, fingerprint } = result.environment;
  return {
    name,
    commit: result.tool.commit,
    dirty: result.tool.dirty,
    startedAt: result.startedAt,
    device: adapter.description || adapter.device || adapter.vendor,
    fingerprint,
    cases: result.cases.length,
  };
}

/** Whether two results come from the same adapter, driver and stack. */
export function sameAdapter(baseline: Result, candidate: Result): boolean {
  const key = ({ stack, environment: { adapter, driver } }: Result) =>
    JSON.stringify([
      stack,
      adapter.vendor,
      adapter.architecture,
      adapter.device,
      adapter.description,
      driver,
    ]);
  return key(baseline) === key(candidate);
}

/** Whether a case is somebody else's implementation. */
export function isPeer({ implementation }: Pick<CaseRecord, "implementation">): boolean {
  return implementation.startsWith("peer:");
}

function peerVersions({ peers }: Result): string {
  return JSON.stringify(
    (peers ?? []).map(({ implementation, versions }) => [
      implementation,
      Object.entries(versions).sort(([a], [b]) => a < b ? -1 : 1),
    ]).sort(([a], [b]) => a < b ? -1 : 1),
  );
}

/** Whether nothing that decides times differs: LLVM's test suite skips such programs likewise. */
function hasIdenticalCode(baseline: Result, candidate: Result): boolean {
  const key = ({ hashes, environment: { packages, fingerprint } }: Result) =>
    JSON.stringify([
      hashes.wgsl,
      hashes.configuration,
      fingerprint,
      Object.entries(packages).sort(([a], [b]) => a < b ? -1 : 1),
    ]);
  const known = /^[0-9a-f]{64}$/.test(baseline.hashes.wgsl);
  return known && sameAdapter(baseline, candidate) && key(baseline) === key(candidate);
}

function timeObstacles(baseline: Result, candidate: Result): string[] {
  const obstacles: string[] = [];
  if (baseline.environment.fingerprint !== candidate.environment.fingerprint) {
    obstacles.push("the device fingerprints differ");
  }
  const clocks = [baseline.calibration?.clock, candidate.calibration?.clock];
  if (clocks[0] && clocks[1] && clocks[0] !== clocks[1]) {
    obstacles.push(`the clocks differ, ${clocks[0]} and ${clocks[1]}`);
  }
  return obstacles;
}

/** Whether two files hold the same run, finished in one of them or not. */
export function isSameRun(baseline: Result, candidate: Result): boolean {
  return baseline.startedAt === candidate.startedAt &&
    baseline.environment.fingerprint === candidate.environment.fingerprint &&
    baseline.hashes.plan === candidate.hashes.plan &&
    JSON.stringify(baseline.calibration) === JSON.stringify(candidate.calibration);
}

function indexCases(result: Result, name: string): Map<string, CaseRecord> {
  if (result.cases.length > MOST_CASES) {
    throw new GateInputError(
      `${plainText(name)} has ${result.cases.length} cases, the limit is ${MOST_CASES}`,
    );
  }
  const cases = new Map<string, CaseRecord>();
  for (const record of result.cases) {
    if (cases.has(record.id)) {
      throw new GateInputError(
        `${plainText(name)} names case ${plainText(record.id).slice(0, 200)} twice`,
      );
    }
    cases.set(record.id, record);
  }
  return cases;
}
