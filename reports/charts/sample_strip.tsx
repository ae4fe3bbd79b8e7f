/**
 * The distribution of one case's samples, small enough for the cell of a table.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-scale@4.0.9"
import { scaleLog } from "d3-scale";
import type { Sample, Statistic } from "../../suites/result/result_schema.ts";
import { largest } from "../data/extremes.ts";
import { formatPercent } from "../text/format.ts";
import { coordinate } from "./drawing.ts";

const SIZE = { width: 220, height: 24 };
/** Radius of a dot, and how far dots at one place are moved apart. */
const RADIUS = 2.2;
/** Vertical positions of dots that would cover each other, from the middle outwards. */
const LANES = [0, -4.4, 4.4, -8.8, 8.8];

/** Reach of a case whose samples all lie within a percent. */
const LEAST_REACH = 1.01;

/**
 * The factor around their medians that contains the samples of nine of ten cases, so that one scale serves
 * all of them; samples beyond it are drawn at the end.
 */
export function sampleReach(
  cases: readonly { samples: readonly Sample[]; statistic: Statistic }[],
): number {
  const factors = cases.map(({ samples, statistic: { median } }) =>
    largest([
      1,
      ...counted(samples).map(({ seconds }) => Math.max(seconds / median, median / seconds)),
    ])
  ).sort((a, b) => a - b);
  return Math.max(LEAST_REACH, factors[Math.floor(0.9 * (factors.length - 1))] ?? 1);
}

/** Samples that the statistic counts. */
function counted(samples: readonly Sample[]): Sample[] {
  return samples.filter(({ flag, seconds }) => flag === undefined && seconds > 0);
}

/**
 * A dot for each sample, at its time over the median on a logarithmic scale; a bar from the
 * lower to the upper end of the interval, a line at the median. Samples outside the statistic
 * are crosses.
 */
export function SampleStrip(
  { samples, statistic: { median, low, high }, reach }: {
    samples: readonly Sample[];
    statistic: Statistic;
    /** Factor at either end of the scale, above 1. */
    reach: number;
  },
): JSX.Element {
  const { width, height } = SIZE;
  const middle = height / 2;
  const x = scaleLog().domain([1 / reach, reach]).range([5, width - 5]).clamp(true);
  const at = (seconds: number) => coordinate(x(seconds / median));
  // Each dot takes the first lane in which it touches no other.
  const ends = LANES.map(() => -Infinity);
  const dots = counted(samples).map(({ seconds }) => at(seconds)).sort((a, b) => a - b)
    .map((place) => {
      const lane = Math.max(0, ends.findIndex((end) => place - end >= 2 * RADIUS));
      ends[lane] = place;
      return [place, coordinate(middle + LANES[lane])] as const;
    });
  const crosses = samples.filter(({ flag, seconds }) => flag !== undefined && seconds > 0)
    .map(({ seconds }) => at(seconds));
  const worst = largest([
    0,
    ...counted(samples).map(({ seconds }) => Math.abs(seconds / median - 1)),
  ]);
  return (
    <svg
      class="sample-strip"
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      role="img"
      aria-label={`${dots.length} samples within ${formatPercent(worst)} of their median`}
    >
      <path class="rail" d={`M5,${middle}H${width - 5}`} />
      <path class="range" d={`M${at(low)},${middle}H${at(high)}`} />
      <path class="middle" d={`M${width / 2},1V${height - 1}`} />
      {/* One path for all dots: a page has thousands of them. */}
      <path class="dots" d={dots.map(([a, b]) => `M${a},${b}h0`).join("")} />
      {crosses.length > 0 && (
        <path
          class="crosses"
          d={crosses.map((place) => `M${place - 3},${middle - 3}l6,6m0,-6l-6,6`).join("")}
        />
      )}
    </svg>
  );
}
