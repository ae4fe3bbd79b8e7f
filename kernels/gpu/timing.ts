/**
 * Running dispatches and timing them with GPU timestamps and the wall clock.
 *
 * Long work is cut into submissions, so that no single one is predicted to run past a limit:
 * display drivers reset a device that is silent for about two seconds.
 *
 * @module
 */
import { type Dispatch, encodeDispatches, USAGE } from "./buffers.ts";
import type { Gpu } from "./device.ts";

/** A group of dispatches that is timed as one. */
export interface Stage {
  /** As results name it. */
  readonly name: string;
  /** Run in this order. */
  readonly dispatches: readonly Dispatch[];
}

/** Times of one execution, in seconds. */
export interface Timing {
  /** Sum over submissions of last pass end minus first pass begin; null without timestamps. */
  readonly gpuSeconds: number | null;
  /** From before the first submit to the queue being idle. */
  readonly wallSeconds: number;
  /** Seconds of each stage, when stages were timed apart. */
  readonly stages: readonly number[] | null;
}

/** Options of {@linkcode Timer.run}. */
export interface RunOptions {
  /** True: each stage in passes of its own, timed apart. False (default): as few passes as possible. */
  stages?: boolean;
  /** Predicted FLOP per second of the device, to cut submissions by. Default: never cut. */
  flopsPerSecond?: number;
  /** Longest predicted submission. Default 0.25 s. */
  maxSubmissionSeconds?: number;
  /** Stops between submissions. */
  signal?: AbortSignal;
  /** Called between submissions, with the device idle; no clock counts the time it takes. */
  between?: () => Promise<void>;
}

/** The device was lost while work was under way. */
export class DeviceLostError extends Error {
  /** Tells this error by name. */
  override readonly name = "DeviceLostError";
}

const MAX_PASSES = 1024;

/** Runs stages and reads their timestamps. Owns a query set and two buffers. */
export class Timer {
  readonly #gpu: Gpu;
  readonly #queries?: GPUQuerySet;
  readonly #resolved?: GPUBuffer;
  readonly #staging?: GPUBuffer;

  /** Without `timestamp-query` the timer still runs work and reports the wall clock. */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    if (!gpu.capabilities.timestamps) return;
    const count = 2 * MAX_PASSES;
    this.#queries = gpu.device.createQuerySet({ type: "timestamp", count });
    this.#resolved = gpu.device.createBuffer({
      label: "timestamps",
      size: count * 8,
      usage: USAGE.queryResolve | USAGE.copySrc,
    });
    this.#staging = gpu.device.createBuffer({
      label: "timestamps readback",
      size: count * 8,
      usage: USAGE.mapRead | USAGE.copyDst,
    });
  }

  /**
   * Runs all dispatches in order and waits for them.
   *
   * @throws {DeviceLostError} when the device went away.
   * @throws {DOMException} `AbortError` when the signal fired between two submissions.
   */
  async run(stages: readonly Stage[], options: RunOptions = {}): Promise<Timing> {
    const submissions = cut(stages, options);
    const { device } = this.#gpu;
    const passCount = submissions.reduce((sum, passes) => sum + passes.length, 0);
    const timed = this.#queries !== undefined && passCount <= MAX_PASSES;
    const started = performance.now();
    let query = 0;
    let away = 0;
    for (const [i, passes] of submissions.entries()) {
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
      device.queue.submit([encoder.finish()]);
      // One submission in flight: keeps cutting honest, since a driver watches the whole queue.
      if (submissions.length > 1) await this.#idle();
    }
    if (submissions.length === 1) await this.#idle();
    const wallSeconds = (performance.now() - started - away) / 1e3;
    if (!timed || query === 0) return { gpuSeconds: null, wallSeconds, stages: null };
    const stamps = await this.#readStamps(query);
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
    return { gpuSeconds, wallSeconds, stages: options.stages ? perStage : null };
  }

  async #idle(): Promise<void> {
    await this.#gpu.device.queue.onSubmittedWorkDone();
    const lost = this.#gpu.lost();
    if (lost) throw new DeviceLostError(lost);
  }

  async #readStamps(count: number): Promise<BigUint64Array> {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder({ label: "timestamps" });
    encoder.resolveQuerySet(this.#queries!, 0, count, this.#resolved!, 0);
    encoder.copyBufferToBuffer(this.#resolved!, 0, this.#staging!, 0, count * 8);
    device.queue.submit([encoder.finish()]);
    await this.#staging!.mapAsync(1, 0, count * 8);
    const stamps = new BigUint64Array(this.#staging!.getMappedRange(0, count * 8).slice(0));
    this.#staging!.unmap();
    return stamps;
  }

  /** Frees the query set and its buffers. */
  destroy(): void {
    this.#queries?.destroy();
    this.#resolved?.destroy();
    this.#staging?.destroy();
  }
}

interface Pass {
  readonly stage: number;
  readonly dispatches: Dispatch[];
}

/** Cuts stages into submissions of passes. A pass holds one stage, or all when not staged. */
function cut(stages: readonly Stage[], options: RunOptions): Pass[][] {
  const limit = options.flopsPerSecond === undefined
    ? Infinity
    : options.flopsPerSecond * (options.maxSubmissionSeconds ?? 0.25);
  const submissions: Pass[][] = [[]];
  let flops = 0;
  stages.forEach(({ dispatches }, stage) => {
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
  });
  return submissions.filter((passes) => passes.length > 0);
}
