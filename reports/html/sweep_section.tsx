/**
 * Latency over k, p, L and the scorer.
 *
 * @module
 */
import type { JSX } from "preact";
import type { CaseRecord, Result, Statistic } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES, isMeasured, type SpeedupPoint, speedupPoints } from "../data/analysis.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { seriesStyles } from "../charts/palette.ts";
import { formatTick, type Section, timeLabel } from "./section.tsx";
import { largest, smallest } from "../data/extremes.ts";

const SWEEP_TITLES: Record<string, string> = {
  k: "Selection budget k",
  pooling: "Pooling factor p",
  levels: "Pyramid levels L",
  scorer: "Scorer",
  grid: "Grid of k, p and L",
};

/** Most settings that a figure shows; more make a table. */
const MOST_ROWS = 14;

type MeasuredCase = CaseRecord & { statistic: Statistic };

/** The section, or null where the result has nothing for it. */
export function sweepSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(({ suite }) => suite === "latency");
  const groups = new Map<string, { sweep: string; cases: typeof measured }>();
  const taken = new Set<string>();
  for (const record of measured) {
    for (const sweep of new Set(record.sweeps)) {
      if (sweep === "context" || record.options === undefined) continue;
      const { context, heads, headDim, dtype } = record.shape;
      const key = [sweep, record.direction, context, heads, headDim, dtype].join(" ");
      const group = groups.get(key) ?? { sweep, cases: [] };
      groups.set(key, group);
      const place = `${key} ${record.id}`;
      if (!taken.has(place)) group.cases.push(record);
      taken.add(place);
    }
  }
  const all = [...groups.values()].filter(({ cases }) => cases.length > 1);
  if (all.length === 0) return null;
  const shown = all.filter(({ cases }) => cases.length <= MOST_ROWS);
  const grids = all.filter(({ cases }) => cases.length > MOST_ROWS);
  const speedups = new Map(
    speedupPoints(result).map((point) => [point.denominator.id, point] as const),
  );
  const scorers = [...new Set(measured.map(({ scorer }) => scorer))];
  const several = new Set(all.map(({ cases }) => cases[0].direction)).size > 1;
  const styles = seriesStyles(measured.map(({ implementation }) => implementation), result);
  const shapeOf = ({ direction, shape }: CaseRecord) =>
    [direction, shape.context, shape.heads, shape.headDim, shape.dtype].join(" ");
  const whole = new Map(
    measured.filter(({ implementation }) => implementation === "dense").toReversed()
      .map((record) => [shapeOf(record), record]),
  );
  return {
    id: `${prefix}sweeps`,
    nav: "Sweeps",
    content: (
      <>
        <h2>What k, p, L and the scorer cost</h2>
        <div class="grid-of-figures">
          {shown.map(({ sweep, cases }, i) => {
            const { shape, direction } = cases[0];
            const dense = whole.get(shapeOf(cases[0]));
            const sorted = [...cases].sort((a, b) => sweepOrder(a, b, { sweep, scorers }));
            const labels = sweepLabels(sorted, sweep);
            const rows = sorted.map((record, i): DotRow => ({
              label: labels[i],
              value: record.statistic.median,
              low: record.statistic.low,
              high: record.statistic.high,
              text: formatSeconds(record.statistic.median),
              count: record.statistic.count,
              case: record.id,
              style: styles.get(record.implementation)!,
            }));
            const most = largest(rows.map(({ value }) => value));
            const guide = dense !== undefined && dense.statistic.median < 2.5 * most
              ? {
                value: dense.statistic.median,
                label: `dense ${formatSeconds(dense.statistic.median)}`,
              }
              : undefined;
            const title = sweepTitle(sweep);
            return (
              <Figure
                id={`${prefix}sweep-figure-${i + 1}`}
                title={`${title} at ${formatContext(shape.context)}` +
                  (several ? `, ${DIRECTION_NAMES[direction]}` : "")}
                description={rows.map(({ label, text }) => `${label}: ${text}`).join(", ") + "."}
                width={530}
                height={dotPlotHeight(rows.length)}
                compactHeight={dotPlotHeight(rows.length)}
                draw={(size) => (
                  <DotPlot
                    size={size}
                    rows={rows}
                    axis={timeLabel(result)}
                    format={formatTick(formatSeconds)}
                    guide={guide}
                  />
                )}
                note={dense === undefined || guide !== undefined
                  ? undefined
                  : `Dense attention takes ${
                    formatSeconds(dense.statistic.median)
                  } here, off this scale.`}
                data={{
                  columns: [
                    "setting",
                    "case",
                    "median_seconds",
                    "median_seconds_low",
                    "median_seconds_high",
                    "speedup",
                    "gathered_rows",
                  ],
                  rows: sorted.map((record, i) => [
                    labels[i],
                    record.id,
                    finite(record.statistic.median),
                    finite(record.statistic.low),
                    finite(record.statistic.high),
                    finite(speedups.get(record.id)?.ratio),
                    record.gathered ?? null,
                  ]),
                }}
                table={{
                  caption: title,
                  columns: [
                    { title: "Setting" },
                    { title: "Case" },
                    { title: "Median", numeric: true },
                    { title: "95 % interval", numeric: true },
                    { title: "Against dense", numeric: true },
                    { title: "Rows gathered", numeric: true },
                  ],
                  rows: sorted.map((record, i) => [
                    labels[i],
                    record.id,
                    formatSeconds(record.statistic.median),
                    formatInterval([record.statistic.low, record.statistic.high], formatSeconds),
                    ratioText(speedups.get(record.id)),
                    record.gathered === undefined ? ABSENT : formatCount(record.gathered),
                  ]),
                }}
              />
            );
          })}
        </div>
        {grids.map(({ sweep, cases }) => (
          <GridTable
            title={`${sweepTitle(sweep)} at ${formatContext(cases[0].shape.context)}` +
              (several ? `, ${DIRECTION_NAMES[cases[0].direction]}` : "")}
            cases={[...cases].sort((a, b) => sweepOrder(a, b, { sweep, scorers }))}
            speedups={speedups}
          />
        ))}
      </>
    ),
  };
}

