/**
 * Logarithmic axes: their domains and ticks.
 *
 * @module
 */
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLinear } from "d3-scale";
import type { TickFormat } from "./drawing.ts";
import { largest, smallest } from "../data/extremes.ts";

/** One axis. */
export interface LogAxis {
  label: string;
  domain: [number, number];
  format: TickFormat;
  /** Powers of two for contexts, powers of ten (with 2 and 5 between) for everything else. */
  base: 2 | 10;
}

/** A domain that contains all positive values, widened by `margin` (a factor) at both ends. */
export function logDomain(values: readonly number[], margin = 1.3): [number, number] {
  const usable = values.filter((value) => Number.isFinite(value) && value > 0);
  if (usable.length === 0) return [1, 10];
  return [
    Math.max(smallest(usable) / margin, Number.MIN_VALUE),
    Math.min(largest(usable) * margin, Number.MAX_VALUE),
  ];
}

/** Fewer ticks than this do not show the scale. */
const LEAST_TICKS = 2;

/** Ticks of a logarithmic axis, at most `most` of them. */
export function logTicks([low, high]: [number, number], base: 2 | 10, most: number): number[] {
  const steps = base === 2 ? [1] : [1, 2, 5];
  const from = Math.floor(Math.log(low) / Math.log(base));
  const to = Math.ceil(Math.log(high) / Math.log(base));
  const inside = (ticks: number[]) => ticks.filter((tick) => tick >= low && tick <= high);
  const powers = Array.from({ length: to - from + 1 }, (_, i) => base ** (from + i));
  const fine = inside(powers.flatMap((power) => steps.map((step) => step * power)));
  if (fine.length <= most && fine.length >= LEAST_TICKS) return fine;
  // Between two powers the axis is nearly linear.
  if (fine.length < LEAST_TICKS) return linearTicks([low, high], base);
  const coarse = inside(powers);
  const stride = Math.ceil(coarse.length / most);
  // Counted from the top, so that the largest context always has its tick.
  return coarse.filter((_, i) => (coarse.length - 1 - i) % stride === 0);
}

/** Round values inside a narrow domain: multiples of the power of two below it for base two. */
function linearTicks([low, high]: [number, number], base: 2 | 10): number[] {
  const unit = base === 2 ? 2 ** (Math.floor(Math.log2(low)) - 2) : 1;
  return scaleLinear().domain([low / unit, high / unit]).ticks(4).map((tick) => tick * unit);
}
