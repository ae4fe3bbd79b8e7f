/**
 * Lighthouse beside its rivals: time against context with the pairs that each attends to, and what each finds
 * of a planted needle.
 *
 * @module
 */
import { powerLimitText } from "../data/device_readings.ts";
import type { JSX } from "preact";
import type { Result } from "../../suites/result/result_schema.ts";
import { DIRECTION_NAMES, LEAD_LAYER, OWN_DENSE } from "../data/cases.ts";
import {
  missingRivals,
  type RivalComparison,
  rivalComparisons,
  rivalNeedles,
  type RivalSeries,
} from "../data/rivals_data.ts";
import {
  formatContext,
  formatCount,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSpread,
  SPREAD_TITLE,
} from "../text/format.ts";
import { finite, plotData } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { LogPlot, type PlotSeries } from "../charts/log_plot.tsx";
import { styleOf } from "../charts/palette.ts";
import { RivalNeedleBlock } from "./rival_needles.tsx";
import {
  capital,
  contextAxis,
  contextPoint,
  describe,
  type Section,
  Spread,
  timeAxis,
  timeLabel,
  unbroken,
} from "./section.tsx";

/** Dashes of further settings of one implementation. */
const DASHES = [undefined, "7 4", "2 4", "10 3 2 3"];

/** The section, or null if the result has no data for it. */
export function rivalsSection(result: Result, prefix: string): Section | null {
  const content = <RivalsContent result={result} prefix={prefix} />;
  return hasRivals(result) ? { id: `${prefix}rivals`, nav: "Rivals", content } : null;
}

/** Whether a result has times or needles of sparse attentions other than Lighthouse. */
export function hasRivals(result: Result): boolean {
  return rivalComparisons(result).length > 0 || rivalNeedles(result) !== null;
}

/** The section's content, which the site has on a page of its own too. */
export function RivalsContent(
  { result, prefix, level = 2 }: {
    result: Result;
    /** Of all ids. */
    prefix: string;
    /** Of the heading; null: the page has one. */
    level?: 2 | null;
  },
): JSX.Element {
  const comparisons = rivalComparisons(result);
  const missing = missingRivals(result);
  const shown = new Set(
    comparisons.flatMap(({ series }) => series.map(({ implementation }) => implementation)),
  );
  const notes = result.implementations.flatMap(({ name, note, family }) =>
    note !== undefined && family === "sparse" && shown.has(name) ? [note] : []
  );
  return (
    <>
      {comparisons.length > 0 && (
        <Spread
          title={level === null ? "Time against context" : rivalsTitle(comparisons)}
          figure={comparisons.map((one) => (
            <RivalFigure
              id={`${prefix}rivals-figure-${one.direction}-${one.group}`}
              result={result}
              {...one}
            />
          ))}
        >
          <p>
            A pair is a query and a key that enter one softmax. Published settings attend to other
            numbers of pairs each, so their times compare layers as their authors use them; matched
            settings attend to as many as Lighthouse does at that context, S²/2 a head, 3.5 % of
            dense attention at k = N/64, L = 3, p = 4.
          </p>
          <p>
            Selecting keys is not counted as pairs, but is part of the time: pooled scores, an index
            over all tokens, or the pyramid.
          </p>
          {notes.map((note) => <p>{note}</p>)}
          {comparisons.map((one) => <Ranking {...one} />)}
          {missing.length > 0 && <Missing missing={missing} />}
        </Spread>
      )}
      <RivalNeedleBlock result={result} prefix={prefix} />
    </>
  );
}

function rivalsTitle(comparisons: readonly RivalComparison[]): string {
  const count = new Set(
    comparisons.flatMap(({ series }) => series.map(({ implementation }) => implementation))
      .filter((name) => name !== OWN_DENSE && name !== LEAD_LAYER),
  ).size;
  return `Lighthouse beside ${formatPlural(count, "rival")}`;
}

/** What a group of settings is called. */
function groupName({ group }: Pick<RivalComparison, "group">): string {
  return group === "matched" ? "as many pairs as Lighthouse" : "published settings";
}

/** The times at the longest context that most series have, the shortest first. */
function Ranking({ direction, group, series }: RivalComparison): JSX.Element | null {
  const counts = Map.groupBy(
    series.flatMap(({ points }) => points.map(({ context }) => context)),
    (context) => context,
  );
  const most = Math.max(...[...counts.values()].map((own) => own.length));
  const context = Math.max(
    ...[...counts].filter(([, own]) => own.length === most).map(([context]) => context),
  );
  const found = series.flatMap(({ label, points }) =>
    points.filter((point) => point.context === context).map((point) => ({ label, point }))
  ).sort((a, b) => a.point.median - b.point.median);
  if (found.length < 2) return null;
  return (
    <>
      <h3>
        {capital(DIRECTION_NAMES[direction])}, {groupName({ group })}, at {formatContext(context)}
      </h3>
      <ol class="ranking">
        {found.map(({ label, point }) => (
          <li>
            {unbroken(`${label}: ${formatSeconds(point.median)}`)}, {formatPercent(point.share)}
            {" "}
            of dense pairs
          </li>
        ))}
      </ol>
    </>
  );
}

