/**
 * Latency over k, p, L and the scorer.
 *
 * @module
 */
import { powerLimitText } from "../data/device_readings.ts";
import { headsKey, headsText } from "../data/head_counts.ts";
import { OWN_DENSE, timesLayer } from "../data/cases.ts";
import type { JSX } from "preact";
import type { CaseRecord, Result, Statistic } from "../../suites/result/result_schema.ts";
import {
  DIRECTION_NAMES,
  isMeasured,
  type SpeedupPoint,
  speedupPoints,
  spreadOf,
} from "../data/analysis.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatMeasured,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite, SPREAD_COLUMNS, spreadCells } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { seriesStyles } from "../charts/palette.ts";
import { formatTick, type Section, timeLabel, unbroken } from "./section.tsx";
import { largest, smallest } from "../data/extremes.ts";
import { CaseName } from "./case_name.tsx";

const SWEEP_TITLES: Record<string, string> = {
  k: "Selection budget k",
  pooling: "Pooling factor p",
  levels: "Pyramid levels L",
  scorer: "Scorer",
  grid: "Grid of k, p and L",
};

/** More figures or grids than these are folded but for the first. */
const MOST_OPEN = { figures: 16, grids: 4 };
/** Figures and grids that are open then; others show the same at further contexts and shapes. */
const OPEN = { figures: 6, grids: 2 };

/** Most settings that a figure shows; more make a table. */
const MOST_ROWS = 14;

type MeasuredCase = CaseRecord & { statistic: Statistic };

