/**
 * Which rows selection covers, where its budget goes, and how stable its choices are.
 *
 * @module
 */
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolSquare } from "d3-shape";
import type { Result } from "../../suites/result/result_schema.ts";
import { type QualityCase, qualityCases } from "../data/selection_data.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatPercent,
  formatPlural,
  formatSignificant,
} from "../text/format.ts";
import {
  DotPlot,
  dotPlotHeight,
  type DotRow,
  StackedBars,
  stackedBarsHeight,
} from "../charts/bar_plot.tsx";
import { type ChartData, finite } from "../charts/chart_data.ts";
import { Figure, Table } from "../charts/figure.tsx";
import { type Described, seriesStyles } from "../charts/palette.ts";
import { formatTick, type Section, Spread } from "./section.tsx";
import { largest, spreadOut } from "../data/extremes.ts";

/** From light to dark: more contributors, coarser levels. */
const SHADES = [
  "var(--bad)",
  "var(--stage-5)",
  "var(--stage-4)",
  "var(--stage-8)",
  "var(--stage-3)",
  "var(--stage-1)",
];

/** The section, or null if the result has no data for it. */
export function selectionSection(result: Result, prefix: string): Section | null {
  const cases = qualityCases(result);
  if (cases.length === 0) return null;
  const own = cases.filter(({ inContexts }) => inContexts);
  const shown = own.length > 0 ? own : cases;
  const implementations = [...new Set(shown.map(({ implementation }) => implementation))];
  const agreement = agreementRows(shown, result);
  const uncovered = largest(cases.map(({ quality, heads }) => quality.uncoveredRows / heads));
  return {
    id: `${prefix}selection`,
    nav: "Selection",
    content: (
      <Spread
        title={uncovered === 0
          ? "Selection reaches every row of the context"
          : `Selection leaves at most ${
            formatPlural(Math.ceil(uncovered), "row")
          } of a head without a contribution`}
        figure={
          <>
            {implementations.map((implementation, i) => (
              <FanInFigure
                id={`${prefix}fan-in-figure-${i + 1}`}
                implementation={implementation}
                cases={shown.filter((one) => one.implementation === implementation)}
              />
            ))}
            {agreement.length > 0 && (
              <Figure
                id={`${prefix}agreement-figure`}
                title="How far selections agree, longest context each"
                description={agreement.map(({ label, text }) => `${label}: ${text}`).join(", ") +
                  "."}
                height={dotPlotHeight(agreement.length)}
                compactHeight={dotPlotHeight(agreement.length)}
                draw={(size) => (
                  <DotPlot
                    size={size}
                    rows={agreement}
                    axis="Jaccard index: 1 is the same entries"
                    format={formatTick(formatSignificant)}
                    guide={{ value: 1, label: "the same entries" }}
                  />
                )}
                note="|A ∩ B| / |A ∪ B| over the entries of all heads and all levels but the coarsest, which is always gathered whole. Noise: every element of Q and K multiplied by 1 + ε, ε seeded, of the standard deviation that the table gives."
                data={agreementData(cases)}
                table={agreementTable(cases)}
              />
            )}
            <details class="data">
              <summary>Selection of {formatPlural(cases.length, "case")}</summary>
              <Table
                caption="Coverage, contributors and levels"
                columns={[
                  { title: "Case" },
                  { title: "Rows without contributor, all heads", numeric: true },
                  { title: "Rows with 0, 1, 2 … contributors" },
                  { title: "Share of each level, finest first" },
                ]}
                rows={cases.map(({ id, quality }) => [
                  id,
                  formatCount(quality.uncoveredRows),
                  quality.fanIn.map((count) => formatPercent(count / quality.rows)).join(", "),
                  quality.levelShares.map(formatPercent).join(", "),
                ])}
              />
            </details>
          </>
        }
      >
        <p>
          A row of the output is the sum of the entries that reach it: at most one of each level. A
          row that none covers is zero; only the first rows of a context can be.
        </p>
        <p>
          Inputs are random numbers without structure, so scores lie close together and how far
          scorers agree here says little of trained models.
        </p>
      </Spread>
    ),
  };
}

/** Settings that a figure draws; its table has all. */
const MOST_BARS = 16;

