/**
 * Runs dispatches and times them with GPU timestamps and the wall clock.
 *
 * Long work is split into submissions so that each is predicted to stay below a time limit: display
 * drivers reset a device that does not answer for about two seconds.
 *
 * @module
 */
import {
  createSmallBuffer,
  type Dispatch,
  encodeDispatches,
  requireDispatches,
  USAGE,
} from "./buffers.ts";
import { freePolls } from "./dawn_polling.ts";
import type { Gpu } from "./device.ts";
import { requirePositive, requireWhole } from "./require.ts";
import { guard, RefusedError, submit, waitFor } from "./submit.ts";

export { DeviceLostError } from "./device.ts";

/** A group of dispatches that is timed together. */
export interface Stage {
  /** Its name in results. */
  readonly name: string;
  /** The dispatches, in order. */
  readonly dispatches: readonly Dispatch[];
}

/** Times of one execution, in seconds. */
export interface Timing {
  /** Sum over submissions of last pass end minus first pass begin; null without timestamps. */
  readonly gpuSeconds: number | null;
  /** From before the first submission until the queue is idle. */
  readonly wallSeconds: number;
  /** Seconds of each stage, if stages were timed separately. */
  readonly stages: readonly number[] | null;
}

/** Options of {@linkcode Timer.run}. */
export interface RunOptions {
  /**
   * True: each stage has its own passes and is timed. False (default): as few passes as possible.
   */
  stages?: boolean;
  /** Predicted FLOP per second of the device, used to split submissions. Default: never split. */
  flopsPerSecond?: number;
  /** Longest predicted submission. Default 0.25 s. */
  maxSubmissionSeconds?: number;
  /**
   * Executions between the first timestamp and the last, for layers that are short compared with a
   * step of the device's clock. Times are per execution. Default 1.
   */
  repeat?: number;
  /** Stops between submissions. */
  signal?: AbortSignal;
  /** Called between submissions, with the device idle; its time is not counted. */
  between?: () => Promise<void>;
}

/** Passes of an execution that can be timed; one of more has no GPU seconds. */
export const MAX_PASSES = 1024;

/** Above this even an empty layer is long compared with any clock's step. */
const MOST_REPEATS = 10_000;

/** Runs stages and reads their timestamps. Owns a query set and two buffers. */
export class Timer {
  readonly #gpu: Gpu;
  readonly #queries?: GPUQuerySet;
  readonly #resolved?: GPUBuffer;
  readonly #staging?: GPUBuffer;
  #destroyed = false;

