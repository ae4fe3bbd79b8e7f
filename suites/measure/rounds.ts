/**
 * Samples of prepared cases: interleaved rounds under the clock's watch, and stages timed apart.
 *
 * @module
 */
import type { Timing } from "../../kernels/gpu/timing.ts";
import {
  type FirstRun,
  nextRound,
  outcomeOf,
  rethrowFatal,
  type Session,
  type Timed,
} from "./session.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";
import { learnTime } from "./start_case.ts";
import { STAGED_SECONDS } from "../plan/durations.ts";

/** Least length of a sample in steps of its clock. */
const STEPS_IN_SAMPLE = 100;

/** What a wall clock adds by waiting, seconds; one to ten milliseconds, by stack. */
const WALL_STEP_SECONDS = 1e-3;

const MOST_EXECUTIONS = 1000;

/** Rounds that are taken again for a clock that was down, beyond as many as were asked for. */
const MORE_ROUNDS = 4;

/**
 * Executions of a sample: as many as keep one step of the clock below a hundredth of the sample. A
 * browser rounds timestamps to 100 µs; where there are none at all, the wait for the device, which
 * the wall clock sees as well, is spread over several.
 *
 * @param calibration which clock, and its step in seconds.
 * @param seconds what one execution is predicted to take.
 */
export function repeatsOf(
  calibration: Pick<CalibrationRecord, "clock" | "timestampGranularity">,
  seconds: number,
): number {
  const step = calibration.clock === "wall"
    ? WALL_STEP_SECONDS
    : calibration.timestampGranularity ?? 0;
  if (!(seconds > 0)) return 1;
  return Math.min(MOST_EXECUTIONS, Math.max(1, Math.ceil(STEPS_IN_SAMPLE * step / seconds)));
}

/** Runs a case between two canaries, or takes the first execution where that counts. */
async function takeSample(
  session: Session,
  running: Timed,
  options: { round: number; place: number; before: number },
): Promise<number> {
  const { budget, calibration, clock, signal } = session;
  const { prepared, entry, first } = running;
  const { round, place } = options;
  if (first) {
    running.first = undefined;
    addSample(session, running, { ...first, round, place });
    return options.before;
  }
  const repeat = repeatsOf(calibration.record, budget.predict(entry));
  const before = clock.isOff(options.before) ? await clock.settle({ signal }) : options.before;
  const { result: timing, canary, after, device, off } = await clock.around(
    before,
    (between) =>
      prepared.execute({
        flopsPerSecond: budget.flopsPerSecond(entry),
        // With one stage the staged run is the same run, and its stage time comes for free.
        stages: prepared.stages.length === 1 || budget.predict(entry) >= STAGED_SECONDS,
        repeat,
        signal,
        between,
      }),
  );
  learnTime(session, entry, { timing, off });
  addSample(session, running, { timing, canary, device, off, round, place, repeat });
  return after;
}

function addSample(
  session: Session,
  running: Timed,
  { timing, canary, device, off, round, place, repeat = 1 }:
    & FirstRun
    & { round: number; place: number; repeat?: number },
): void {
  const { samples, stageSamples } = running;
  const seconds = session.calibration.secondsOf(timing);
  samples.push({
    seconds,
    wallSeconds: timing.wallSeconds,
    round,
    place,
    canary,
    ...device,
    ...(repeat > 1 && { executions: repeat }),
    ...(off && { flag: "clock" as const }),
  });
  if (off) return;
  if (stageSamples.length === 1) stageSamples[0].push(seconds);
  else addStages(session, running, timing);
}

/** Keeps the stages of a timing. Without GPU timestamps stages cannot be told apart. */
function addStages(session: Session, { stageSamples }: Timed, timing: Timing): void {
  if (session.calibration.record.clock === "wall") return;
  timing.stages?.forEach((seconds, stage) => stageSamples[stage].push(seconds));
}

/**
 * Times the stages of a case in passes of their own, where its samples did not. Those taken at a
 * wrong clock are dropped: stages carry no flag.
 */
