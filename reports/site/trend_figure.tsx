/**
 * The time of one case over the runs of a device.
 *
 * @module
 */
import type { JSX } from "preact";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { formatChange, TrendPlot } from "../charts/trend_plot.tsx";
import { formatCount, formatInterval, formatSeconds } from "../text/format.ts";
import type { CaseNames } from "./case_names.ts";
import { shorten, type SiteRun } from "./runs.ts";
import { relative, reportPath } from "./site_page.tsx";
import type { CaseTrend, DeviceTrends } from "./trends.ts";

/** Points that a figure's text names, the newest. */
const MOST_TOLD = 40;

/** What names the runs of a device: day, hour and commit. */
export function labelsOf({ runs }: DeviceTrends): string[] {
  return runs.map(({ date, commit }) => `${date}, ${shorten(commit, 12)}`);
}

/** The figure of a case, with its numbers. */
export function TrendFigure(
  { id, path, names, trend, title = names.title(trend.id), runs, labels }: {
    id: string;
    /** Of the page. */
    path: string;
    names: CaseNames;
    /** Default: that of the case. */
    title?: string;
    trend: CaseTrend;
    runs: readonly SiteRun[];
    labels: readonly string[];
  },
): JSX.Element {
  const setting = names.setting(trend.id);
  const points = trend.lines.flatMap(({ points }) => points).sort((a, b) => a.run - b.run);
  const steps = trend.lines.flatMap(({ steps }) => steps);
  const sameDay = new Set(runs.map(({ date }) => date.slice(0, 10))).size === 1;
  const told = points.slice(-MOST_TOLD);
  return (
    <Figure
      id={id}
      title={title}
      description={`Median time of ${title}` +
        (told.length < points.length
          ? `, the newest ${told.length} of ${points.length} runs`
          : "") +
        ": " +
        told.map(({ run, median }) =>
          `${formatSeconds(median)} on ${runs[run].date.slice(0, 10)} at ${runs[run].commit}`
        ).join(", ") + ". " +
        (steps.length === 0
          ? "No step."
          : steps.map(({ to, ratio }) => `${formatChange(ratio)} at ${to.commit}.`).join(" "))}
      width={530}
      height={290}
      compactHeight={260}
      note={setting === "" ? undefined : setting}
      draw={(size) => (
        <TrendPlot
          size={size}
          lines={trend.lines}
          labels={labels}
          ticks={runs.map(({ date }) => sameDay ? date.slice(11, 16) : date.slice(0, 10))}
          xLabel={sameDay ? `hour of the run, ${runs[0].date.slice(0, 10)}` : "date of the run"}
          style={names.style(trend.id)}
          hrefs={runs.map((run) => relative(path, reportPath(run)))}
        />
      )}
      data={{
        columns: [
          "case",
          "machine",
          "run",
          "date",
          "commit",
          "median_seconds",
          "low_seconds",
          "high_seconds",
        ],
        rows: trend.lines.flatMap(({ fingerprint, points }) =>
          points.map(({ run, median, low, high }) => [
            trend.id,
            fingerprint.slice(0, 16),
            run + 1,
            runs[run].date,
            runs[run].commit,
            finite(median),
            finite(low),
            finite(high),
          ])
        ),
      }}
      table={{
        caption: `Times of ${title}`,
        columns: [
          { title: "Date" },
          { title: "Commit" },
          { title: "Median", numeric: true },
          { title: "Interval", numeric: true },
          { title: "Samples", numeric: true },
          { title: "Change", numeric: true },
        ],
        rows: trend.lines.flatMap(({ points }) =>
          points.map(({ run, median, low, high, count }, i) => [
            runs[run].date,
            runs[run].commit,
            formatSeconds(median),
            formatInterval([low, high], formatSeconds),
            formatCount(count),
            i === 0 ? "" : formatChange(median / points[i - 1].median),
          ])
        ),
      }}
    />
  );
}
