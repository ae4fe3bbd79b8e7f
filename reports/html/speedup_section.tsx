/**
 * Speed-up over dense attention against context.
 *
 * @module
 */
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { byDirection, DIRECTION_NAMES, LEAD_LAYER } from "../data/cases.ts";
import {
  type Crossover,
  fastestDenseOf,
  findCrossover,
  isLighthouseSeries,
  type SpeedupPoint,
  type SpeedupSeries,
  speedupSeries,
} from "../data/speedups.ts";
import { formatContext, formatCount, formatMeasured, formatRatio } from "../text/format.ts";
import { shortSeriesNames } from "../text/summary_tables.ts";
import { capital, type Section, Spread } from "./section.tsx";
import { SpeedupFigure } from "./speedup_figure.tsx";
import { largest } from "../data/extremes.ts";

/** The series of a result's hero chart: the norm scorer, forward if that was measured. */
function heroSeries(result: Result): SpeedupSeries | null {
  const series = speedupSeries(result).filter(({ implementation }) =>
    implementation === LEAD_LAYER
  );
  return series.find(({ direction }) => direction === "forward") ?? series[0] ?? null;
}

/** The first chart of a report; null if the run has no speed-up of the norm scorer. */
export function HeroFigure({ result }: { result: Result }): JSX.Element | null {
  const series = heroSeries(result);
  return series === null ? null : (
    <div class="hero">
      <SpeedupFigure
        id="hero-figure"
        direction={series.direction}
        series={[series]}
        several
        result={result}
        height={400}
      />
    </div>
  );
}

/** The section, or null if the result has no data for it. */
export function speedupSection(result: Result, prefix: string): Section | null {
  const directions = byDirection(speedupSeries(result));
  if (directions.length === 0) return null;
  const leads = directions.map(({ direction, series }) => {
    const lead = leadOf(series);
    return { direction, lead, name: shortSeriesNames(series).names[series.indexOf(lead)] };
  });
  // A report of one run starts with the chart of the norm scorer: it is not drawn a second time.
  const hero = prefix === "" ? heroSeries(result) : null;
  const drawn = directions.filter(({ direction, series }) =>
    hero === null || direction !== hero.direction || series.length > 1
  );
  const fastest = fastestDenseOf(result);
  return {
    id: `${prefix}speed-up`,
    nav: "Speed-up",
    content: (
      <Spread
        title={speedupTitle(leads[0])}
        figure={
          <>
            {drawn.map((one) => (
              <SpeedupFigure
                result={result}
                id={`${prefix}speed-up-figure${
                  one.direction === directions[0].direction ? "" : `-${one.direction}`
                }`}
                several={directions.length > 1}
                {...one}
              />
            ))}
            {drawn.length === 0 && (
              <p>
                The chart is <a href="#hero-figure">at the head of this page</a>, with its table.
              </p>
            )}
          </>
        }
      >
        {leads.map(({ direction, lead, name }) => {
          const last = lead.points[lead.points.length - 1];
          const over = fastest(last);
          return (
            <>
              {leads.length > 1 && <h3>{capital(DIRECTION_NAMES[direction])}</h3>}
              <p>
                <span class="figure-number">{formatRatio(last.ratio)}</span>
                <span class="figure-label">
                  {name} over our own dense attention at{" "}
                  {formatContext(last.context)}, where the sweep over contexts ends (n ={" "}
                  {last.count} a side)
                </span>
              </p>
              {over !== null && (
                <p>
                  Over{" "}
                  {over.implementation.replace(/^peer:/, "")}, the fastest dense attention there:
                  {" "}
                  {formatMeasured(over.ratio, over, formatRatio)}.
                </p>
              )}
              <p>{crossoverSentence(name, findCrossover(lead.points)!)}</p>
            </>
          );
        })}
        {directions.some(({ series }) => series.some(isLighthouseSeries)) && (
          <p>
            The dashed line is what the attention FLOP alone would give at k = N/64: (N/S)<sup>
              2
            </sup>. Selection, gathering and scattering keep the layer below it, unless the shorter
            attention also runs at a higher rate.
          </p>
        )}
      </Spread>
    ),
  };
}

/** The norm scorer, else the first. */
function leadOf(series: readonly SpeedupSeries[]): SpeedupSeries {
  return series.find(({ implementation }) => implementation === LEAD_LAYER) ?? series[0];
}

function crossoverSentence(name: string, crossover: Crossover): string {
  const context = formatContext(crossover.context);
  switch (crossover.kind) {
    case "at":
      return `${name} overtakes dense attention at about ${
        formatCount(Number(crossover.context.toPrecision(2)))
      } tokens.`;
    case "below":
      return `${name} is ahead from ${context} on, where the sweep over contexts begins.`;
    case "above":
      return `${name} does not overtake dense attention up to ${context}, where the sweep over contexts ends.`;
  }
}

function speedupTitle({ lead: { points, direction }, name }: {
  lead: SpeedupSeries;
  name: string;
}): string {
  const whose = `${capital(DIRECTION_NAMES[direction])}, the speed-up of ${name}`;
  const [first, last] = [points[0], points[points.length - 1]];
  const [from, to] = [first, last].map(({ ratio, context }) =>
    `${formatRatio(ratio)} at ${formatContext(context)}`
  );
  if (points.length === 1) return `${whose} is ${to}`;
  if (last.low > first.high) return `${whose} grows from ${from} to ${to}`;
  if (last.high < first.low) return `${whose} falls from ${from} to ${to}`;
  return `${whose} stays level, ${from} and ${to}`;
}

/** Forward speed-ups of the norm scorer in the sweep over contexts. */
export function normSpeedups(result: Result): SpeedupPoint[] {
  return speedupSeries(result).find(({ implementation, direction }) =>
    implementation === LEAD_LAYER && direction === "forward"
  )?.points ?? [];
}

/** The longest context at which every run has a speed-up of the norm scorer, or null. */
export function longestCommonContext(results: readonly Result[]): number | null {
  const sets = results.map((result) => new Set(normSpeedups(result).map(({ context }) => context)));
  const common = [...(sets[0] ?? [])].filter((context) => sets.every((set) => set.has(context)));
  return common.length === 0 ? null : largest(common);
}
