/**
 * Formats units for output: records hold seconds, bytes and FLOP; only the functions here turn them into
 * text. None of them depends on the locale, the clock or the machine, so that a report of the same
 * file is the same bytes everywhere.
 *
 * @module
 */
import type { Spread } from "../data/spread.ts";

/** Shown for a number that is absent or not finite. */
export const ABSENT = "–";

/** Three significant digits without an exponent: `1.32`, `13.2`, `132`, `1,320`. */
export function formatSignificant(value: number): string {
  if (!Number.isFinite(value)) return ABSENT;
  if (value === 0) return "0";
  const magnitude = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3)))));
  if (magnitude < -4) return value.toExponential(1).replace("e-", "e−").replace("-", "−");
  const text = value.toFixed(Math.max(0, 2 - magnitude));
  return groupThousands(text);
}

/** An integer with thousands separated: `524,288`. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? groupThousands(String(Math.round(value))) : ABSENT;
}

/**
 * Seconds as `245 µs`, `1.32 ms` or `1.12 s`.
 *
 * @example
 * ```ts
 * import { formatSeconds } from "./format.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatSeconds(0.00132), "1.32 ms");
 * ```
 */
export function formatSeconds(seconds: number): string {
  return scaled(seconds, [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]);
}

/** Memory in binary units: `2.00 GiB`. */
export function formatBytes(bytes: number): string {
  const units: [number, string][] = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [
    2 ** 10,
    "KiB",
  ], [1, "B"]];
  return scaled(bytes, units);
}

/** Bytes per second in decimal units, as bandwidth is quoted: `2.84 TB/s`. */
export function formatByteRate(bytesPerSecond: number): string {
  return scaled(bytesPerSecond, decimalUnits("B/s"));
}

/** FLOP as `1.10 TFLOP`. */
export function formatFlops(flops: number): string {
  return scaled(flops, decimalUnits("FLOP"));
}

/** FLOP per second as `61.7 TFLOP/s`. */
export function formatFlopRate(flopsPerSecond: number): string {
  return scaled(flopsPerSecond, decimalUnits("FLOP/s"));
}

/** Energy as `1.24 mJ`. */
export function formatEnergy(joules: number): string {
  return scaled(joules, [...decimalUnits("J"), [1e-3, "mJ"], [1e-6, "µJ"], [1e-9, "nJ"]]);
}

/** Tokens per second as `1.24 Mtok/s`. */
export function formatTokenRate(tokensPerSecond: number): string {
  return scaled(tokensPerSecond, decimalUnits("tok/s"));
}

/** A ratio as `21.0×`, `1.32×` or `0.71×`. */
export function formatRatio(ratio: number): string {
  if (!Number.isFinite(ratio)) return ABSENT;
  const magnitude = Math.abs(ratio);
  if (magnitude !== 0 && magnitude < 0.1) return `${formatSignificant(ratio)}×`;
  return `${groupThousands(ratio.toFixed(magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : 2))}×`;
}

/**
 * A fraction as `34.5 %`. Values too small for two decimals, but not zero, are `< 0.01 %`.
 *
 * @example
 * ```ts
 * import { formatPercent } from "./format.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatPercent(2.9e-5), "< 0.01 %");
 * ```
 */
export function formatPercent(fraction: number): string {
  if (!Number.isFinite(fraction)) return ABSENT;
  const percent = fraction * 100;
  const magnitude = Math.abs(percent);
  const text = percent.toFixed(magnitude >= 99.95 ? 0 : magnitude >= 0.995 ? 1 : 2);
  if (Number(text) === 0 && percent !== 0) return percent < 0 ? "> −0.01 %" : "< 0.01 %";
  return `${groupThousands(text)} %`;
}

/**
 * A context length: multiples of 1,024 as `8K`, `96K`, `512K`, of 1,048,576 as `1M`; anything else
 * in full.
 *
 * @example
 * ```ts
 * import { formatContext } from "./format.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatContext(98_304), "96K");
 * assert.equal(formatContext(113_000), "113,000");
 * ```
 */
