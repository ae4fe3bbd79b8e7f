/**
 * The order in which a run checks and measures its cases, how it divides its budget among them, and
 * what it repeats at the end: samples at a low clock, and cases that did not fit the budget before.
 *
 * @module
 */
import type { Session } from "../measure/session.ts";
import { caseRecord } from "../plan/case_record.ts";
import { alone, membersOf, type PlannedCase, type PlannedGroup } from "../plan/planned_case.ts";
import type { CaseRecord, RatioRecord } from "../result/result_schema.ts";
import type { Measurer } from "../suite.ts";

/** Longest wait for the clock before cases are repeated, in seconds. */
const PATIENCE_SECONDS = 10;

/** Most repetitions at the end; each needs the previous one to have helped. */
const MOST_TURNS = 3;

/** A suite of a run, with what measures its groups. */
export interface ScheduledSuite {
  readonly groups: readonly PlannedGroup[];
  readonly measure: Measurer["measure"];
}

/** What a run measures. */
export interface Schedule {
  /** In order; the suite whose checks others wait for comes first. */
  readonly suites: readonly ScheduledSuite[];
  /** The ratios so far. */
  readonly ratios: () => readonly RatioRecord[];
  /** Called with what is in progress and what is still to come. */
  readonly pending: (groups: readonly PlannedGroup[]) => void;
}

/** A group with what measures it. */
interface Work extends Pick<ScheduledSuite, "measure"> {
  readonly group: PlannedGroup;
}

/**
 * Runs a schedule: suite by suite, each within its part of the budget; then, as long as the budget
 * lasts, whatever is missing.
 */
export async function runSchedule(session: Session, schedule: Schedule): Promise<void> {
  const { suites } = schedule;
  for (const entry of suites.flatMap(({ groups }) => groups.flatMap(membersOf))) {
    if (!entry.skip || session.finished(entry.id)) continue;
    await session.record(caseRecord(entry, { status: "skipped", reason: entry.skip }));
  }
  schedule.pending(suites.flatMap(({ groups }) => groups));
  const done: Work[] = [];
  for (const [i, { groups, measure }] of suites.entries()) {
    const own: Work[] = [];
    for (const group of groups) {
      await refuseUnchecked(session, group);
      own.push({ group: passing(session, group), measure });
    }
    const after = suites.slice(i + 1).flatMap((next) => next.groups.flatMap(membersOf))
      .filter((entry) => !isRefused(session, entry));
    await measureGroups(session, schedule, { work: own, after });
    done.push(...own);
    // Cases with ratios are repeated before later suites, all others at the end.
    const paired = groups.some(({ baseline }) => baseline !== undefined);
    if (paired) await complete(session, schedule, { work: own, after, over: false });
  }
  schedule.pending([]);
  await complete(session, schedule, { work: done, after: [], over: true });
}

async function measureGroups(
  session: Session,
  schedule: Schedule,
  { work, after }: Omit<Part, "over">,
): Promise<void> {
  for (const [i, { group, measure }] of work.entries()) {
    session.signal?.throwIfAborted();
    // Samples at a low clock so far will be repeated.
    const spoilt = work.slice(0, i).flatMap((done) => spoiltOf(session, schedule, done.group));
    const later = [...work.slice(i + 1).map(({ group }) => group), ...alone(spoilt)];
    schedule.pending([group, ...later, ...alone(after)]);
    await measure(group, { later, after });
  }
}

interface Part {
  readonly work: readonly Work[];
  /** Cases of later suites. */
  readonly after: readonly PlannedCase[];
  /** Whether every case was tried once: one that did not fit the budget may fit it then. */
  readonly over: boolean;
}

