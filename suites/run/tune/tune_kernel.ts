/**
 * One kernel at one size: which of its tilings are correct, and which is the fastest.
 *
 * @module
 */
import {
  chooseMatrixBackward,
  chooseMatrixTiling,
} from "../../../kernels/dense_attention/matrix/dense_matrix.ts";
import { chooseBackwardTilings } from "../../../kernels/dense_attention/portable/portable_backward.ts";
import { chooseTiling } from "../../../kernels/dense_attention/portable/portable_plan.ts";
import { sameTiling, tilingName } from "../../../kernels/dense_attention/tilings.ts";
import { tilingSpace } from "../../../kernels/dense_attention/tuning.ts";
import type { Gpu } from "../../../kernels/gpu/device.ts";
import type { Calibration } from "../../device/calibrate.ts";
import type { TuningEntry } from "../../device/tuning_file.ts";
import { errorLine } from "../../errors.ts";
import { bootstrapRatio, type Interval, summarize } from "../../statistics/statistics.ts";
import { type Key, LEAST_ROUNDS, now, requireTime, type Session } from "./session.ts";
import { allocate, type Bound } from "./tiled_layer.ts";

/** A tiling replaces the default if it is faster by more than this, at 95 %. */
const MARGIN = 0.01;

/**
 * A sample repeats the kernel for about this many seconds, so that starts and ends weigh little.
 */
const SAMPLE_SECONDS = 4e-3;
const MOST_REPEATS = 50;

/** Expected duration of the check of one tiling; on some stacks it compiles longer. */
const CHECK_SECONDS = 0.5;

/** Share of the time left that checking the tilings of one kernel may take. */
const CHECKING_SHARE = 0.5;

/** Rows of the check: odd, and more than any tile has. */
const CHECK_ROWS = 277;

/** An execution this long has warmed itself up. */
const WARM_SECONDS = 0.25;

/** Share of a ceiling that a kernel is expected to reach before one was measured. */
const EXPECTED_SHARE = 0.3;

interface Checked {
  readonly tiling: object;
  readonly refused?: string;
}

/**
 * Checks and measures all tilings of a kernel. `share`: the part of the time left that it may take.
 */
export async function tuneKernel(
  session: Session,
  key: Key,
  { share }: { share: number },
): Promise<TuningEntry> {
  const { calibration, clock, hooks, speeds, deadline } = session;
  const { signal } = hooks;
  const checked = await checkTilings(session, key);
  const tilings = checked.filter(({ refused }) => refused === undefined)
    .map(({ tiling }) => tiling);
  if (tilings.length < 2) throw new RangeError("no tiling but the default's can run");
  const end = now() + share * (deadline - now());
  const speedKey = `${key.kernel} ${key.pass}`;
  const flopsPerSecond = speeds.get(speedKey) ?? expectedSpeed(calibration, key);
  const layer = await allocate(session, key, { flopsPerSecond });
  try {
    const bound: Bound[] = [];
    for (const tiling of tilings) bound.push(await layer.bind(tiling));
    requireTime(session, (2 * LEAST_ROUNDS + 1) * tilings.length * bound[0].flops / flopsPerSecond);
    let reading = await clock.settle({ signal });
    const run = async ({ dispatches, repeats }: Bound) => {
      signal?.throwIfAborted();
      if (clock.isOff(reading)) reading = await clock.settle({ signal });
      const stage = { name: key.pass, dispatches: Array(repeats).fill(dispatches).flat() };
      const { result, after, off } = await clock.around(
        reading,
        (between) => session.timer.run([stage], { flopsPerSecond, signal, between }),
      );
      reading = after;
      return { seconds: calibration.secondsOf(result) / repeats, off };
    };
    let round = 0;
    for (const one of bound) {
      // Some stacks compile and allocate on the first run.
      const first = await run(one);
      const time = first.seconds > WARM_SECONDS ? first.seconds : (await run(one)).seconds;
      one.repeats = Math.min(MOST_REPEATS, Math.max(1, Math.ceil(SAMPLE_SECONDS / time)));
      round += 2 * one.repeats * time;
    }
    requireTime(session, LEAST_ROUNDS * round);
    const rounds: number[][][] = [];
    while (rounds.length < session.rounds) {
      if (rounds.length >= LEAST_ROUNDS && now() + round > end) break;
      const { rebases } = session;
      const from = now();
      const taken = bound.map((): number[] => []);
      // A B C C B A: a linear drift over a round adds the same to all.
      for (const at of [...bound.keys(), ...[...bound.keys()].reverse()]) {
        const sample = await run(bound[at]);
        if (!sample.off) taken[at].push(Number(sample.seconds.toPrecision(6)));
      }
      // The previous reference was measured at a low clock.
      if (session.rebases !== rebases) rounds.length = 0;
      else rounds.push(taken);
      round = now() - from;
    }
    const { fastest, ratio } = fastestTiling(rounds);
    const samples = tilings.map((_, at) => rounds.flatMap((taken) => taken[at]));
    speeds.set(speedKey, bound[0].flops / summarize(samples[0]).median);
    return {
      ...key,
      tiling: { ...tilings[ratio.high < 1 - MARGIN ? fastest : 0] },
      clock: calibration.record.clock,
      default: { ...tilings[0] },
      ratio: { ...ratio },
      measured: checked.map(({ tiling, refused }) => ({
        tiling: { ...tiling },
        seconds: samples[tilings.indexOf(tiling)] ?? [],
        ...(refused !== undefined && { refused }),
      })),
    };
  } finally {
    layer.destroy();
  }
}

