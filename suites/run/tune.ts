/**
 * The autotuner of dense attention: measures every declared tiling that fits a device, and says which
 * one to take for each number of queries. METHOD.md says how; nothing but time depends on what it finds.
 *
 * @module
 */
import { chooseTiling } from "../../kernels/dense_attention/portable/portable_plan.ts";
import {
  createDenseAttention,
  planDenseAttention,
} from "../../kernels/dense_attention/dense_attention.ts";
import { type DenseKernel, HEAD_DIMS } from "../../kernels/dense_attention/types.ts";
import { chooseBackwardTilings } from "../../kernels/dense_attention/portable/portable_backward.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../../kernels/dense_attention/dense_attention_backward.ts";
import {
  createMatrixScratch,
  hasRoom,
  type MatrixBackwardScratch,
} from "../../kernels/dense_attention/matrix/dense_matrix_backward.ts";
import {
  chooseMatrixBackward,
  chooseMatrixTiling,
} from "../../kernels/dense_attention/matrix/dense_matrix.ts";
import { sameTiling, tilingName } from "../../kernels/dense_attention/tilings.ts";
import { tilingSpace, withTuning } from "../../kernels/dense_attention/tuning.ts";
import {
  createTensor,
  type Dispatch,
  type DType,
  headsPerBlock,
  type Tensor,
  type TensorShape,
} from "../../kernels/gpu/buffers.ts";
import type { Gpu, TunedTiling } from "../../kernels/gpu/device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { Timer } from "../../kernels/gpu/timing.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import type { LayerInputs } from "../../kernels/implementation.ts";
import { calibrate, type Calibration } from "../device/calibrate.ts";
import { checkOutputs, digestOutputs, failureOf, withDeterminism } from "../check/check.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { ClockWatch } from "../device/clock.ts";
import { errorLine, UsageError } from "../errors.ts";
import { DISPATCH_SECONDS } from "../measure/session.ts";
import type { Layer } from "../plan/measurable.ts";
import { bootstrapRatio, type Interval, summarize } from "../statistics/statistics.ts";
import { describeKernel, type TuningEntry } from "../device/tuning_file.ts";

/** Options of {@linkcode tune}. */
export interface TuneOptions {
  /** N, powers of two. Default 4,096, 16,384 and 65,536; on a software adapter 1,024. */
  contexts?: readonly number[];
  /** d. Default 64 and 128, on a software adapter 64. */
  headDims?: readonly number[];
  /** Default f16 where the device has it. */
  dtypes?: readonly DType[];
  /** Default both. */
  directions?: readonly ("forward" | "backward")[];
  /** Default: the text that the device gets by itself. */
  kernels?: readonly DenseKernel[];
  /** H. Default 8, on a software adapter 1; less where a tensor of all would not fit one binding. */
  heads?: number;
  /** Seconds for everything. What does not fit is left out with a line. Default 120. */
  budgetSeconds?: number;
  /** Most rounds of each kernel, two samples of every tiling each; at least 3. Default 8. */
  rounds?: number;
  /** Seed of the inputs. Default 1010. */
  seed?: number;
  /** Kernels that need no measuring. Default: none. */
  known?: readonly Omit<TunedTiling, "tiling">[];
  /** Of the device. Default: it is calibrated first. */
  calibration?: Calibration;
  /** Which declared tilings take part beside the default. Default: all that fit the device. */
  among?: (tiling: object) => boolean;
}

/** Hooks of {@linkcode tune}. */
export interface TuneHooks {
  /** Told in one line what is left out and why. */
  onNote?: (line: string) => void;
  /** Told what begins, with the number of kernels that are done. */
  onStep?: (step: { text: string; done: number; total: number }) => void;
  /** Told of each measured kernel. */
  onEntry?: (entry: TuningEntry) => void;
  /** Stops between two executions; what is measured by then is returned. */
  signal?: AbortSignal;
}

/** Rounds of every kernel: of fewer than three the pairs say little. */
const LEAST_ROUNDS = 3;

