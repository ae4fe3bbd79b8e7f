/**
 * A result whose statistics refer to the samples that they come from, and the way back: a page has
 * every value once.
 *
 * @module
 */
import { mean } from "simple-statistics";

/** What is read of a case or stage. */
interface Sampled {
  samples?: readonly (number | { seconds: number; flag?: unknown })[];
  statistic?: Record<string, unknown>;
  throughput?: Record<string, unknown>;
  shape?: { context: number };
  stages?: readonly Sampled[];
}

/** Fields of a statistic that can follow from its samples. */
const FIELDS = ["median", "low", "high", "min", "max", "mean"];
/** Stands for the mean of all samples. */
const ALL = "*";
/** With more samples, looking for pairs of them takes long. */
const MOST_SAMPLES = 40;

/**
 * Changes a result in place: a statistic's value that is one of the samples or the mean of two is
 * replaced by their places in ascending order, `"3"` or `"3 4"`, the mean of all by `"*"`. The same goes for throughput, with
 * tokens per second.
 */
export function makeLean(result: { cases: readonly Sampled[] }): void {
  forEachStatistic(result.cases, (statistic, values) => {
    if (values.length > MOST_SAMPLES) return;
    for (const name of FIELDS) {
      const value = statistic[name];
      if (typeof value !== "number") continue;
      const places = name === "mean" && values.length > 0 && mean([...values]) === value
        ? ALL
        : placesOf(value, values);
      if (places !== null) statistic[name] = places;
    }
  });
}

/** The inverse of {@linkcode makeLean}. */
export function makeWhole(result: { cases: readonly Sampled[] }): void {
  forEachStatistic(result.cases, (statistic, values) => {
    for (const name of FIELDS) {
      const places = statistic[name];
      if (typeof places !== "string") continue;
      if (places === ALL) {
        statistic[name] = mean([...values]);
        continue;
      }
      const [first, second = first] = places.split(" ").map((place) => values[Number(place)]);
      statistic[name] = meanOf(first, second);
    }
  });
}

function forEachStatistic(
  cases: readonly Sampled[],
  change: (statistic: Record<string, unknown>, ascending: readonly number[]) => void,
): void {
  for (const { samples = [], statistic, throughput, shape, stages = [] } of cases) {
    const seconds = samples.flatMap((sample) =>
      typeof sample === "number" ? [sample] : sample.flag === undefined ? [sample.seconds] : []
    );
    const ascending = (values: number[]) => values.sort((a, b) => a - b);
    if (statistic) change(statistic, ascending([...seconds]));
    if (throughput && shape) {
      change(throughput, ascending(seconds.map((one) => shape.context / one)));
    }
    forEachStatistic(stages, change);
  }
}

function meanOf(a: number, b: number): number {
  return a === b ? a : (a + b) / 2;
}

/** The places of two samples of which a value is the mean; one place if it is a sample. */
function placesOf(value: number, ascending: readonly number[]): string | null {
  const place = ascending.indexOf(value);
  if (place >= 0) return String(place);
  for (let i = 0; i < ascending.length && ascending[i] < value; i++) {
    for (let j = ascending.length - 1; ascending[j] > value; j--) {
      if (meanOf(ascending[i], ascending[j]) === value) return `${i} ${j}`;
    }
  }
  return null;
}
