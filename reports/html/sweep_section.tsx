/**
 * Latency over k, p, L and the scorer.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result_schema.ts";
import { DIRECTION_NAMES, isMeasured, type SpeedupPoint, speedupPoints } from "../analysis.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../format.ts";
import { DotPlot, dotPlotHeight, type DotRow } from "./bar_plot.tsx";
import { Figure } from "./figure.tsx";
import { seriesStyles } from "./palette.ts";
import { formatTick, type Section, timeLabel } from "./section.tsx";

const SWEEP_TITLES: Record<string, string> = {
  k: "Selection budget k",
  pooling: "Pooling factor p",
  levels: "Pyramid levels L",
  scorer: "Scorer",
  grid: "Grid of k, p and L",
};

/** The section, or null where the result has nothing for it. */
export function sweepSection(result: Result, prefix: string): Section | null {
  const measured = result.cases.filter(isMeasured).filter(({ suite }) => suite === "latency");
  const groups = new Map<string, { sweep: string; cases: typeof measured }>();
  for (const record of measured) {
    for (const sweep of record.sweeps ?? []) {
      if (sweep === "context" || record.lighthouse === undefined) continue;
      const { context, heads, headDim, dtype } = record.shape;
      const key = [sweep, record.direction, context, heads, headDim, dtype].join(" ");
      const group = groups.get(key) ?? { sweep, cases: [] };
      groups.set(key, group);
      if (!group.cases.some(({ id }) => id === record.id)) group.cases.push(record);
    }
  }
  const shown = [...groups.values()].filter(({ cases }) => cases.length > 1);
  if (shown.length === 0) return null;
  const speedups = new Map(
    speedupPoints(result).map((point) => [point.denominator.id, point] as const),
  );
  const several = new Set(shown.map(({ cases }) => cases[0].direction)).size > 1;
  const styles = seriesStyles(measured.map(({ implementation }) => implementation));
  return {
    id: `${prefix}sweeps`,
    nav: "Sweeps",
    content: (
      <>
        <h2>What k, p, L and the scorer cost</h2>
        <div class="grid-of-figures">
          {shown.map(({ sweep, cases }, i) => {
            const { shape, direction } = cases[0];
            const dense = measured.find((record) =>
              record.implementation === "dense" && record.direction === direction &&
              record.shape.context === shape.context && record.shape.heads === shape.heads &&
              record.shape.headDim === shape.headDim && record.shape.dtype === shape.dtype
            );
            const sorted = [...cases].sort((a, b) => sweepOrder(a, b, sweep));
            const labels = sweepLabels(sorted, sweep);
            const rows = sorted.map((record, i): DotRow => ({
              label: labels[i],
              value: record.statistic.median,
              low: record.statistic.low,
              high: record.statistic.high,
              text: formatSeconds(record.statistic.median),
              style: styles.get(record.implementation)!,
            }));
            const most = Math.max(...rows.map(({ value }) => value));
            const guide = dense !== undefined && dense.statistic.median < 2.5 * most
              ? {
                value: dense.statistic.median,
                label: `dense ${formatSeconds(dense.statistic.median)}`,
              }
              : undefined;
            const title = Object.hasOwn(SWEEP_TITLES, sweep)
              ? SWEEP_TITLES[sweep]
              : `Sweep: ${sweep}`;
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
      </>
    ),
  };
}

function ratioText(point: SpeedupPoint | undefined): string {
  return point === undefined
    ? ABSENT
    : `${formatRatio(point.ratio)} (${formatInterval([point.low, point.high], formatRatio)})`;
}

/** Scorers of one sweep stand together, unless they are what it varies. */
function sweepOrder(a: CaseRecord, b: CaseRecord, sweep: string): number {
  const keys = ({ lighthouse }: CaseRecord) => {
    const { levels, pooling, k } = lighthouse!;
    const scorer = SCORERS.indexOf(lighthouse!.scorer);
    const options = [levels, pooling, k];
    return sweep === "scorer" ? [...options, scorer] : [scorer, ...options];
  };
  const other = keys(b);
  return keys(a).map((value, i) => value - other[i]).find((difference) => difference !== 0) ?? 0;
}

const SCORERS = ["norm", "dilated", "gla"];

/** The options of a case in which the cases of its sweep differ, the swept one always. */
function sweepLabels(cases: readonly CaseRecord[], sweep: string): string[] {
  const parts = cases.map(({ lighthouse }) => {
    const { levels, pooling, k, scorer } = lighthouse!;
    return {
      scorer: scorer as string,
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