export function formatContext(context: number): string {
  if (!Number.isFinite(context)) return ABSENT;
  const whole = Math.round(context);
  if (whole > 0 && whole % 2 ** 20 === 0) return `${groupThousands(String(whole / 2 ** 20))}M`;
  return whole > 0 && whole % 1024 === 0
    ? `${groupThousands(String(whole / 1024))}K`
    : groupThousands(String(whole));
}

/**
 * An interval in one unit: `1.30–1.35 ms`. If the ends need different units, both are named.
 *
 * @example
 * ```ts
 * import { formatInterval, formatSeconds } from "./format.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatInterval([0.0013, 0.00135], formatSeconds), "1.30–1.35 ms");
 * ```
 */
export function formatInterval(
  ends: readonly [number, number],
  format: (value: number) => string,
): string {
  const [low, high] = ends.map(format);
  if (low === high) return low;
  const unit = /(?: [^\d\s]+|×)$/.exec(high)?.[0] ?? "";
  return unit !== "" && low.endsWith(unit)
    ? `${low.slice(0, -unit.length)}–${high}`
    : `${low}–${high}`;
}

/**
 * The spread of a value as text: an interval by its ends, a range with its number of samples.
 *
 * @example
 * ```ts
 * import { formatRatio, formatSpread } from "./format.ts";
 * import assert from "node:assert/strict";
 * const ends = { low: 31.96, high: 32.1 };
 * assert.equal(formatSpread({ ...ends, count: 12, kind: "interval" }, formatRatio), "32.0–32.1×");
 * assert.equal(
 *   formatSpread({ ...ends, count: 2, kind: "range" }, formatRatio),
 *   "n = 2, range 32.0–32.1×",
 * );
 * ```
 */
export function formatSpread(
  { low, high, count, kind }: Spread,
  format: (value: number) => string,
): string {
  const ends = formatInterval([low, high], format);
  const apart = format(low) !== format(high);
  if (kind === "interval") return apart ? ends : "within rounding";
  if (count === 1 && low === high) return "n = 1";
  return `n = ${count}, range ${apart ? ends : "within rounding"}`;
}

/** A value with its spread in parentheses: `32.0× (n = 2, range 31.9–32.1×)`. */
export function formatMeasured(
  value: number,
  spread: Spread,
  format: (value: number) => string,
): string {
  return `${format(value)} (${formatSpread(spread, format)})`;
}

/** Title of a column of {@linkcode formatSpread}. */
export const SPREAD_TITLE = "95 % interval, or range";

/** An ISO 8601 instant as `2026-11-22 01:11 UTC`; any other text unchanged. */
export function formatInstant(iso: string): string {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z$/.exec(iso);
  return match ? `${match[1]} ${match[2]} UTC` : iso;
}

/** `1 case`, `2 cases`. */
export function formatPlural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function scaled(value: number, units: [number, string][]): string {
  if (!Number.isFinite(value)) return ABSENT;
  if (value === 0) return `0 ${units.find(([factor]) => factor <= 1)?.[1] ?? units[0][1]}`;
  // The unit is chosen after rounding, so that 999.6 µs reads 1.00 ms and not 1,000 µs.
  const [factor, unit] =
    units.find(([factor]) => Math.abs(Number((value / factor).toPrecision(3))) >= 1) ??
      units[units.length - 1];
  return `${formatSignificant(value / factor)} ${unit}`;
}

function decimalUnits(unit: string): [number, string][] {
  return [[1e15, `P${unit}`], [1e12, `T${unit}`], [1e9, `G${unit}`], [1e6, `M${unit}`], [
    1e3,
    `k${unit}`,
  ], [1, unit]];
}

function groupThousands(digits: string): string {
  const [whole, fraction] = digits.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",").replace("-", "−");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}
