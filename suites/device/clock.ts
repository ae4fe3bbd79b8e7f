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
  /** What the device reported meanwhile, with what a later judgement needs of it. */
  readonly device: DeviceReading & Pick<Sample, "canaryBefore">;
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
    // Any reading may prove that the ones before it had the wrong reference.
    let scale = this.#scale;
    const readings = [before];
    const read = async () => {
      const reading = await this.read();
      const factor = scale / this.#scale;
      scale = this.#scale;
      if (factor !== 1) readings.forEach((one, i) => readings[i] = one * factor);
      readings.push(reading);
      return reading;
    };
    let last = this.#now();
    const between = async () => {
      if (this.#now() - last < BETWEEN_SECONDS) return;
      await read();
      last = this.#now();
    };
    const from = this.#now();
    const result = await work(between);
    const told = this.#options.meter?.(from, this.#now()) ?? {};
    const after = await read();
    const device = { ...told, ...told.atPowerLimit && { canaryBefore: readings[0] } };
    const canary = readings.length < MANY_READINGS ? Math.max(...readings) : mean(readings);
    return { result, canary, after, device, off: this.#options.judged && isLow(canary, device) };
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
 * Whether the clock was down in a sample, for another reason than the sample itself: one at the
 * device's power limit that began at the full clock lowered it alone.
 */
function isLow(
  canary: number,
  { atPowerLimit, canaryBefore }: Pick<Sample, "atPowerLimit" | "canaryBefore">,
): boolean {
  const ownDoing = atPowerLimit === true && canaryBefore !== undefined &&
    canaryBefore <= CLOCK_LIMIT;
  return canary > CLOCK_LIMIT && !ownDoing;
}

/** A reading and its judgement, after the canary's right time became `factor` times shorter. */
export function judgeAgain<T extends Pick<Sample, "atPowerLimit" | "canaryBefore">>(
  { canary, device }: { canary: number; device: T },
  factor: number,
): { canary: number; device: T; off: boolean } {
  const { canaryBefore } = device;
  const scaled = canaryBefore === undefined
    ? device
    : { ...device, canaryBefore: canaryBefore * factor };
  return { canary: canary * factor, device: scaled, off: isLow(canary * factor, scaled) };
}

/**
 * Earlier samples of a case, judged again after the canary's right time became `factor` times
 * shorter.
 */
export function rejudge(samples: readonly Sample[], factor: number): Sample[] {
  return samples.map((sample) => {
    if (sample.canary === undefined) return sample;
    const { canary, device, off } = judgeAgain({ canary: sample.canary, device: sample }, factor);
    return { ...device, canary, ...(off && { flag: sample.flag ?? "clock" as const }) };
  });
}