  /** Without `timestamp-query` the timer still runs work and reports wall-clock times. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    if (!gpu.capabilities.timestamps) return;
    const count = 2 * MAX_PASSES;
    const queries = () => gpu.device.createQuerySet({ type: "timestamp", count });
    this.#queries = guard(gpu, "create timestamps", queries).value;
    this.#resolved = createSmallBuffer(gpu, {
      label: "timestamps",
      size: count * 8,
      usage: USAGE.queryResolve | USAGE.copySrc,
    });
    this.#staging = createSmallBuffer(gpu, {
      label: "timestamps readback",
      size: count * 8,
      usage: USAGE.mapRead | USAGE.copyDst,
    });
  }

  /**
   * Runs all dispatches in order, the requested number of times, and waits for them.
   *
   * @throws {RangeError} when a buffer that they need was destroyed; nothing runs then.
   * @throws {RefusedError} when the device refused a submission, or failed at it.
   * @throws {MemoryError} when the device ran out of memory.
   * @throws {DeviceLostError} when the device was lost or destroyed.
   * @throws {DOMException} `AbortError` when the signal fired between two submissions.
   */
  async run(stages: readonly Stage[], options: RunOptions = {}): Promise<Timing> {
    const action = `run ${stages.map(({ name }) => name).join(", ") || "nothing"}`;
    requirePositive(action, "flopsPerSecond", options.flopsPerSecond);
    requirePositive(action, "maxSubmissionSeconds", options.maxSubmissionSeconds);
    const { repeat = 1 } = options;
    requireWhole(action, "repeat", repeat, { most: MOST_REPEATS });
    if (this.#destroyed) throw new RangeError(`${action}: the layer's timer was destroyed`);
    for (const { dispatches } of stages) requireDispatches(this.#gpu, action, dispatches);
    const submissions = cut(stages, options);
    const { device } = this.#gpu;
    const submitted: Promise<void>[] = [];
    let refused = false;
    const passCount = submissions.reduce((sum, passes) => sum + passes.length, 0);
    const timed = this.#queries !== undefined && passCount <= MAX_PASSES;
    freePolls();
    const started = performance.now();
    let query = 0;
    let away = 0;
    for (const [i, passes] of submissions.entries()) {
      if (refused) break;
      options.signal?.throwIfAborted();
      if (i > 0 && options.between) {
        const left = performance.now();
        await options.between();
        away += performance.now() - left;
      }
      const encoder = device.createCommandEncoder();
      for (const { dispatches } of passes) {
        const pass = encoder.beginComputePass(
          timed
            ? {
              timestampWrites: {
                querySet: this.#queries!,
                beginningOfPassWriteIndex: query++,
                endOfPassWriteIndex: query++,
              },
            }
            : undefined,
        );
        encodeDispatches(pass, dispatches);
        pass.end();
      }
      const taken = submit(this.#gpu, encoder, action);
      taken.catch(() => refused = true);
      submitted.push(taken);
      // One submission in flight: keeps the split effective, since a driver watches the whole
      // queue.
      if (submissions.length > 1) await this.#idle(action);
    }
    if (submissions.length === 1) await this.#idle(action);
    const wallSeconds = (performance.now() - started - away) / 1e3 / repeat;
    // Known before the device was idle, so the await adds no measured time.
    await Promise.all(submitted);
    if (!timed || query === 0) return { gpuSeconds: null, wallSeconds, stages: null };
    const stamps = await this.#readStamps(query, action);
    let gpuSeconds = 0;
    let at = 0;
    const perStage = stages.map(() => 0);
    for (const passes of submissions) {
      const first = at;
      for (const { stage } of passes) {
        perStage[stage] += Number(stamps[at + 1] - stamps[at]) / 1e9;
        at += 2;
      }
      gpuSeconds += Number(stamps[at - 1] - stamps[first]) / 1e9;
    }
    return {
      gpuSeconds: gpuSeconds / repeat,
      wallSeconds,
      stages: options.stages ? perStage.map((seconds) => seconds / repeat) : null,
    };
  }

  async #idle(action: string): Promise<void> {
    await waitFor(this.#gpu, this.#gpu.device.queue.onSubmittedWorkDone(), action);
  }

  async #readStamps(count: number, action: string): Promise<BigUint64Array> {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder({ label: "timestamps" });
    encoder.resolveQuerySet(this.#queries!, 0, count, this.#resolved!, 0);
    encoder.copyBufferToBuffer(this.#resolved!, 0, this.#staging!, 0, count * 8);
    const submitted = submit(this.#gpu, encoder, action);
    const mapped = guard(this.#gpu, action, () => this.#staging!.mapAsync(1, 0, count * 8));
    mapped.value.catch(() => {});
    await submitted;
    await mapped.settled;
    await waitFor(this.#gpu, mapped.value, action);
    const stamps = new BigUint64Array(this.#staging!.getMappedRange(0, count * 8).slice(0));
    this.#staging!.unmap();
    requireStamps(stamps, action);
    return stamps;
  }

  /** Frees the query set and its buffers. */
  destroy(): void {
    this.#destroyed = true;
    this.#queries?.destroy();
    this.#resolved?.destroy();
    this.#staging?.destroy();
  }
}

/**
 * Checks that the device wrote both timestamps of every pass, and in order.
 *
 * @throws {RefusedError} when it did not: no time is reported then.
 */
export function requireStamps(stamps: BigUint64Array, action: string): void {
  for (let i = 0; i < stamps.length; i += 2) {
    const [begin, end] = [stamps[i], stamps[i + 1]];
    if (begin > 0n && begin <= end) continue;
    throw new RefusedError(
      `${action}: the device's timestamps of pass ${
        i / 2
      } are ${begin} and ${end} ns, out of order`,
    );
  }
}

interface Pass {
  readonly stage: number;
  readonly dispatches: Dispatch[];
}

/** Splits stages into submissions of passes. A pass holds one stage, or all if not staged. */
function cut(stages: readonly Stage[], options: RunOptions): Pass[][] {
  const limit = options.flopsPerSecond === undefined
    ? Infinity
    : options.flopsPerSecond * (options.maxSubmissionSeconds ?? 0.25);
  const submissions: Pass[][] = [[]];
  let flops = 0;
  const { repeat = 1 } = options;
  const all = Array.from({ length: repeat }, () => [...stages.entries()]).flat();
  for (const [stage, { dispatches }] of all) {
    for (const dispatch of dispatches) {
      let passes = submissions[submissions.length - 1];
      if (flops > 0 && flops + dispatch.flops > limit) {
        submissions.push(passes = []);
        flops = 0;
      }
      const last = passes[passes.length - 1];
      const same = last && (!options.stages || last.stage === stage);
      if (same) last.dispatches.push(dispatch);
      else passes.push({ stage, dispatches: [dispatch] });
      flops += dispatch.flops;
    }
  }
  return submissions.filter((passes) => passes.length > 0);
}