function FanInFigure(
  { id, implementation, cases }: { id: string; implementation: string; cases: QualityCase[] },
) {
  const most = largest(cases.map(({ quality }) => quality.fanIn.length));
  const names = Array.from({ length: most }, (_, count) => String(count));
  const color = (name: string) => SHADES[Number(name) % SHADES.length];
  const drawn = spreadOut(cases, MOST_BARS);
  const height = stackedBarsHeight(drawn.length);
  return (
    <Figure
      id={id}
      title={`Contributors to each row, ${implementation}`}
      description={drawn.map((one) =>
        `${labelOf(one)}: ${
          one.quality.fanIn.map((count, i) => `${i} in ${formatPercent(count / one.quality.rows)}`)
            .join(", ")
        }.`
      ).join(" ")}
      height={height}
      compactHeight={height}
      draw={(size) => (
        <StackedBars
          size={size}
          axis="share of the rows"
          total="rows"
          names={names}
          color={color}
          bars={drawn.map((one) => ({
            label: labelOf(one),
            total: formatContext(one.quality.rows),
            parts: Object.fromEntries(one.quality.fanIn.map((count, i) => [String(i), count])),
          }))}
        />
      )}
      legend={names.map((name) => ({
        label: `${name} ${name === "1" ? "entry" : "entries"}`,
        style: { color: color(name), marker: symbolSquare },
      }))}
      note={drawn.length < cases.length
        ? `${formatCount(drawn.length)} of ${formatCount(cases.length)} settings are drawn.`
        : undefined}
      data={{
        columns: ["context_tokens", "setting", "contributors", "rows", "share"],
        rows: cases.flatMap(({ context, setting, quality }) =>
          quality.fanIn.map((
            count,
            i,
          ) => [context, setting, i, count, finite(count / quality.rows)])
        ),
      }}
      table={{
        caption: `Contributors to each row, ${implementation}`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Setting" },
          { title: "Contributors", numeric: true },
          { title: "Rows, all heads", numeric: true },
          { title: "Share", numeric: true },
        ],
        rows: cases.flatMap(({ context, setting, quality }) =>
          quality.fanIn.map((count, i) => [
            formatContext(context),
            setting,
            String(i),
            formatCount(count),
            formatPercent(count / quality.rows),
          ])
        ),
      }}
    />
  );
}

/** Context, and what else distinguishes the case from similar ones. */
function labelOf({ context, distinction }: QualityCase): string {
  return [formatContext(context), distinction].filter(Boolean).join(", ");
}

/** Overlap and stability of each implementation at its longest context with both. */
function agreementRows(cases: readonly QualityCase[], described: Described): DotRow[] {
  const styles = seriesStyles(cases.map(({ implementation }) => implementation), described);
  const rows = new Map<string, DotRow>();
  const add = (one: QualityCase, label: string, jaccard: number) =>
    rows.set(`${label} ${one.distinction}`, {
      label: `${label}, ${labelOf(one)}`,
      value: jaccard,
      text: formatSignificant(jaccard),
      style: styles.get(one.implementation)!,
    });
  // Contexts ascend: the longest one is kept.
  for (const one of cases) {
    const { stability, overlaps = [] } = one.quality;
    if (stability) add(one, `${short(one.implementation)}, noise`, stability.jaccard);
    for (const { implementation, jaccard } of overlaps) {
      add(one, `${short(one.implementation)} and ${short(implementation)}`, jaccard);
    }
  }
  return [...rows.values()];
}

function agreementData(cases: readonly QualityCase[]): ChartData {
  const finest = Math.max(
    0,
    ...cases.flatMap(({ quality: { stability, overlaps = [] } }) =>
      [...(stability ? [stability] : []), ...overlaps].map(({ levels }) => levels.length)
    ),
  );
  const levels = Array.from({ length: finest }, (_, level) => level);
  return {
    columns: ["case", "with", "noise", "jaccard", ...levels.map((level) => `level_${level}`)],
    rows: cases.flatMap(({ id, implementation, quality: { stability, overlaps = [] } }) =>
      [
        ...(stability ? [{ implementation, ...stability }] : []),
        ...overlaps.map((overlap) => ({ noise: null, ...overlap })),
      ].map((one) => [
        id,
        one.implementation,
        finite(one.noise),
        finite(one.jaccard),
        ...levels.map((level) => finite(one.levels[level])),
      ])
    ),
  };
}

function agreementTable(cases: readonly QualityCase[]) {
  const levels = (values: readonly number[]) =>
    values.length === 0 ? ABSENT : values.map(formatSignificant).join(", ");
  return {
    caption: "Jaccard indices",
    columns: [
      { title: "Case" },
      { title: "With" },
      { title: "Jaccard", numeric: true },
      { title: "Of each level, finest first" },
    ],
    rows: cases.flatMap(({ id, quality: { stability, overlaps = [] } }) => [
      ...(stability
        ? [[
          id,
          `itself, noise of ${formatPercent(stability.noise)}`,
          formatSignificant(stability.jaccard),
          levels(stability.levels),
        ]]
        : []),
      ...overlaps.map((overlap) => [
        id,
        overlap.implementation,
        formatSignificant(overlap.jaccard),
        levels(overlap.levels),
      ]),
    ]),
  };
}

function short(implementation: string): string {
  return implementation.replace(/^lighthouse-/, "");
}
