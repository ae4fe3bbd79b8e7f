/**
 * Is the device's clock the one it was calibrated at? A small fixed piece of work, the canary, is
 * timed around every sample; METHOD.md explains.
 *
 * @module
 */
import { mean } from "simple-statistics";
import type { Canary } from "./calibrate.ts";
import type { DeviceReading } from "./keep_warm.ts";
import type { Sample } from "../result/result_schema.ts";

/** A canary above this says that the clock is down: such a sample is not counted. */
export const CLOCK_LIMIT = 1.15;

/** Samples at a right clock that a case needs to be conclusive, if it has that many. */
export const LEAST_CLEAN = 2;

/**
 * Longest wait for a clock to come back before one sample, seconds. After each wait in vain the next
 * is half as long: a clock that stays down must not cost the budget of everything else.
 */
const SETTLE_SECONDS = 3;

/** Readings that must agree before a calibration is held to have been too slow. */
const CONFIRMATIONS = 4;

/** Readings of one piece of work from which on their mean says more than the worst of them. */
const MANY_READINGS = 4;

/** Seconds between readings while a long execution goes on. */
const BETWEEN_SECONDS = 0.5;

/** Options of {@linkcode ClockWatch}. */
export interface ClockWatchOptions {
  /** A processor's canary sees the scheduler and not a clock: it is read and never judged. */
  readonly judged: boolean;
  /** Told when readings prove that the calibration saw a slow clock: factor by which it was slower. */
  readonly onRebase?: (factor: number) => void;
  /** What the device told between two moments of `now`, where something reads it beside the run. */
  readonly meter?: (from: number, to: number) => DeviceReading;
  /** Seconds; for tests. */
  readonly now?: () => number;
}

/**
 * Reads the canary and judges what it says.
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
  /** What the calibration's reference has to be multiplied by to be that of a right clock. */
  #scale = 1;

  constructor(canary: Canary, options: ClockWatchOptions) {
    this.#canary = canary;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now() / 1e3);
  }

  /** The canary's time at a right clock, seconds. */
  get referenceSeconds(): number {
    return this.#canary.referenceSeconds * this.#scale;
  }

  /** The canary's time now, divided by that at a right clock. */
  async read(): Promise<number> {
    const reading = await this.#canary.probe() / this.#scale;
    if (!this.#options.judged || reading * CLOCK_LIMIT >= 1) return reading;
    // Faster than calibrated: chance, or a calibration with the clock down. Then all before was.
    const more: number[] = [];
    for (let i = 0; i < CONFIRMATIONS; i++) more.push(await this.#canary.probe() / this.#scale);
    const slowest = Math.max(...more);
    if (slowest * CLOCK_LIMIT >= 1) return reading;
    this.#scale *= slowest;
    this.#options.onRebase?.(1 / slowest);
    return reading / slowest;
  }

  /** Whether a reading says that the clock was down. */
  isOff(reading: number): boolean {
    return this.#options.judged && reading > CLOCK_LIMIT;
  }

  /**
   * Reads until the clock is right, for a few seconds at most, and returns the last reading.
   *
   * @param options `patience`: seconds to wait, whatever earlier waits came to.
   */
  async settle(options: { signal?: AbortSignal; patience?: number } = {}): Promise<number> {
    const end = this.#now() + (options.patience ?? this.#patience);
    let reading = await this.read();
    while (this.isOff(reading) && this.#now() < end) {
      options.signal?.throwIfAborted();
      // Work brings a clock up, waiting brings it down.
      await this.#canary.exercise?.();
      reading = await this.read();
    }
    this.#patience = this.isOff(reading) ? this.#patience / 2 : SETTLE_SECONDS;
    return reading;
  }

  /**
   * What the readings around and during one piece of work say of it, and the one after it: the worst
   * of a few, the mean of many, which is how much longer the work took; and what the device told
   * meanwhile.
   */
  async around<T>(
    before: number,
    work: (between: () => Promise<void>) => Promise<T>,
  ): Promise<{ result: T; canary: number; after: number; device: DeviceReading }> {
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
    return { result, canary, after, device };
  }
}

/** Why the samples of a case say nothing; undefined when enough were taken at a right clock. */
export function inconclusiveReason(samples: readonly Sample[]): string | undefined {
  const flagged = samples.filter((sample) => sample.flag === "clock");
  const clean = samples.length - flagged.length;
  if (flagged.length === 0 || clean >= LEAST_CLEAN) return undefined;
  const readings = flagged.map(({ canary = NaN }) => canary).sort((a, b) => a - b);
  const [least, most] = [readings[0], readings[readings.length - 1]].map((x) => x.toPrecision(3));
  return `the clock was down in ${flagged.length} of ${samples.length} samples: ` +
    `the canary took ${least === most ? least : `${least} to ${most}`} times its own time`;
}

/** Samples of an earlier case by a canary whose right time turned out to be shorter by `factor`. */
export function rejudge(samples: readonly Sample[], factor: number): Sample[] {
  return samples.map((sample) => {
    if (sample.canary === undefined) return sample;
    const canary = sample.canary * factor;
    const flagged = canary > CLOCK_LIMIT || sample.flag === "clock";
    return { ...sample, canary, ...(flagged && { flag: "clock" as const }) };
  });
}