/** The section, or null where the result has nothing for it. */
export function sweepSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(timesLayer);
  const groups = new Map<string, { sweep: string; cases: typeof measured }>();
  const taken = new Set<string>();
  for (const record of measured) {
    for (const sweep of new Set(record.sweeps)) {
      if (sweep === "context" || record.options === undefined) continue;
      const { context, headDim, dtype } = record.shape;
      const heads = headsKey(record.shape);
      const key = [sweep, record.direction, context, heads, headDim, dtype].join(" ");
      const group = groups.get(key) ?? { sweep, cases: [] };
      groups.set(key, group);
      const place = `${key} ${record.id}`;
      if (!taken.has(place)) group.cases.push(record);
      taken.add(place);
    }
  }
  const all = [...groups.values()].flatMap(likeWithLike).filter(({ cases }) => cases.length > 1);
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
    [direction, shape.context, headsKey(shape), shape.headDim, shape.dtype].join(" ");
  const whole = new Map(
    measured.filter(({ implementation }) => implementation === OWN_DENSE).toReversed()
      .map((record) => [shapeOf(record), record]),
  );
  const figures = shown.map(({ sweep, cases }, i) => {
    const { shape, direction } = cases[0];
    const dense = whole.get(shapeOf(cases[0]));
    const sorted = [...cases].sort((a, b) => sweepOrder(a, b, { sweep, scorers }));
    const labels = sweepLabels(sorted, sweep);
    const rows = sorted.map((record, i): DotRow => ({
      label: labels[i],
      value: record.statistic.median,
      ...spreadOf(record.statistic),
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
    const fixed = sweepFixed(sorted, sweep);
    const title = `${sweepTitle(sweep)} at ${formatContext(shape.context)}`;
    return (
      <Figure
        id={`${prefix}sweep-figure-${i + 1}`}
        title={unbroken(
          title + (several ? `, ${DIRECTION_NAMES[direction]}` : "") +
            (fixed === "" ? "" : ` (${fixed})`),
        )}
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
          : `Dense attention takes ${formatSeconds(dense.statistic.median)} here, off this scale.`}
        data={{
          columns: [
            "setting",
            "case",
            "median_seconds",
            "median_seconds_low",
            "median_seconds_high",
            ...SPREAD_COLUMNS,
            "speedup",
            "gathered_rows",
          ],
          rows: sorted.map((record, i) => [
            labels[i],
            record.id,
            finite(record.statistic.median),
            finite(spreadOf(record.statistic).low),
            finite(spreadOf(record.statistic).high),
            ...spreadCells(spreadOf(record.statistic)),
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
            { title: SPREAD_TITLE, numeric: true },
            { title: "Against dense", numeric: true },
            { title: "Rows gathered", numeric: true },
          ],
          rows: sorted.map((record, i) => [
            labels[i],
            <CaseName record={record} />,
            formatSeconds(record.statistic.median) + powerLimitText(record),
            formatSpread(spreadOf(record.statistic), formatSeconds),
            ratioText(speedups.get(record.id)),
            record.gathered === undefined ? ABSENT : formatCount(record.gathered),
          ]),
        }}
      />
    );
  });
  const tables = grids.map(({ sweep, cases }) => (
    <GridTable
      title={unbroken(
        `${sweepTitle(sweep)} at ${formatContext(cases[0].shape.context)}` +
          (several ? `, ${DIRECTION_NAMES[cases[0].direction]}` : "") +
          ` (${sweepFixed(cases, sweep)})`,
      )}
      cases={[...cases].sort((a, b) => sweepOrder(a, b, { sweep, scorers }))}
      speedups={speedups}
    />
  ));
  const shownFigures = figures.length > MOST_OPEN.figures ? OPEN.figures : figures.length;
  const shownGrids = tables.length > MOST_OPEN.grids ? OPEN.grids : tables.length;
  return {
    id: `${prefix}sweeps`,
    nav: "Sweeps",
    content: (
      <>
        <h2>What {sweptThings(all.map(({ sweep }) => sweep))} cost{all.length > 1 ? "" : "s"}</h2>
        <p class="lead">
          Titles name in parentheses what a figure holds; only settings of one figure compare.
        </p>
        <div class="grid-of-figures">{figures.slice(0, shownFigures)}</div>
        {tables.slice(0, shownGrids)}
        {figures.length > shownFigures && (
          <details class="data">
            <summary>{formatPlural(figures.length - shownFigures, "further figure")}</summary>
            <div class="grid-of-figures">{figures.slice(shownFigures)}</div>
          </details>
        )}
        {tables.length > shownGrids && (
          <details class="data">
            <summary>{formatPlural(tables.length - shownGrids, "further grid")}</summary>
            {tables.slice(shownGrids)}
          </details>
        )}
      </>
    ),
  };
}

/** A time for each setting: rows of scorer, L and p, a column for each k, the stronger the colour, the slower. */
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
        caption="Median time of one layer, and how many times faster than dense attention; the stronger the colour, the slower; a dash was not measured"
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
  return point === undefined ? ABSENT : formatMeasured(point.ratio, point, formatRatio);
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

/**
 * The cases of a sweep in groups that differ in the swept option alone, where each such group has
 * two or more; else, and of a grid, as they are.
 */
function likeWithLike<T extends { sweep: string; cases: readonly CaseRecord[] }>(group: T): T[] {
  const { sweep, cases } = group;
  if (sweep === "grid") return [group];
  const parts = Map.groupBy(cases, ({ scorer, options }) => {
    const { levels, pooling, k } = options!;
    const all: Record<string, unknown> = { scorer, levels, pooling, k };
    delete all[sweep];
    return JSON.stringify(all);
  });
  if ([...parts.values()].some((part) => part.length < 2)) return [group];
  return [...parts.values()].map((part) => ({ ...group, cases: part }));
}

/** What all cases of a sweep have in common, so that a reader sees what is held. */
function sweepFixed(cases: readonly CaseRecord[], sweep: string): string {
  const parts = cases.map(({ scorer, options, shape }) => ({
    scorer: scorer ?? "",
    levels: `L = ${options!.levels}`,
    pooling: `p = ${options!.pooling}`,
    k: `k = ${formatCount(options!.k)}`,
    heads: headsText(shape),
    headDim: `d = ${shape.headDim}`,
    dtype: shape.dtype,
  }));
  return (["scorer", "levels", "pooling", "k", "heads", "headDim", "dtype"] as const)
    .filter((name) => name !== sweep && new Set(parts.map((part) => part[name])).size === 1)
    .map((name) => parts[0][name]).filter(Boolean).join(", ");
}

/** The swept options as the subject of a sentence: `k, p and the scorer`. */
function sweptThings(sweeps: readonly string[]): string {
  const names: Record<string, string> = {
    k: "k",
    pooling: "p",
    levels: "L",
    scorer: "the scorer",
    grid: "the grid of k, p and L",
  };
  const order = Object.keys(names);
  const present = new Set(sweeps);
  // The grid varies the same things once more.
  if (present.size > 1) present.delete("grid");
  const found = [...present].sort((a, b) => order.indexOf(a) - order.indexOf(b)).map((sweep) =>
    Object.hasOwn(names, sweep) ? names[sweep] : sweep
  );
  const last = found.pop()!;
  return found.length === 0 ? last : `${found.join(", ")} and ${last}`;
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