/** A tiling is taken instead of the default when it is faster by more than this, at 95 %. */
const MARGIN = 0.01;

/** A sample runs as often as takes about this many seconds, so that starts and ends weigh little. */
const SAMPLE_SECONDS = 4e-3;
const MOST_REPEATS = 50;

/** What the check of one tiling is expected to take; on some stacks it compiles longer. */
const CHECK_SECONDS = 0.5;

/** Share of the time left that checking the tilings of one kernel may take. */
const CHECKING_SHARE = 0.5;

/** Rows of the check: odd, and more than any tile has. */
const CHECK_ROWS = 277;

/** An execution this long has warmed itself up. */
const LONG_SECONDS = 0.25;

/** Share of a ceiling that a kernel is expected to reach before one was measured. */
const EXPECTED_SHARE = 0.3;

/** A kernel at one size; heads are those of one block. */
type Key = Omit<TunedTiling, "tiling"> & { readonly heads: number };

interface Session {
  readonly gpu: Gpu;
  readonly timer: Timer;
  readonly calibration: Calibration;
  readonly clock: ClockWatch;
  readonly hooks: TuneHooks;
  readonly seed: number;
  readonly rounds: number;
  readonly among: (tiling: object) => boolean;
  /** Seconds of `performance.now()`. */
  readonly deadline: number;
  /** FLOP per second of kernels as last measured. */
  readonly speeds: Map<string, number>;
  /** How often the clock's reference turned out to be of a slow clock. */
  rebases: number;
  /** Of each tiling that was checked, why it is out, if it is. */
  readonly checked: Map<string, string | undefined>;
}

interface Checked {
  readonly tiling: object;
  readonly refused?: string;
}

/**
 * Measures kernels one after the other, short contexts first.
 *
 * @throws {UsageError} when the options cannot be used: one line with the value and the limit.
 * @throws {DeviceLostError} when the device went away.
 */
