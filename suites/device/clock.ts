/**
 * Checks whether the device still runs at its calibrated clock. A small fixed piece of work, the
 * canary, is timed around every sample; METHOD.md explains.
 *
 * @module
 */
import { mean } from "simple-statistics";
import type { Canary } from "./calibrate.ts";
import type { DeviceReading } from "./keep_warm.ts";
import type { Sample } from "../result/result_schema.ts";

/**
 * A canary above this means that the clock is low: such a sample is not counted, but for
 * `Around.off`.
 */
export const CLOCK_LIMIT = 1.15;

/** Samples at the full clock that a case needs to be conclusive, if it has that many. */
export const LEAST_CLEAN = 2;

/**
 * Longest wait for the clock to recover before one sample, seconds. Each failed wait halves the
 * next one: a clock that stays low must not use up the budget of everything else.
 */
const SETTLE_SECONDS = 3;

/** Readings that must agree before a calibration is considered too slow. */
const CONFIRMATIONS = 4;

/**
 * Number of readings of one piece of work from which their mean is more reliable than the worst.
 */
const MANY_READINGS = 4;

/** Seconds between readings during a long execution. */
const BETWEEN_SECONDS = 0.5;

/** Work between readings of the canary, and what they say of it. */
export interface Around<T> {
  readonly result: T;
  /** The worst of a few readings, or the mean of many, which is how much longer the work took. */
  readonly canary: number;
  /** The reading that follows. */
  readonly after: number;
  /** What the device reported meanwhile. */
  readonly device: DeviceReading;
  /**
   * Whether the clock was down for another reason than the work: it is not the work's own time
   * then. Work that draws as much power as the device may, from a full clock on, lowers the clock
   * itself: that is its sustained speed.
   */
  readonly off: boolean;
}

/** Options of {@linkcode ClockWatch}. */
export interface ClockWatchOptions {
  /** A processor's canary measures the scheduler and not a clock: it is read but not judged. */
  readonly judged: boolean;
  /**
   * Called when readings prove that calibration ran at a low clock, with the factor it was slower
   * by.
   */
  readonly onRebase?: (factor: number) => void;
  /** Device readings between two moments of `now`, if something records them during the run. */
  readonly meter?: (from: number, to: number) => DeviceReading;
  /** Seconds; for tests. */
  readonly now?: () => number;
}

/**
 * Reads the canary and judges the readings.
 *
 * @example
 * ```ts
 * import { ClockWatch } from "./clock.ts";
 * import assert from "node:assert/strict";
 * const canary = { referenceSeconds: 1e-4, probe: () => Promise.resolve(5.7), destroy: () => {} };
 * const clock = new ClockWatch(canary, { judged: true });
 * assert.ok(clock.isOff(await clock.read()));
 * ```
 */
export class ClockWatch {
  readonly #canary: Canary;
  readonly #options: ClockWatchOptions;
  readonly #now: () => number;
  #patience = SETTLE_SECONDS;
  /** Factor from the calibration's reference to the reference at the full clock. */
  #scale = 1;

  constructor(canary: Canary, options: ClockWatchOptions) {
    this.#canary = canary;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now() / 1e3);
  }

  /** The canary's time at the full clock, seconds. */
  get referenceSeconds(): number {
    return this.#canary.referenceSeconds * this.#scale;
  }

  /** The canary's time now, divided by that at the full clock. */
  async read(): Promise<number> {
    const reading = await this.#canary.probe() / this.#scale;
    if (!this.#options.judged || reading * CLOCK_LIMIT >= 1) return reading;
    // Faster than calibrated: chance, or a calibration at a low clock. Then all earlier readings
    // were low.
    const more: number[] = [];
    for (let i = 0; i < CONFIRMATIONS; i++) more.push(await this.#canary.probe() / this.#scale);
    const slowest = Math.max(...more);
    if (slowest * CLOCK_LIMIT >= 1) return reading;
    this.#scale *= slowest;
    this.#options.onRebase?.(1 / slowest);
    return reading / slowest;
  }

  /** Whether a reading shows a low clock. */
  isOff(reading: number): boolean {
    return this.#options.judged && reading > CLOCK_LIMIT;
  }

  /**
   * Reads until the clock is full again, for a few seconds at most, and returns the last reading.
   *
   * @param options `patience`: seconds to wait, whatever the outcome of earlier waits.
   */
  async settle(options: { signal?: AbortSignal; patience?: number } = {}): Promise<number> {
    const end = this.#now() + (options.patience ?? this.#patience);
    let reading = await this.read();
    while (this.isOff(reading) && this.#now() < end) {
      options.signal?.throwIfAborted();
      // Work raises a clock, waiting lowers it.
      await this.#canary.exercise?.();
      reading = await this.read();
    }
    this.#patience = this.isOff(reading) ? this.#patience / 2 : SETTLE_SECONDS;
    return reading;
  }

  /**
   * Judges one piece of work by the readings around and during it.
   *
   * @param before the last reading.
   */
  async around<T>(
    before: number,
    work: (between: () => Promise<void>) => Promise<T>,
  ): Promise<Around<T>> {
    const readings = [before];
    let last = this.#now();
    const between = async () => {
      if (this.#now() - last < BETWEEN_SECONDS) return;
      readings.push(await this.read());
      last = this.#now();
    };
    const from = this.#now();
    const result = await work(between);
    const device = this.#options.meter?.(from, this.#now()) ?? {};
    const after = await this.read();
    readings.push(after);
    const canary = readings.length < MANY_READINGS ? Math.max(...readings) : mean(readings);
    const ownDoing = device.atPowerLimit === true && !this.isOff(before);
    return { result, canary, after, device, off: this.isOff(canary) && !ownDoing };
  }
}

/** Why the samples of a case are inconclusive; undefined if enough were taken at the full clock. */
export function inconclusiveReason(samples: readonly Sample[]): string | undefined {
  const flagged = samples.filter((sample) => sample.flag === "clock");
  const clean = samples.length - flagged.length;
  if (flagged.length === 0 || clean >= LEAST_CLEAN) return undefined;
  const readings = flagged.map(({ canary = NaN }) => canary).sort((a, b) => a - b);
  const [least, most] = [readings[0], readings[readings.length - 1]].map((x) => x.toPrecision(3));
  return `the clock was down in ${flagged.length} of ${samples.length} samples: ` +
    `the canary took ${least === most ? least : `${least} to ${most}`} times its own time`;
}

/**
 * Earlier samples of a case, judged again after the canary's right time became `factor` times
 * shorter.
 */
export function rejudge(samples: readonly Sample[], factor: number): Sample[] {
  return samples.map((sample) => {
    if (sample.canary === undefined) return sample;
    const canary = sample.canary * factor;
    const flagged = canary > CLOCK_LIMIT || sample.flag === "clock";
    return { ...sample, canary, ...(flagged && { flag: "clock" as const }) };
  });
}
