/**
 * Several runs side by side: claims, latency and the key figures of each.
 *
 * @module
 */
import { LEAD_LAYER, LEAD_SCORER, OWN_DENSE } from "../data/cases.ts";
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { ceilingsOf, contextSeries } from "../data/analysis.ts";
import {
  deviceName,
  HEADLINE_CONTEXT,
  judgeClaims,
  PAPER_SPEEDUP,
  quantityText,
} from "../claims/claims.ts";
import {
  ABSENT,
  formatByteRate,
  formatContext,
  formatFlopRate,
  formatInstant,
  formatMeasured,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { plotData } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { VerdictMark } from "./first_screen.tsx";
import { logDomain, LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { describedBy, runStyles, seriesStyles } from "../charts/palette.ts";
import {
  contextAxis,
  contextPoint,
  describe,
  formatTick,
  paperMark,
  parityGuide,
  timeAxis,
} from "./section.tsx";
import { longestCommonContext, normSpeedups } from "./speedup_section.tsx";

/** Letters of a device's name in a label of a figure. */
const MOST_LETTERS = 24;

const DASHES = [undefined, "7 4", "2 4", "10 3 2 3"];

/** The letter of a run: A, B, …, Z, then numbers. */
export function runName(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
}

/** The first line of a comparison. */
export function comparisonLine(results: readonly Result[]): string {
  const context = longestCommonContext(results);
  if (context === null || results.length > 4) {
    const devices = new Set(results.map(deviceName));
    const where = devices.size === 1
      ? ` on ${[...devices][0]}`
      : ` on ${formatPlural(devices.size, "device")}`;
    return `${formatPlural(results.length, "run")}${where} compared.`;
  }
  const speedups = results.map((result, run) => {
    const { ratio, count } = normSpeedups(result).find((point) => point.context === context)!;
    return `${formatRatio(ratio)} (n = ${count}) in run ${runName(run)}`;
  });
  const list = `${speedups.slice(0, -1).join(", ")} and ${speedups[speedups.length - 1]}`;
  return `At ${
    formatContext(context)
  }, the longest context that the runs have in common, Lighthouse’s speed-up over the suite’s own dense attention is ${list}.`;
}

/** The comparison of two or more runs. */
export function Comparison({ results, hrefs }: {
  results: Result[];
  /** Location of the runs' reports; by default further down the page. */
  hrefs?: readonly string[];
}): JSX.Element {
  const common = longestCommonContext(results);
  const withMatrix = results.some(({ calibration }) => ceilingsOf(calibration).matrix !== null);
  const comparable = new Set(results.map(({ environment }) => environment.fingerprint)).size === 1;
  const series = results.flatMap((result, run) =>
    contextSeries(result).filter(({ implementation, direction }) =>
      direction === "forward" && !implementation.startsWith("peer:")
    ).map((one) => ({ ...one, run }))
  );
  const styles = seriesStyles(
    series.map(({ implementation }) => implementation),
    describedBy(results),
  );
  const plot: PlotSeries[] = series.map(({ implementation, run, points }) => ({
    label: `${implementation} · ${runName(run)}`,
    style: styles.get(implementation)!,
    dash: DASHES[run % DASHES.length],
    hollow: run % 2 === 1,
    facets: { device: deviceName(results[run]) },
    points: points.map(({ median, case: { id }, ...point }) => ({
      ...contextPoint(median, point),
      case: id,
      href: `${hrefs?.[run] ?? ""}#${hrefs === undefined ? `run-${run + 1}-` : ""}${id}`,
    })),
  }));
  const all = plot.flatMap(({ points }) => points);
  const claims = results.map(judgeClaims);
  const shown = claims[0].filter((_, row) => claims.some((rows) => rows[row]?.ours != null));
  return (
    <section id="comparison">
      <h2>The runs side by side</h2>
      <p class="lead">
        {comparable
          ? "All runs have the same fingerprint, so their times can be compared."
          : new Set(results.map(deviceName)).size === 1
          ? "The runs come from one device with different stacks or software: compare the ratios and the slopes, not the times."
          : "The runs come from different devices or software: compare the ratios and the slopes, not the times."}
      </p>
      <Table
        caption="Runs"
        columns={[
          { title: "Run" },
          { title: "Device" },
          { title: "Stack, profile" },
          { title: "Started" },
          {
            title: `Speed-up at ${
              common === null ? "the longest context" : `${formatContext(common)}, common to all`
            }`,
            numeric: true,
          },
          { title: "Dense slope", numeric: true },
          { title: "Lighthouse slope", numeric: true },
          { title: "f32 FMA", numeric: true },
          ...(withMatrix ? [{ title: "Matrix units", numeric: true }] : []),
          { title: "Copy", numeric: true },
        ]}
        rows={results.map((result, run) => {
          const points = normSpeedups(result).filter(({ context }) =>
            common === null || context === common
          ).sort((a, b) => b.context - a.context);
          const slope = (implementation: string) =>
            contextSeries(result).find((one) =>
              one.implementation === implementation && one.direction === "forward"
            )?.fit?.exponent.toFixed(2) ?? ABSENT;
          const ceilings = ceilingsOf(result.calibration);
          return [
            <a href={hrefs?.[run] ?? `#run-${run + 1}`}>{runName(run)}</a>,
            <span class="nb">
              {deviceName(result)}
              {result.environment.adapter.software ? " (software adapter)" : ""}
            </span>,
            `${result.stack}, ${result.profile}`,
            <span class="nb">{formatInstant(result.startedAt)}</span>,
            points.length === 0 ? ABSENT : formatMeasured(points[0].ratio, points[0], formatRatio) +
              (common === null ? ` at ${formatContext(points[0].context)}` : ""),
            slope(OWN_DENSE),
            slope(LEAD_LAYER),
            ceilings.fmaF32 === null ? ABSENT : formatFlopRate(ceilings.fmaF32),
            ...(withMatrix
              ? [ceilings.matrix === null ? ABSENT : formatFlopRate(ceilings.matrix)]
              : []),
            ceilings.copy === null ? ABSENT : formatByteRate(ceilings.copy),
          ];
        })}
      />
      {shown.length > 0 && (
        <Table
          caption="Claims judged by at least one run"
          columns={[
            { title: "Claim" },
            { title: "Paper" },
            ...results.map((_, run) => ({
              title: `Run ${runName(run)}`,
            })),
          ]}
          rows={shown.map((first) => [
            first.claim,
            first.paper.text,
            ...claims.map((rows) => {
              const row = rows.find(({ id }) => id === first.id);
              if (row === undefined) return ABSENT;
              return (
                <>
                  <VerdictMark verdict={row.verdict} />
                  {row.ours !== null && <span class="aside">{quantityText(row.ours)}</span>}
                  {row.ours !== null && row.software && <span class="aside">software adapter</span>}
                </>
              );
            }),
          ])}
        />
      )}
      <SpeedupOfRuns results={results} />
      {all.length > 0 && (
        <div class="comparison-figure">
          <Figure
            id="comparison-figure"
            title="Latency of every run, forward"
            description={describe(plot, formatSeconds)}
            draw={(size) => (
              <LogPlot
                size={size}
                x={contextAxis(all.map(({ x }) => x))}
                y={timeAxis("time of one layer", all.map(({ y }) => y))}
                series={plot}
                labelRoom={165}
              />
            )}
            legend={plot}
            note="Colour and shape say the implementation; dashes, hollow markers and the letter say the run."
            data={plotData(plot, { x: "context_tokens", y: "median_seconds" })}
            table={{
              caption: "Latency of every run",
              columns: [
                { title: "Context", numeric: true },
                { title: "Series" },
                { title: "Median", numeric: true },
              ],
              rows: plot.flatMap(({ label, points }) =>
                points.map(({ x, y }) => [formatContext(x), label, formatSeconds(y)])
              ),
            }}
          />
        </div>
      )}
    </section>
  );
}

/** A device's name, at most as long as a label has room. */
function shortened(name: string): string {
  return name.length <= MOST_LETTERS ? name : `${name.slice(0, MOST_LETTERS - 1).trimEnd()}…`;
}

/** Speed-up of the norm scorer in every run, with the paper's point. */
function SpeedupOfRuns({ results }: { results: readonly Result[] }): JSX.Element | null {
  const styles = runStyles(results.length);
  const plot: PlotSeries[] = results.map((result, run) => ({
    label: `${runName(run)}: ${shortened(deviceName(result))}, ${result.stack}`,
    style: styles[run],
    dash: styles[run].dash,
    facets: { device: deviceName(result), scorer: LEAD_SCORER, direction: "forward" },
    points: normSpeedups(result).map((point) => contextPoint(point.ratio, point)),
  })).filter(({ points }) => points.length > 0);
  if (plot.length === 0) return null;
  const all = plot.flatMap(({ points }) => points);
  const x = contextAxis([...all.map(({ x }) => x), HEADLINE_CONTEXT]);
  return (
    <div class="comparison-figure">
      <Figure
        id="comparison-speed-up-figure"
        title="Speed-up of the norm scorer over the suite’s own dense attention, forward"
        description={`${describe(plot, formatRatio)} The paper’s point is ${
          formatRatio(PAPER_SPEEDUP.forward)
        } at 512K.`}
        draw={(size) => (
          <LogPlot
            size={size}
            x={x}
            y={{
              label: "dense time ÷ Lighthouse time",
              domain: logDomain([
                ...all.flatMap(({ y, low = y, high = y }) => [low, high]),
                0.8,
                PAPER_SPEEDUP.forward,
              ], 1.3),
              format: formatTick(formatRatio),
              base: 10,
            }}
            series={plot}
            guides={[parityGuide(x)]}
            marks={[paperMark(PAPER_SPEEDUP.forward, { detail: "forward, B200" })]}
            labelRoom={190}
          />
        )}
        legend={plot}
        note="Dense attention and Lighthouse of one run, in interleaved rounds. The star is the paper's value, not a measurement of these runs."
        data={plotData(plot, { x: "context_tokens", y: "speedup" })}
        table={{
          caption: "Speed-up of every run",
          columns: [
            { title: "Context", numeric: true },
            { title: "Run" },
            { title: "Speed-up", numeric: true },
            { title: SPREAD_TITLE, numeric: true },
            { title: "Samples a side", numeric: true },
          ],
          rows: results.flatMap((result, run) =>
            normSpeedups(result).map((point) => [
              formatContext(point.context),
              runName(run),
              formatRatio(point.ratio),
              formatSpread(point, formatRatio),
              String(point.count),
            ])
          ),
        }}
      />
    </div>
  );
}