export async function takeStages(session: Session, running: Timed, count: number): Promise<void> {
  const { prepared, entry, stageSamples } = running;
  const { budget, calibration, clock, signal } = session;
  if (calibration.record.clock === "wall") return;
  if (stageSamples.length === 1 || stageSamples[0].length > 0) return;
  const timings: Timing[] = [];
  session.step(`${entry.id}: stages apart`);
  const before = await clock.settle({ signal });
  const { off } = await clock.around(before, async (between) => {
    for (let i = 0; i < count; i++) {
      if (i > 0) await between();
      const flopsPerSecond = budget.flopsPerSecond(entry);
      timings.push(await prepared.execute({ flopsPerSecond, stages: true, signal }));
    }
  });
  if (off) return;
  for (const timing of timings) addStages(session, running, timing);
}

/**
 * Rounds A B C … C B A of a baseline and any number of candidates: every ratio to the baseline is
 * interleaved, and the baseline runs twice a round however many candidates there are. One case
 * alone runs A A.
 *
 * @param options `allowance`: seconds for all but the least rounds, by what is known when it is
 * called; `promised`: rounds that are taken beyond it as well, as far as the budget has them and
 * `kept` seconds besides.
 */
export async function takeRounds(
  session: Session,
  members: { a?: Timed; candidates: readonly Timed[] },
  options: { allowance: () => number; promised: number; kept: number },
): Promise<number[]> {
  const { a, candidates } = members;
  const { allowance, promised, kept } = options;
  const { budget } = session;
  const { least, most } = budget.rounds;
  const all = [...a ? [a] : [], ...candidates];
  const firstRound = nextRound(all.flatMap(({ samples }) => samples));
  const taken: number[] = [];
  const clean = new Map<Timed, number>();
  let before = await session.clock.settle({ signal: session.signal });
  const begun = budget.now();
  let deadline = Infinity;
  let last = 0;
  let lastWasGood = true;
  // Rounds with a clock that was down are taken again while there is time.
  for (let i = 0; i < 2 * most + MORE_ROUNDS; i++) {
    const started = budget.now();
    // Rounds teach what rounds take: until the first one that may be a guess.
    deadline = Math.min(deadline, begun + allowance());
    const one = Math.max(last, roundSeconds(session, all));
    const room = (promised - i) * one <= budget.left - kept;
    const owed = i < promised && room && lastWasGood ? promised : 0;
    if (i >= Math.max(least, owed) && started + last > deadline) break;
    const affordable = i + Math.floor((deadline - started) / Math.max(one, 1e-9));
    const rounds = Math.max(least, owed, Math.min(most, affordable));
    const lacking = (running: Timed) => !running.failure && (clean.get(running) ?? 0) < rounds;
    const lack = candidates.length > 0 ? candidates.filter(lacking) : [a!].filter(lacking);
    if (lack.length === 0) break;
    const round = firstRound + i;
    const order = a && candidates.length > 0 ? [a, ...lack] : lack;
    session.step(`${order[order.length - 1].entry.id}: round ${i + 1} of ${rounds}`);
    for (const [place, running] of [...order, ...order.toReversed()].entries()) {
      if (running.failure) continue;
      try {
        before = await takeSample(session, running, { round, place, before });
      } catch (error) {
        rethrowFatal(session, error);
        // Somebody else's code may fail at any time; ours must not.
        if (!running.prepared.peer) throw error;
        running.failure = outcomeOf(error);
        before = await session.clock.settle({ signal: session.signal });
      }
    }
    taken.push(round);
    const good = (running: Timed | undefined) =>
      !running?.samples.some((sample) => sample.round === round && sample.flag);
    for (const running of lack) {
      if (good(a) && good(running)) clean.set(running, (clean.get(running) ?? 0) + 1);
    }
    lastWasGood = order.every(good);
    // Not the longest one: a host that stalls once has not become slow.
    last = budget.now() - started;
  }
  return taken;
}

/** Predicted seconds of a round: two samples of each member, with the canary around them. */
function roundSeconds(
  { budget, calibration, clock }: Session,
  members: readonly Timed[],
): number {
  return members.reduce((sum, { entry }) => {
    const repeat = repeatsOf(calibration.record, budget.predict(entry));
    return sum + 2 * (repeat * budget.executionSeconds(entry) + clock.referenceSeconds);
  }, 0);
}