/** Repeats what is missing, the promised cases first. */
async function complete(session: Session, schedule: Schedule, part: Part): Promise<void> {
  const { budget, clock, signal } = session;
  const { after, over } = part;
  const work = [...part.work]
    .sort((a, b) => Number(isPromised(b.group)) - Number(isPromised(a.group)));
  const lacking = () => {
    const skipped = over
      ? work.flatMap(({ group }) => membersOf(group)).filter((one) => isOverBudget(session, one))
      : [];
    return [...work.flatMap(({ group }) => spoiltOf(session, schedule, group)), ...skipped];
  };
  let left = lacking();
  for (let turn = 0; turn < MOST_TURNS && left.length > 0 && budget.left > 0; turn++) {
    const inconclusive = left.filter((entry) => isInconclusive(session, entry));
    if (inconclusive.length > 0) {
      const count = inconclusive.length === 1 ? "one case" : `${inconclusive.length} cases`;
      session.step(`bringing the clock up for ${count}`);
      const patience = Math.min(PATIENCE_SECONDS, budget.left);
      if (clock.isOff(await clock.settle({ signal, patience }))) {
        session.note(`the clock stayed down through ${patience.toPrecision(2)} s of work`);
        return;
      }
    }
    await takeUp(session, schedule, { work, left, after });
    const still = lacking();
    if (still.length >= left.length) return;
    left = still;
  }
}

/** Measures what is left, each in its group. */
async function takeUp(
  session: Session,
  schedule: Schedule,
  { work, left, after }: Omit<Part, "over"> & { left: readonly PlannedCase[] },
): Promise<void> {
  const again = new Set(left.map(({ id }) => id));
  const due = work.filter(({ group }) => membersOf(group).some(({ id }) => again.has(id)));
  for (const [i, { group, measure }] of due.entries()) {
    session.signal?.throwIfAborted();
    const later = due.slice(i + 1).map(({ group }) => group);
    schedule.pending([group, ...later]);
    await measure(group, { later, after, again });
  }
}

/**
 * Cases of a group with samples at a low clock: inconclusive ones, and those without a ratio to the
 * baseline for that reason.
 */
function spoiltOf(
  session: Session,
  { ratios }: Pick<Schedule, "ratios">,
  group: PlannedGroup,
): PlannedCase[] {
  const { baseline } = group;
  const unpaired = (entry: PlannedCase) => {
    const [a, b] = [baseline, entry].map((member) => member && session.finished(member.id));
    if (entry === baseline || !wasMeasured(a) || !wasMeasured(b)) return false;
    const flagged = [...a.samples, ...b.samples].some(({ flag }) => flag !== undefined);
    return flagged &&
      !ratios().some(({ numerator, denominator }) => numerator === a.id && denominator === b.id);
  };
  return membersOf(group).filter((entry) => isInconclusive(session, entry) || unpaired(entry));
}

function wasMeasured(record: CaseRecord | undefined): record is CaseRecord {
  return record?.status === "ok" || record?.status === "inconclusive";
}

function isInconclusive({ finished }: Session, { id }: PlannedCase): boolean {
  return finished(id)?.status === "inconclusive";
}

/** Skipped for lack of budget, which now has the time. */
function isOverBudget({ finished, budget }: Session, entry: PlannedCase): boolean {
  const record = finished(entry.id);
  const skipped = record?.status === "skipped" && record.predictedSeconds !== undefined;
  return skipped && !entry.predictedOnly && budget.affords(entry, { reserve: 0, peer: false });
}

/** Records cases that are not measured because their check did not pass. */
async function refuseUnchecked(session: Session, group: PlannedGroup): Promise<void> {
  for (const entry of membersOf(group)) {
    if (entry.skip || !isRefused(session, entry) || session.finished(entry.id)) continue;
    const gate = session.finished(entry.gate!);
    await session.record(caseRecord(
      entry,
      gate?.status === "skipped"
        ? { status: "skipped", reason: gate.reason }
        : { status: "failed", reason: `not timed: ${entry.gate} did not pass` },
    ));
  }
}

function isRefused({ finished }: Session, { gate }: PlannedCase): boolean {
  return gate !== undefined && finished(gate)?.status !== "ok";
}

function passing(session: Session, group: PlannedGroup): PlannedGroup {
  const { baseline, candidates } = group;
  return {
    ...group,
    baseline: baseline && !isRefused(session, baseline) ? baseline : undefined,
    candidates: candidates.filter((entry) => !isRefused(session, entry)),
  };
}

function isPromised(group: PlannedGroup): boolean {
  return membersOf(group).some((entry) => entry.promisedSamples !== undefined);
}