/**
 * The tiling with the lowest median time, and its time over that of the first one, which is the
 * default.
 *
 * @param rounds for each round, the samples of each tiling at the full clock.
 * @throws {RangeError} when the clock left too few rounds.
 */
export function fastestTiling(
  rounds: readonly (readonly (readonly number[])[])[],
): { fastest: number; ratio: Interval } {
  const whole = rounds.filter((taken) => taken.every((samples) => samples.length > 0));
  if (whole.length < LEAST_ROUNDS) {
    throw new RangeError(
      `the clock was right in ${whole.length} of ${rounds.length} rounds, ${LEAST_ROUNDS} are needed`,
    );
  }
  const medians = whole[0].map((_, at) => summarize(whole.flatMap((taken) => taken[at])).median);
  const fastest = medians.indexOf(Math.min(...medians));
  const pairs = whole.map((taken) => ({ numerator: taken[fastest], denominator: taken[0] }));
  return { fastest, ratio: bootstrapRatio(pairs) };
}

/** Before a kernel was timed: a share of the device's ceiling. */
function expectedSpeed({ record }: Calibration, { kernel }: Key): number {
  const rates = (record.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
  const portable = record.fmaF32?.median ?? 1e10;
  return EXPECTED_SHARE * (kernel === "matrix" ? Math.max(portable, ...rates) : portable);
}

/** The tiling that a kernel uses by default. */
function defaultTiling(gpu: Gpu, shape: Key): object {
  const { capabilities } = gpu;
  const { kernel, pass, headDim } = shape;
  if (pass === "forward") {
    return kernel === "matrix"
      ? chooseMatrixTiling(capabilities, shape)
      : chooseTiling(gpu, headDim);
  }
  const { query, keyValue } = kernel === "matrix"
    ? chooseMatrixBackward(capabilities, shape)
    : chooseBackwardTilings(gpu, headDim);
  return pass === "query" ? query : keyValue;
}

/**
 * Tilings of a kernel, the default first. Each must match float64 and give the same bits twice; one
 * that does not is excluded. Checked at a small size, once for all lengths and for both backward
 * passes.
 */
async function checkTilings(session: Session, key: Key): Promise<readonly Checked[]> {
  const { gpu, checked, hooks } = session;
  const { kernel, pass, headDim, dtype } = key;
  const direction = pass === "forward" ? pass : "backward";
  const name = `${kernel} ${direction} d=${headDim} ${dtype}`;
  const own = defaultTiling(gpu, key);
  const space = tilingSpace(gpu.capabilities, key).filter((tiling) =>
    session.among(tiling) || sameTiling(tiling, own)
  );
  const idOf = (tiling: object) => `${name}: ${tilingName(tiling)}`;
  // The default first: the others are compared with it.
  const open = space.filter((tiling) => !checked.has(idOf(tiling)))
    .toSorted((a, b) => Number(sameTiling(b, own)) - Number(sameTiling(a, own)));
  if (open.length > 0) {
    requireTime(session, CHECK_SECONDS);
    const end = now() + CHECKING_SHARE * (session.deadline - now());
    const layer = await allocate(session, { ...key, rows: CHECK_ROWS, heads: 2 });
    try {
      // Dawn compiles on threads of its own. A tiling that does not compile reports that when it is
      // checked.
      if (gpu.stack === "dawn") await Promise.allSettled(open.map((one) => layer.compile(one)));
      for (const [at, tiling] of open.entries()) {
        hooks.signal?.throwIfAborted();
        requireTime(session, CHECK_SECONDS);
        // At least two, so that there is something to compare.
        if (at >= 2 && now() > end) {
          const left = open.length - at;
          hooks.onNote?.(`${name}: no time to check ${left} of ${space.length} tilings`);
          break;
        }
        const refused = await layer.check(tiling).catch((error) => {
          hooks.signal?.throwIfAborted();
          if (gpu.lost() !== undefined) throw error;
          return errorLine(error);
        });
        checked.set(idOf(tiling), refused);
        if (refused !== undefined) hooks.onNote?.(`${idOf(tiling)} is out: ${refused}`);
      }
    } finally {
      layer.destroy();
    }
  }
  const all = space.filter((tiling) => checked.has(idOf(tiling)))
    .map((tiling): Checked => ({ tiling, refused: checked.get(idOf(tiling)) }));
  const first = all.find(({ tiling }) => sameTiling(tiling, own));
  if (!first) throw new RangeError(`the default ${tilingName(own)} is not declared`);
  if (first.refused) throw new RangeError(`the default ${tilingName(own)} fails: ${first.refused}`);
  return [first, ...all.filter((one) => one !== first)];
}