export async function tune(
  gpu: Gpu,
  options: TuneOptions = {},
  hooks: TuneHooks = {},
): Promise<TuningEntry[]> {
  using _workers = holdWorkers();
  // Tilings that the device was given are no defaults.
  gpu = withTuning(gpu, []);
  const keys = planKeys(gpu, options);
  const deadline = now() + (options.budgetSeconds ?? 120);
  const timer = new Timer(gpu);
  const { signal } = hooks;
  const entries: TuningEntry[] = [];
  let calibration = options.calibration;
  try {
    hooks.onStep?.({ text: "calibrating the device", done: 0, total: keys.length });
    calibration ??= await calibrate(gpu, timer, { signal });
    const session: Session = {
      gpu,
      timer,
      calibration,
      clock: new ClockWatch(calibration.canary, {
        judged: !gpu.adapter.software,
        onRebase: () => session.rebases++,
      }),
      rebases: 0,
      hooks,
      seed: options.seed ?? 1010,
      rounds: Math.max(LEAST_ROUNDS, options.rounds ?? 8),
      among: options.among ?? (() => true),
      deadline,
      speeds: new Map(),
      checked: new Map(),
    };
    for (const [done, key] of keys.entries()) {
      signal?.throwIfAborted();
      hooks.onStep?.({ text: describeKernel(key), done, total: keys.length });
      try {
        const entry = await tuneKernel(session, key, { share: 1 / (keys.length - done) });
        entries.push(entry);
        hooks.onEntry?.(entry);
      } catch (error) {
        signal?.throwIfAborted();
        if (gpu.lost() !== undefined) throw error;
        hooks.onNote?.(`${describeKernel(key)}: not measured: ${errorLine(error)}`);
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
    hooks.onNote?.("stopped before the end; what was measured is kept");
  } finally {
    if (!options.calibration) calibration?.canary.destroy();
    timer.destroy();
  }
  return entries;
}

/** Which kernels are measured, the cheapest first. */
function planKeys(gpu: Gpu, options: TuneOptions): Key[] {
  const { f16 } = gpu.capabilities;
  const contexts = options.contexts ?? (gpu.adapter.software ? [1024] : [4096, 16384, 65536]);
  const headDims = options.headDims ?? (gpu.adapter.software ? [64] : [64, 128]);
  const dtypes = options.dtypes ?? [f16 ? "f16" as const : "f32" as const];
  const directions = options.directions ?? ["forward", "backward"];
  const most = options.heads ?? (gpu.adapter.software ? 1 : 8);
  for (const rows of contexts) {
    if (!Number.isInteger(Math.log2(rows))) {
      throw new UsageError(`tune: context ${rows} is not a power of two`);
    }
  }
  for (const headDim of headDims) {
    if (!HEAD_DIMS.includes(headDim)) {
      throw new UsageError(`tune: head dimension ${headDim} is not one of ${HEAD_DIMS.join(", ")}`);
    }
  }
  if (dtypes.includes("f16") && !f16) {
    throw new UsageError("tune: dtype f16: the device does not grant shader-f16");
  }
  const passes = (["forward", "query", "key-value"] as const).filter((pass) =>
    directions.includes(pass === "forward" ? "forward" : "backward")
  );
  const keys = contexts.toSorted((a, b) => a - b).flatMap((rows) =>
    headDims.flatMap((headDim) =>
      dtypes.flatMap((dtype) => {
        const heads = headsOfBlock(gpu, { heads: most, rows, dim: headDim, dtype });
        return passes.flatMap((pass) =>
          kernelsOf(gpu, { ...options, pass, rows, headDim, dtype })
            .map((kernel): Key => ({ kernel, pass, headDim, dtype, rows, heads }))
        );
      })
    )
  );
  const isKnown = (key: Key) =>
    options.known?.some((one) =>
      describeKernel({ ...one, heads: one.heads ?? key.heads }) === describeKernel(key)
    );
  return keys.filter((key) => !isKnown(key));
}

/** As many heads as fit a binding; all where not even one does, which allocating it will say. */
function headsOfBlock(gpu: Gpu, shape: TensorShape): number {
  try {
    return headsPerBlock(gpu, [shape]);
  } catch (error) {
    if (error instanceof RangeError) return shape.heads;
    throw error;
  }
}

function kernelsOf(
  gpu: Gpu,
  options: TuneOptions & Omit<Key, "kernel" | "heads">,
): readonly DenseKernel[] {
  if (options.kernels) return options.kernels;
  const { pass, rows, headDim, dtype } = options;
  const plan = pass === "forward" ? planDenseAttention : planDenseBackward;
  return [plan(gpu, { heads: 1, rows, headDim, dtype }).kernel];
}

/** Seconds. */
function now(): number {
  return performance.now() / 1e3;
}

/** @throws {RangeError} when something takes more seconds than are left. */
function requireTime({ deadline }: Session, needed: number): void {
  const left = Math.max(0, deadline - now());
  if (needed < left) return;
  throw new RangeError(
    `it takes about ${needed.toPrecision(2)} s, ${left.toFixed(1)} s of the budget are left`,
  );
}

/** Checks and measures all tilings of a kernel. `share`: how much of the time left it may take. */
async function tuneKernel(
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
      const { result, canary, after } = await clock.around(
        reading,
        (between) => session.timer.run([stage], { flopsPerSecond, signal, between }),
      );
      reading = after;
      return { seconds: calibration.secondsOf(result) / repeats, off: clock.isOff(canary) };
    };
    let round = 0;
    for (const one of bound) {
      // Some stacks compile and allocate when something first runs.
      const first = await run(one);
      const time = first.seconds > LONG_SECONDS ? first.seconds : (await run(one)).seconds;
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
      // A B C C B A: what changes linearly over a round adds the same to all.
      for (const at of [...bound.keys(), ...[...bound.keys()].reverse()]) {
        const sample = await run(bound[at]);
        if (!sample.off) taken[at].push(Number(sample.seconds.toPrecision(6)));
      }
      // What was believed until now was measured at a slow clock.
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
 * The tiling of the least median time, and its time over that of the first one, which is the default.
 *
 * @param rounds of each round the samples of each tiling, those at a right clock.
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

/** Before a kernel was timed: a share of the device's own ceiling. */
function expectedSpeed({ record }: Calibration, { kernel }: Key): number {
  const rates = (record.matrix ?? []).map(({ flopsPerSecond }) => flopsPerSecond.median);
  const portable = record.fmaF32?.median ?? 1e10;
  return EXPECTED_SHARE * (kernel === "matrix" ? Math.max(portable, ...rates) : portable);
}

/** The tiling that a kernel takes by itself. */
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
 * Tilings of a kernel, the default first. Each must match float64 and leave the same bits twice; one
 * that does not is out. At a small size, once for all lengths and, of a backward pass, for both.
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
  // The default first: nothing is compared without it.
  const open = space.filter((tiling) => !checked.has(idOf(tiling)))
    .toSorted((a, b) => Number(sameTiling(b, own)) - Number(sameTiling(a, own)));
  if (open.length > 0) {
    requireTime(session, CHECK_SECONDS);
    const end = now() + CHECKING_SHARE * (session.deadline - now());
    const layer = await allocate(session, { ...key, rows: CHECK_ROWS, heads: 2 });
    try {
      // Dawn compiles on threads of its own. What does not compile says so when it is checked.
      if (gpu.stack === "dawn") await Promise.allSettled(open.map((one) => layer.compile(one)));
      for (const [at, tiling] of open.entries()) {
        hooks.signal?.throwIfAborted();
        requireTime(session, CHECK_SECONDS);
        // Two at least: there is something to compare then.
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

/** A kernel bound to its buffers. */
interface Bound {
  readonly dispatches: readonly Dispatch[];
  readonly flops: number;
  /** Executions in a sample. */
  repeats: number;
}

/** Buffers of a kernel at one length, and what can be done with any of its tilings there. */
interface TiledLayer {
  readonly heads: number;
  readonly bind: (tiling: object) => Promise<Bound>;
  /** Compiles all that a check of the tiling runs. */
  readonly compile: (tiling: object) => Promise<unknown>;
  /** Runs the layer with the tiling and says what is wrong with its results, if anything is. */
  readonly check: (tiling: object) => Promise<string | undefined>;
  readonly destroy: () => void;
}

/** Allocates seeded inputs and results of one block of heads; for gradients, runs what they need. */
async function allocate(
  session: Session,
  key: Key,
  options: { flopsPerSecond?: number } = {},
): Promise<TiledLayer> {
  const { gpu, seed, timer, hooks: { signal } } = session;
  const { kernel, pass, rows, headDim, dtype, heads } = key;
  const { flopsPerSecond } = options;
  const owned: { destroy: () => void }[] = [];
  const destroy = () => owned.splice(0).reverse().forEach((thing) => thing.destroy());
  const own = <T extends { destroy: () => void }>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const tensor = async (label: string, shape: Partial<TensorShape> = {}) =>
    own(await createTensor(gpu, { heads, rows, dim: headDim, dtype, ...shape }, { label }));
  const seeded = async (label: string, offset: number) => {
    const filled = await tensor(label);
    await fillSeeded(gpu, filled, seed + offset);
    return filled;
  };
  const statistic = { dim: 1, dtype: "f32" } as const;
  const size = {
    heads,
    rows,
    headDim,
    dtype,
    flopsPerDispatch: flopsPerSecond && flopsPerSecond * DISPATCH_SECONDS,
  };
  const tuned = (tiling: object, passes = [pass]) =>
    withTuning(gpu, passes.map((pass) => ({ ...key, pass, tiling: { ...tiling } })));
  const data = ({ blocks }: Tensor) => blocks[0].data;
  const run = (dispatches: readonly Dispatch[]) =>
    timer.run([{ name: pass, dispatches }], { flopsPerSecond, signal });
  try {
    const inputs = {
      q: await seeded("queries", 0),
      k: await seeded("keys", 1),
      v: await seeded("values", 2),
    };
    const output = await tensor("output");
    const lse = await tensor("log-sum-exp", statistic);
    const shared = { q: data(inputs.q), k: data(inputs.k), v: data(inputs.v), lse: data(lse) };
    const forward = async (device: Gpu, asked?: DenseKernel) => {
      const plan = planDenseAttention(device, { ...size, kernel: asked });
      return own(await createDenseAttention(device, plan)).bind({ ...shared, o: data(output) });
    };
    const check = async (
      parts: { layer: Pick<Layer, "outputs">; inputs: LayerInputs; dispatches: Dispatch[] },
    ) => {
      const layer = {
        ...parts.layer,
        stages: [pass],
        execute: () => run(parts.dispatches),
        destroy,
      };
      await layer.execute();
      const first = await digestOutputs(gpu, layer);
      await layer.execute();
      const { gradients } = layer.outputs;
      const direction = gradients ? "forward-backward" as const : "forward" as const;
      const shape = { heads, context: rows, headDim, dtype };
      const found = await checkOutputs(gpu, layer, {
        problem: { shape, direction },
        implementation: dense,
        inputs: parts.inputs,
        seed,
        extent: "whole",
        kernel: gradients && kernel,
        signal,
      });
      return failureOf(withDeterminism(found.check, { first, last: found.digest }));
    };
    const bound = (dispatches: readonly Dispatch[]): Bound => ({
      dispatches,
      flops: dispatches.reduce((sum, { flops }) => sum + flops, 0),
      repeats: 1,
    });
    if (pass === "forward") {
      return {
        heads,
        bind: async (tiling) => bound(await forward(tuned(tiling), kernel)),
        compile: (tiling) => forward(tuned(tiling), kernel),
        check: async (tiling) =>
          await check({
            layer: { outputs: { output, lse } },
            inputs,
            dispatches: await forward(tuned(tiling), kernel),
          }),
        destroy,
      };
    }
    const outputGradient = await seeded("output gradient", 3);
    const delta = await tensor("delta", statistic);
    const gradients = {
      q: await tensor("q gradient"),
      k: await tensor("k gradient"),
      v: await tensor("v gradient"),
    };
    let scratch: MatrixBackwardScratch | undefined;
    const backward = async (device: Gpu) => {
      const plan = planDenseBackward(device, { ...size, kernel });
      // One for all tilings that it has room for: they run one after the other.
      if (plan.schedule && (!scratch || !hasRoom(scratch, plan.schedule))) {
        scratch = own(await createMatrixScratch(gpu, plan.schedule));
      }
      const compiled = own(await createDenseBackward(device, plan, { scratch }));
      const buffers = {
        ...shared,
        o: data(output),
        outputGradient: data(outputGradient),
        delta: data(delta),
        queryGradient: data(gradients.q),
        keyGradient: data(gradients.k),
        valueGradient: data(gradients.v),
      };
      return {
        all: () => compiled.bind(buffers),
        passes: () => compiled.bindPasses(buffers),
      };
    };
    // Both passes are checked at once.
    const both = (tiling: object) => backward(tuned(tiling, ["query", "key-value"]));
    const outputs = await forward(gpu);
    // Each pass reads what those before it leave.
    await run([...outputs, ...(await backward(gpu)).all()]);
    return {
      heads,
      bind: async (tiling) => {
        const { query, keyValue } = (await backward(tuned(tiling))).passes();
        return bound(pass === "query" ? query : keyValue);
      },
      compile: both,
      check: async (tiling) => {
        const { all } = await both(tiling);
        return await check({
          layer: { outputs: { output, lse, gradients } },
          inputs: { ...inputs, outputGradient },
          dispatches: [...outputs, ...all()],
        });
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
