/**
 * Compares two result files case by case. Pure: two records in, a report out.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { isSameRun } from "../../suites/result/same_run.ts";
import { findRecord, type SuiteRecord } from "../../suites/result/suite_record.ts";
import { SUITE_RECORDS } from "../../suites/result/suite_records.ts";
import { readableName } from "../../suites/result/device_record.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { describeLeftOut, planObstacle, Requests, timeObstacles } from "./comparability.ts";
import { compareExact, ranOut } from "./compare_exact.ts";
import { explainDigest } from "./explain_digest.ts";
import { finishReport } from "./finish_report.ts";
import { DEFAULTS, type GateConfig, GateInputError, settingsOf } from "./gate_config.ts";
import type { GateCase, GateReport, GateSide } from "./gate_report.ts";
import { judgeTimes, machineOf, usableHistory } from "./judge_times.ts";
import { samplesOf } from "./timed_case.ts";

/** More cases than this are refused: no plan has them. */
export const MOST_CASES = 10_000;

/** Options of {@linkcode compareResults}. */
export interface CompareOptions {
  readonly config?: GateConfig;
  /** Earlier results of the baseline's code on the same machine; they give the noise between runs. */
  readonly history?: readonly Result[];
  /** Names of the two sides, for example their file names. */
  readonly names?: { readonly baseline: string; readonly candidate: string };
  /** How the suites compare their records. Default: all suites. */
  readonly records?: readonly SuiteRecord[];
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
  const { records = SUITE_RECORDS } = options;
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
    records,
  });
  const exactOptions = {
    sameAdapter: sameAdapter(baseline, candidate),
    tunedApart: baseline.tuning?.digest !== candidate.tuning?.digest,
    sameInputs: baseline.seed === candidate.seed,
  };
  const unasked = { baseline: [] as CaseRecord[], candidate: [] as CaseRecord[] };
  const requested = {
    ofCandidate: new Requests(baseline, candidate, { records }),
    ofBaseline: new Requests(candidate, baseline, { records }),
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
    const suite = findRecord(records, record.suite);
    const exact = explainDigest(
      compareExact(record, other, {
        ...exactOptions,
        accept: settings.accept,
        suite,
        peer: isPeer(record),
      }),
      { id, suite, baseline, candidate },
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
    const [before, now] = [record, other].map((one) => samplesOf(one, records));
    const ran = before.length > 0 || record.status === "ok";
    if (ranOut(other) && ran && !identicalCode) {
      return { verdict: "inconclusive", reason: "the candidate's budget had no room for it" };
    }
    const hadTime = before.length > 0 && now.length > 0;
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
    const limits = [baseline, candidate].map(({ keepWarm }) => keepWarm?.powerWatts?.limit ?? null);
    if (limits[0] !== null && limits[1] !== null && limits[0] !== limits[1]) {
      notes.push(
        `power limits differ (${limits[0]} W and ${limits[1]} W): at a limit the clock follows it`,
      );
    }
    if (peersDiffer) notes.push("peers or their versions differ");
    if (candidate.tool.dirty) notes.push("the candidate's tree had uncommitted changes");
    return [...notes, ...history.notes];
  }
}

/** How a report describes one result. */
export function describeSide(result: Result, name: string): GateSide {
  const { device, fingerprint } = result.environment;
  return {
    name,
    commit: result.tool.commit,
    dirty: result.tool.dirty,
    startedAt: result.startedAt,
    device: readableName(device.name),
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

/** Whether a case is an external implementation. */
export function isPeer({ implementation }: Pick<CaseRecord, "implementation">): boolean {
  return implementation.startsWith("peer:");
}

/** Whether a peer that both runs requested has other versions in them. */
function peersOfBothDiffer(...results: [Result, Result]): boolean {
  const [before, after] = results.map(({ peers }) =>
    new Map((peers ?? []).map(({ implementation, versions }) => [
      implementation,
      JSON.stringify(Object.entries(versions).sort(([a], [b]) => a < b ? -1 : 1)),
    ]))
  );
  return [...before].some(([name, versions]) => after.has(name) && after.get(name) !== versions);
}

/** Whether everything that decides times is equal: LLVM's test suite skips such programs likewise. */
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
