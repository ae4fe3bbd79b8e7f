/**
 * The order in which a run checks and measures its cases, how it shares out its budget among them, and
 * what it takes up again at the end: what the clock spoilt, and what did not fit the budget before.
 *
 * @module
 */
import type { Session } from "../measure/session.ts";
import { caseRecord } from "../plan/case_record.ts";
import type { PlannedCase, PlannedGroup, RunPlan } from "../plan/plan.ts";
import type { CaseRecord, RatioRecord } from "../result/result_schema.ts";

/** Longest wait for the clock before cases are taken up again, seconds. */
const PATIENCE_SECONDS = 10;

/** How often cases are taken up again at most, each time only if the last time helped. */
const MOST_TURNS = 3;

/** What a run measures, and what measures it. */
export interface Schedule {
  readonly plan: Pick<RunPlan, "checks" | "groups" | "throughput">;
  /** Cases that come after all others. */
  readonly cuts: readonly PlannedCase[];
  readonly check: (entry: PlannedCase) => Promise<void>;
  readonly measureGroup: (
    group: PlannedGroup,
    options: {
      later: readonly PlannedGroup[];
      after: readonly PlannedCase[];
      again?: ReadonlySet<string>;
    },
  ) => Promise<void>;
  readonly measureThroughput: (entry: PlannedCase, options: { again: boolean }) => Promise<void>;
  /** Measures the cuts that have no record, or those named. */
  readonly measureCuts: (again?: ReadonlySet<string>) => Promise<void>;
  /** The ratios so far. */
  readonly ratios: () => readonly RatioRecord[];
  /** Told what is under way and what is still to come. */
  readonly pending: (groups: readonly PlannedGroup[]) => void;
}

/** All cases of a plan but its cuts, in the order in which they run. */
export function plannedCases({ checks, groups, throughput }: Schedule["plan"]): PlannedCase[] {
  return [...checks, ...groups.flatMap(membersOf), ...throughput];
}

/**
 * Runs a schedule: correctness first, then groups, throughput and cuts, each within what the budget
 * leaves for it; then, as long as the budget lasts, what is lacking.
 */
export async function runSchedule(session: Session, schedule: Schedule): Promise<void> {
  const { plan } = schedule;
  for (const entry of plannedCases(plan)) {
    if (!entry.skip || session.finished(entry.id)) continue;
    await session.record(caseRecord(entry, { status: "skipped", reason: entry.skip }));
  }
  schedule.pending([...plan.groups, ...alone(plan.throughput)]);
  for (const entry of plan.checks) {
    session.signal?.throwIfAborted();
    await schedule.check(entry);
  }
  await refuseUnchecked(session, plan);
  const groups = plan.groups.map((group) => passing(session, group));
  const throughput = plan.throughput.filter((entry) => !isRefused(session, entry));
  const after = [...throughput, ...schedule.cuts];
  await measureGroups(session, schedule, { groups, after });
  await complete(session, schedule, { groups, after, over: false });
  for (const [i, entry] of throughput.entries()) {
    session.signal?.throwIfAborted();
    schedule.pending(alone(throughput.slice(i)));
    await schedule.measureThroughput(entry, { again: false });
  }
  schedule.pending([]);
  await schedule.measureCuts();
  await complete(session, schedule, { groups, after, over: true });
}

async function measureGroups(
  session: Session,
  schedule: Schedule,
  { groups, after }: Omit<Part, "over">,
): Promise<void> {
  for (const [i, group] of groups.entries()) {
    session.signal?.throwIfAborted();
    // What the clock has spoilt so far will be taken up again.
    const spoilt = groups.slice(0, i).flatMap((done) => spoiltOf(session, schedule, done));
    const later = [...groups.slice(i + 1), ...alone(spoilt)];
    schedule.pending([group, ...later, ...alone(after)]);
    await schedule.measureGroup(group, { later, after });
  }
}

interface Part {
  readonly groups: readonly PlannedGroup[];
  /** Cases of no group. */
  readonly after: readonly PlannedCase[];
  /** Whether all of it had its turn: what did not fit the budget may fit it then. */
  readonly over: boolean;
}

/** Takes up again what is lacking, the promised cases first. */
async function complete(session: Session, schedule: Schedule, part: Part): Promise<void> {
  const { budget, clock, signal } = session;
  const { after, over } = part;
  const groups = [...part.groups].sort((a, b) => Number(isPromised(b)) - Number(isPromised(a)));
  const lacking = () => {
    const single = [...groups.flatMap(membersOf), ...after];
    const skipped = over ? single.filter((entry) => isOverBudget(session, entry)) : [];
    const ofNone = after.filter((entry) => isInconclusive(session, entry));
    return [
      ...groups.flatMap((group) => spoiltOf(session, schedule, group)),
      ...ofNone,
      ...skipped,
    ];
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
    await takeUp(session, schedule, { groups, left, after: over ? [] : after });
    const still = lacking();
    if (still.length >= left.length) return;
    left = still;
  }
}

/** Measures what is left, the cases of groups beside their baselines. */
async function takeUp(
  session: Session,
  schedule: Schedule,
  { groups, left, after }: {
    groups: readonly PlannedGroup[];
    left: readonly PlannedCase[];
    after: readonly PlannedCase[];
  },
): Promise<void> {
  const again = new Set(left.map(({ id }) => id));
  const due = groups.filter((group) => membersOf(group).some(({ id }) => again.has(id)));
  for (const [i, group] of due.entries()) {
    session.signal?.throwIfAborted();
    const later = due.slice(i + 1);
    schedule.pending([group, ...later]);
    await schedule.measureGroup(group, { later, after, again });
  }
  for (const entry of left.filter(({ suite }) => suite === "throughput")) {
    session.signal?.throwIfAborted();
    await schedule.measureThroughput(entry, { again: true });
  }
  if (schedule.cuts.some(({ id }) => again.has(id))) await schedule.measureCuts(again);
}

/**
 * Cases of a group that the clock spoilt: inconclusive ones, and those that have no ratio to the
 * baseline for samples at a wrong clock.
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

/** Skipped for the budget, which has the time for it now. */
function isOverBudget({ finished, budget }: Session, entry: PlannedCase): boolean {
  const record = finished(entry.id);
  const skipped = record?.status === "skipped" && record.predictedSeconds !== undefined;
  return skipped && !entry.predictedOnly && budget.affords(entry, { reserve: 0, peer: false });
}

/** Records what is not timed because its correctness case did not pass. */
async function refuseUnchecked(session: Session, plan: Schedule["plan"]): Promise<void> {
  for (const entry of plannedCases(plan)) {
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

function passing(session: Session, { baseline, candidates }: PlannedGroup): PlannedGroup {
  return {
    baseline: baseline && !isRefused(session, baseline) ? baseline : undefined,
    candidates: candidates.filter((entry) => !isRefused(session, entry)),
  };
}

function isPromised(group: PlannedGroup): boolean {
  return membersOf(group).some((entry) => entry.promisedSamples !== undefined);
}

function membersOf({ baseline, candidates }: PlannedGroup): PlannedCase[] {
  return [...baseline ? [baseline] : [], ...candidates];
}

function alone(entries: readonly PlannedCase[]): PlannedGroup[] {
  return entries.map((entry) => ({ candidates: [entry] }));
}