/** A time for each setting: rows of scorer, L and p, a column for each k, darker is slower. */
function GridTable(
  { title, cases, speedups }: {
    title: string;
    cases: MeasuredCase[];
    speedups: ReadonlyMap<string, SpeedupPoint>;
  },
): JSX.Element {
  const budgets = [...new Set(cases.map(({ options }) => options!.k))].sort((a, b) => a - b);
  const scorers = new Set(cases.map(({ scorer }) => scorer)).size;
  const rows = new Map<string, Map<number, MeasuredCase>>();
  for (const record of cases) {
    const { scorer, options } = record;
    const { levels, pooling, k } = options!;
    const name = `${scorers > 1 ? `${scorer}, ` : ""}L = ${levels}, p = ${pooling}`;
    const row = rows.get(name) ?? new Map<number, MeasuredCase>();
    rows.set(name, row);
    row.set(k, record);
  }
  const times = cases.map(({ statistic }) => Math.log(statistic.median));
  const [least, most] = [smallest(times), largest(times)];
  const cell = (record: MeasuredCase | undefined) => {
    if (record === undefined) return <span class="absent">{ABSENT}</span>;
    const share = most > least ? (Math.log(record.statistic.median) - least) / (most - least) : 0;
    const speedup = speedups.get(record.id);
    return (
      <span
        class="cell"
        style={{
          background: `color-mix(in srgb,var(--accent) ${Math.round(6 + 40 * share)}%,transparent)`,
        }}
      >
        {formatSeconds(record.statistic.median)}
        {speedup !== undefined && <span class="aside">{formatRatio(speedup.ratio)}</span>}
      </span>
    );
  };
  return (
    <>
      <h3>{title}</h3>
      <Table
        caption="Median time of one layer, and how many times faster than dense attention; darker is slower, a dash was not measured"
        columns={[
          { title: "Setting" },
          ...budgets.map((k) => ({ title: `k = ${formatCount(k)}`, numeric: true })),
        ]}
        rows={[...rows].map(([name, row]) => [name, ...budgets.map((k) => cell(row.get(k)))])}
      />
    </>
  );
}

function sweepTitle(sweep: string): string {
  return Object.hasOwn(SWEEP_TITLES, sweep) ? SWEEP_TITLES[sweep] : `Sweep: ${sweep}`;
}

function ratioText(point: SpeedupPoint | undefined): string {
  return point === undefined
    ? ABSENT
    : `${formatRatio(point.ratio)} (${formatInterval([point.low, point.high], formatRatio)})`;
}

/** Scorers of one sweep stand together, unless they are what it varies. */
function sweepOrder(
  a: CaseRecord,
  b: CaseRecord,
  { sweep, scorers }: { sweep: string; scorers: readonly (string | undefined)[] },
): number {
  const keys = ({ scorer, options }: CaseRecord) => {
    const { levels, pooling, k } = options!;
    const place = scorers.indexOf(scorer);
    return sweep === "scorer" ? [levels, pooling, k, place] : [place, levels, pooling, k];
  };
  const other = keys(b);
  return keys(a).map((value, i) => value - other[i]).find((difference) => difference !== 0) ?? 0;
}

/** The options of a case in which the cases of its sweep differ, the swept one always. */
function sweepLabels(cases: readonly CaseRecord[], sweep: string): string[] {
  const parts = cases.map(({ scorer, options }) => {
    const { levels, pooling, k } = options!;
    return {
      scorer: scorer ?? "",
      levels: `L = ${levels}`,
      pooling: `p = ${pooling}`,
      k: `k = ${formatCount(k)}`,
    };
  });
  const names = (["scorer", "levels", "pooling", "k"] as const).filter((name) =>
    name === sweep || new Set(parts.map((part) => part[name])).size > 1
  );
  return parts.map((part) => names.map((name) => part[name]).join(", "));
}
