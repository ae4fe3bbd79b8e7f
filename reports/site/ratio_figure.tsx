/**
 * Ratios of the times of cases in two runs.
 *
 * @module
 */
import type { JSX } from "preact";
import { DotPlot, dotPlotHeight, type DotRow } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { casesById, DIRECTION_NAMES, isMeasured } from "../data/analysis.ts";
import { formatTick } from "../html/section.tsx";
import {
  ABSENT,
  formatContext,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { implementationName } from "../text/case_title.ts";
import type { CaseNames } from "./case_names.ts";
import type { RunPair } from "./pairs.ts";
import { shorten } from "./runs.ts";
import { CaseCell } from "./site_page.tsx";

/** Cases in the figure of a comparison. */
const MOST_DOTS = 24;
/** Cases in the table; the file that the figure saves has all. */
const MOST_ROWS = 500;

/** A case that both runs timed. */
export interface TimeRatio {
  readonly id: string;
  readonly verdict?: string;
  /** What the verdict is called. */
  readonly word?: string;
  /** B ÷ A. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  readonly baselineSeconds: number;
  readonly candidateSeconds: number;
}

/** Ratios of medians between devices, without a verdict. */
export function CrossRatios(
  { pair: { before, after }, names }: { pair: RunPair; names: CaseNames },
): JSX.Element | null {
  const other = casesById(before.result);
  const ratios = after.result.cases.flatMap((record) => {
    const twin = other.get(record.id);
    if (twin === undefined || !isMeasured(record) || !isMeasured(twin)) return [];
    const [a, b] = [twin.statistic, record.statistic];
    if (!(a.low > 0 && b.low > 0)) return [];
    return [{
      id: record.id,
      ratio: b.median / a.median,
      low: b.low / a.high,
      high: b.high / a.low,
      baselineSeconds: a.median,
      candidateSeconds: b.median,
    }];
  });
  if (ratios.length === 0) {
    return (
      <section id="ratios">
        <h2>No case was measured in both runs</h2>
        <p class="lead">The claims and curves below are what they have in common.</p>
      </section>
    );
  }
  return (
    <section id="ratios">
      <h2>Case by case</h2>
      <RatioFigure
        title="Time of B ÷ time of A, the largest differences"
        axis="B ÷ A: below 1, B is the faster"
        ratios={ratios}
        names={names}
      />
      <p class="source">
        Ratios of medians of two machines or stacks, from the ends of their intervals: a
        description, not a verdict on code.
      </p>
    </section>
  );
}

/** The largest changes as a figure, with the table and the file of all. */
export function RatioFigure({ title, axis, ratios, names }: {
  title: string;
  axis: string;
  ratios: readonly TimeRatio[];
  names: CaseNames;
}): JSX.Element {
  const sorted = [...ratios].sort((a, b) =>
    Math.abs(Math.log(b.ratio)) - Math.abs(Math.log(a.ratio))
  );
  const largest = sorted.slice(0, MOST_DOTS);
  const rows = largest.map(({ id, ratio, low, high }): DotRow => ({
    label: caseLabel(id, names),
    value: ratio,
    low,
    high,
    text: formatRatio(ratio),
    style: names.style(id),
  }));
  return (
    <div class="comparison-figure">
      <Figure
        id="ratio-figure"
        title={title}
        description={largest.map(({ id, ratio }) => `${names.full(id)}: ${formatRatio(ratio)}`)
          .join(", ") +
          "."}
        height={dotPlotHeight(rows.length)}
        compactHeight={dotPlotHeight(rows.length)}
        draw={(size) => (
          <DotPlot
            size={size}
            rows={rows}
            axis={axis}
            format={formatTick(formatRatio)}
            origin={1}
            guide={{ value: 1, label: "as long" }}
          />
        )}
        data={{
          columns: ["case", "verdict", "ratio", "low", "high", "a_seconds", "b_seconds"],
          rows: ratios.map((one) => [
            one.id,
            one.verdict ?? null,
            finite(one.ratio),
            finite(one.low),
            finite(one.high),
            finite(one.baselineSeconds),
            finite(one.candidateSeconds),
          ]),
        }}
        table={{
          caption: sorted.length > MOST_ROWS
            ? `The ${MOST_ROWS} largest of ${sorted.length} changes; the saved file has all`
            : "Every case that both runs measured",
          columns: [
            { title: "Case" },
            { title: "A", numeric: true },
            { title: "B", numeric: true },
            { title: "B ÷ A", numeric: true },
            { title: "Interval", numeric: true },
            { title: "Verdict" },
          ],
          rows: sorted.slice(0, MOST_ROWS).map((one) => [
            <CaseCell title={names.title(one.id)} setting={names.setting(one.id)} />,
            formatSeconds(one.baselineSeconds),
            formatSeconds(one.candidateSeconds),
            formatRatio(one.ratio),
            formatInterval([one.low, one.high], formatRatio),
            one.word ?? ABSENT,
          ]),
        }}
      />
    </div>
  );
}

/** The name of a case, shortened to the room that a plot has beside its dots. */
function caseLabel(id: string, names: CaseNames): string {
  const record = names.record(id);
  if (record === undefined) return shorten(id, 29);
  const { implementation, direction, shape, options } = record;
  const name = implementationName(implementation).replace(/^Lighthouse /, "");
  const way = { "forward": "", "backward": ", bwd", "forward-backward": ", fwd+bwd" }[direction] ??
    `, ${DIRECTION_NAMES[direction]}`;
  const k = options?.k === undefined ? "" : `, k ${options.k}`;
  return shorten(`${name}, ${formatContext(shape.context)}${way}${k}`, 29);
}