function Missing({ missing }: { missing: ReturnType<typeof missingRivals> }): JSX.Element {
  const count = missing.reduce((sum, { cases }) => sum + cases.length, 0);
  return (
    <details class="data">
      <summary>Not timed: {formatPlural(count, "case")}, and why</summary>
      <dl class="reasons plain">
        {missing.map(({ reason, cases }) => (
          <>
            <dt>{reason}</dt>
            <dd>{cases.map(({ id }) => id).join(", ")}</dd>
          </>
        ))}
      </dl>
    </details>
  );
}

/** Series as lines: one colour and mark an implementation, dashes for its further settings. */
function plotOf(series: readonly RivalSeries[], result: Result): PlotSeries[] {
  const seen = new Map<string, number>();
  return series.map(({ implementation, label, points }) => {
    const variant = seen.get(implementation) ?? 0;
    seen.set(implementation, variant + 1);
    return {
      label,
      style: styleOf(implementation, result),
      dash: DASHES[variant % DASHES.length],
      hollow: variant % 2 === 1,
      points: points.map((point) => ({
        ...contextPoint(point.median, point),
        case: point.case.id,
        remark: `${formatPercent(point.share)} of dense pairs`,
      })),
    };
  });
}

function RivalFigure(
  { id, result, direction, group, series }: RivalComparison & { id: string; result: Result },
): JSX.Element {
  const plot = plotOf(series, result);
  const all = plot.flatMap(({ points }) => points);
  const rows = series.flatMap(({ label, kvHeads, points }) =>
    points.map((point) => ({ label, kvHeads, point }))
  );
  const dense = new Map(
    series.filter(({ implementation }) => implementation === OWN_DENSE)
      .flatMap(({ points }) => points.map(({ context, median }) => [context, median])),
  );
  const plain = plotData(plot, { x: "context_tokens", y: "median_seconds" });
  return (
    <Figure
      id={id}
      title={unbroken(
        `Time against context, ${DIRECTION_NAMES[direction]}, ${groupName({ group })}`,
      )}
      height={470}
      description={describe(plot, formatSeconds)}
      draw={(size) => (
        <LogPlot
          size={size}
          x={contextAxis(all.map(({ x }) => x))}
          y={timeAxis(timeLabel(result), all.map(({ y }) => y))}
          series={plot}
          labelRoom={150}
        />
      )}
      legend={plot}
      note="Dense attention and Lighthouse have a key head for each head. Bars are 95 % intervals, or ranges where there are fewer than six samples. The readout of a point says its pairs."
      data={{
        columns: [...plain.columns, "key_heads", "pairs_of_a_head", "share_of_dense_pairs"],
        rows: plain.rows.map((row, i) => [
          ...row,
          rows[i].kvHeads,
          finite(rows[i].point.pairs),
          finite(rows[i].point.share),
        ]),
      }}
      table={{
        caption: `${capital(DIRECTION_NAMES[direction])}, ${groupName({ group })}`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Layer" },
          { title: "Settings" },
          { title: "Key heads", numeric: true },
          { title: "Pairs of a head", numeric: true },
          { title: "Of dense attention’s", numeric: true },
          { title: "Median", numeric: true },
          { title: SPREAD_TITLE, numeric: true },
          { title: "Dense time ÷ its time", numeric: true },
        ],
        rows: rows.map(({ label, kvHeads, point }) => {
          const base = dense.get(point.context);
          return [
            formatContext(point.context),
            label,
            settingsText(point.case.options),
            formatCount(kvHeads),
            formatCount(Math.round(point.pairs)),
            formatPercent(point.share),
            formatSeconds(point.median) + powerLimitText(point.case),
            formatSpread(point, formatSeconds),
            base === undefined ? "–" : formatRatio(base / point.median),
          ];
        }),
      }}
    />
  );
}

/** Values of options in words. */
function settingsText(options: Readonly<Record<string, number>> | undefined): string {
  return Object.entries(options ?? {}).filter(([name]) => !name.endsWith("Seed"))
    .map(([name, value]) => `${name} ${formatCount(value)}`).join(", ") || "–";
}
