/**
 * Compares two result files case by case. Pure: two records in, a report out.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { isSameRun } from "../../suites/result/same_run.ts";
import { formatPlural } from "../text/format.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { describeLeftOut, planObstacle, Requests, timeObstacles } from "./comparability.ts";
import { withCells } from "./compare_cells.ts";
import { compareExact, ranOut } from "./compare_exact.ts";
import { judgePair, levelsOf, pairTimes, sampleSpread, weighNoise } from "./compare_times.ts";
import { DEFAULTS, type GateConfig, GateInputError, settingsOf } from "./gate_config.ts";
import {
  countVerdicts,
  type GateCase,
  type GateReport,
  type GateSide,
  type NoiseEstimate,
} from "./gate_report.ts";
import { formatThreshold } from "./gate_table.ts";
import { ENOUGH_RUNS, spreadOfCases, spreadsAmongRuns } from "./run_noise.ts";
import { canarySeconds, clockStep, timesOfRun } from "./timed_case.ts";

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
  const otherDevice = timeObstacles(baseline, candidate);
  const nothingShared = planObstacle(baseline, candidate);
  const obstacles = [...otherDevice, ...nothingShared === undefined ? [] : [nothingShared]];
  const identicalCode = hasIdenticalCode(baseline, candidate);
  const peersDiffer = peersOfBothDiffer(baseline, candidate);
  const confidence = config.confidence ?? DEFAULTS.confidence;
  const history = usableHistory(options.history ?? [], { baseline, candidate });
  const times = judgeTimes({ baseline, candidate, history: history.runs }, {
    config,
    comparable: obstacles.length === 0,
  });
  const exactOptions = {
    sameAdapter: sameAdapter(baseline, candidate),
    tunedApart: baseline.tuning?.digest !== candidate.tuning?.digest,
    sameInputs: baseline.seed === candidate.seed,
  };
  const unasked = { baseline: [] as CaseRecord[], candidate: [] as CaseRecord[] };
  const requested = {
    ofCandidate: new Requests(baseline, candidate),
    ofBaseline: new Requests(candidate, baseline),
  };
  let exactFields = 0;
  const cases: GateCase[] = [];
  for (const [id, record] of before) {
    const settings = settingsOf(id, config);
    const other = after.get(id);
    const base = { id, minimum: settings.minimum, tolerance: settings.tolerance };
    if (!other) {
      if (!requested.ofCandidate.has(record)) {
        unasked.candidate.push(record);
        continue;
      }
      const allowed = settings.mayVanish
        ? "may vanish; "
        : otherDevice.length > 0
        ? "another device may not plan it; "
        : "";
      cases.push({
        ...base,
        verdict: "missing",
        fails: allowed === "",
        reason: `${allowed}was ${record.status} in the baseline`,
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
    const judged = describeTime(id, [record, other]);
    cases.push({
      ...base,
      ...judged,
      fails: differs || judged.verdict === "slower" && settings.times === "gate",
      differences: exact.differences,
    });
  }
  for (const [id, record] of after) {
    if (before.has(id)) continue;
    if (!requested.ofBaseline.has(record)) {
      unasked.baseline.push(record);
      continue;
    }
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
    timesNotComparable: obstacles,
    confidence,
    noise: times.noise,
    cases,
    leftOut: { baseline: unasked.candidate.length, candidate: unasked.baseline.length },
    exactFields,
    notes: collectNotes(),
  }, { ignored: (id) => settingsOf(id, config).times === "ignore" });

  function describeTime(
    id: string,
    [record, other]: [CaseRecord, CaseRecord],
  ): Pick<GateCase, "verdict" | "time" | "reason"> {
    const judged = times.of.get(id);
    if (judged) {
      if (identicalCode && judged.verdict !== "same" && !(isPeer(record) && peersDiffer)) {
        const reason = "code, configuration, adapter and packages hash the same: noise";
        return { verdict: "same", time: judged.time, reason };
      }
      return judged;
    }
    if (obstacles.length > 0) return { verdict: "same", reason: "time not compared" };
    if (machineOf(record) !== machineOf(other)) {
      return { verdict: "same", reason: "time not compared: measured on another machine" };
    }
    if (ranOut(other) && record.samples.length > 0 && !identicalCode) {
      return { verdict: "inconclusive", reason: "the candidate's budget had no room for it" };
    }
    const hadTime = record.samples.length > 0 && other.samples.length > 0;
    if (!hadTime || identicalCode) return { verdict: "same", reason: "no time to compare" };
    return { verdict: "inconclusive", reason: "the clock was too coarse, or every sample flagged" };
  }

  function collectNotes(): string[] {
    const notes: string[] = [];
    if (baseline.finishedAt === null) notes.push("the baseline's run was cut short");
    if (candidate.finishedAt === null) notes.push("the candidate's run was cut short");
    for (const lacking of ["candidate", "baseline"] as const) {
      const line = describeLeftOut(unasked[lacking], { lacking });
      if (line !== undefined && nothingShared === undefined) notes.push(line);
    }
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
    return [...notes, ...history.notes];
  }
}

/** Verdicts on the times of all cases that both runs timed. */
function judgeTimes(
  runs: { baseline: Result; candidate: Result; history: readonly Result[] },
  { config, comparable }: { config: GateConfig; comparable: boolean },
): { of: Map<string, Pick<GateCase, "verdict" | "time">>; noise: NoiseEstimate } {
  const { baseline, candidate, history } = runs;
  const records = new Map(candidate.cases.map((record) => [record.id, record]));
  const unlike = new Set(
    baseline.cases.filter((record) => {
      const other = records.get(record.id);
      return other && machineOf(record) !== machineOf(other);
    }).map(({ id }) => id),
  );
  const before = timesOfRun(baseline);
  const after = new Map(timesOfRun(candidate).map((times) => [times.id, times]));
  const pairs = pairTimes(
    comparable
      ? before.flatMap((times) => {
        const other = after.get(times.id);
        return other && !unlike.has(times.id) ? [{ baseline: times, candidate: other }] : [];
      })
      : [],
  );
  const earlier = [before, ...history.map(timesOfRun)];
  const evidence = weighNoise(pairs, { earlier });
  const settings = pairs.map(({ id }) => settingsOf(id, config));
  const confidence = config.confidence ?? DEFAULTS.confidence;
  const levels = levelsOf(confidence, settings.filter(({ times }) => times === "gate").length);
  const step = Math.max(clockStep(baseline), clockStep(candidate));
  const canaries = [canarySeconds(baseline), canarySeconds(candidate)];
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

/** The machine of a case in a result that was joined from several; undefined elsewhere. */
function machineOf(record: CaseRecord): unknown {
  return (record as { machine?: unknown }).machine;
}

/**
 * Earlier runs that tell the noise between runs: of the same device and clock, each of them once, and
 * neither of the two that are compared, which would make the noise look small or hide a change.
 */
function usableHistory(
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
    const sentence = `Not comparable: ${timesNotComparable.join("; ")}.` +
      (found.exactFields > 0 ? ` ${exactPart}.` : "");
    return { ...found, outcome: "not comparable", exitCode: 4, sentence };
  }
  if (open.length > 0) {
    const count = formatPlural(open.length, "case");
    const noisy = open.filter(({ reason, time }) => reason === undefined && time !== undefined);
    const widest = Math.max(...noisy.map(({ time }) => time!.threshold));
    const why = noisy.length > 0
      ? `noise of ${formatThreshold(widest, "up to ")} hides what ${count} must show`
      : `${count} without a verdict: ${open[0].reason}`;
    const unlearned = found.method === "absolute" && found.noise.historyRuns < ENOUGH_RUNS;
    const remedy = noisy.length > 0 && unlearned ? " --history or --against shows less noise." : "";
    const sentence = `Inconclusive: ${why}; ${exactPart} or accepted.${remedy}`;
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

/** Whether a peer that both runs asked for has other versions in them. */
function peersOfBothDiffer(...results: [Result, Result]): boolean {
  const [before, after] = results.map(({ peers }) =>
    new Map((peers ?? []).map(({ implementation, versions }) => [
      implementation,
      JSON.stringify(Object.entries(versions).sort(([a], [b]) => a < b ? -1 : 1)),
    ]))
  );
  return [...before].some(([name, versions]) => after.has(name) && after.get(name) !== versions);
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
