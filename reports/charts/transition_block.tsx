/**
 * The transition by margin: how well a needle must match.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
} from "../text/format.ts";
import { ascending, DENSE_ARM, rateOf, sweepCurves } from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import { type Described, seriesStyles } from "./palette.ts";
import {
  armName,
  Block,
  type BlockProps,
  marginAxis,
  pairedText,
  RATE,
} from "../html/retrieval_block.tsx";
import { type Curve, CurvePlot } from "./curve_plot.tsx";
import { cellData } from "../html/retrieval_export.ts";

/** The decoded share against the margin, at the shortest and the longest context. */
export function TransitionBlock({ record, prefix, described }: BlockProps): JSX.Element | null {
  const contexts = ascending(
    record.cells.filter(({ sweep, arm }) => sweep === "transition" && arm !== "absent")
      .map(({ context }) => context),
  );
  if (contexts.length === 0) return null;
  const ends = ascending([contexts[0], contexts[contexts.length - 1]]);
  const text =
    "The margin μ is how far the needle’s logit stands above the others’ mean. Below the " +
    "transition nobody reads the digit, above it everybody who has the needle does; what " +
    "selection costs is the distance between the curves in between, and where a curve levels off " +
    "below 100 % the needle is not selected however well it matches." +
    (ends.length > 1 ? " A longer context moves the transition to larger margins." : "");
  return (
    <Block title="How well must a needle match?" text={text}>
      <div class="grid-of-figures">
        {ends.map((context, i) => (
          <TransitionFigure
            id={`${prefix}transition-figure-${i + 1}`}
            {...{ record, context, described }}
          />
        ))}
      </div>
    </Block>
  );
}

function TransitionFigure(
  { id, record, context, described }: {
    id: string;
    record: RetrievalRecord;
    context: number;
    described: Described;
  },
) {
  const groups = sweepCurves(record, { sweep: "transition", context });
  const styles = seriesStyles(groups.map(({ arm }) => arm), described);
  const laws = record.laws.filter((law) => law.context === context);
  const ink = { color: "var(--soft)", marker: symbolCircle };
  const curves: Curve[] = [
    {
      label: "law of dense attention",
      style: ink,
      law: true,
      points: laws.map(({ margin, accuracy }) => ({ x: margin, y: accuracy })),
    },
    ...groups.map(({ arm, cells }): Curve => ({
      label: armName(arm),
      style: styles.get(arm)!,
      dash: arm === DENSE_ARM ? "0 9999" : undefined,
      points: cells.map((cell) => ({
        x: cell.margin,
        y: rateOf(cell),
        low: cell.low,
        high: cell.high,
      })),
    })),
  ];
  const margins = groups.flatMap(({ cells }) => cells.map((cell) => cell.margin));
  return (
    <Figure
      id={id}
      title={`Decoded digits against the needle’s margin, context ${formatContext(context)}`}
      description={groups.map(({ arm, cells }) =>
        `${armName(arm)}: ${
          cells.map((cell) => `${formatPercent(rateOf(cell))} at margin ${cell.margin}`).join(", ")
        }.`
      ).join(" ")}
      width={540}
      height={360}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={marginAxis(margins)}
          y={{ ...RATE, label: "trials decoded" }}
          curves={curves}
        />
      )}
      legend={curves.map(({ label, style, law }) => ({ label, style, hollow: law }))}
      note={`Needle at depth 50 %. The thin line is the law, the points of dense attention are the measurement. Bars: Wilson intervals, 95 %.`}
      data={cellData(groups.flatMap(({ cells }) => cells))}
      table={{
        caption: `Transition at context ${formatContext(context)}`,
        columns: [
          { title: "Arm" },
          { title: "Margin", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Law of dense attention", numeric: true },
          { title: "McNemar against dense", numeric: true },
          { title: "against random", numeric: true },
        ],
        rows: groups.flatMap(({ arm, cells }) =>
          cells.map((cell) => [
            armName(arm),
            String(cell.margin),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatInterval([cell.low, cell.high], formatPercent),
            lawText(record, cell),
            pairedText(cell, DENSE_ARM),
            pairedText(cell, "random"),
          ])
        ),
      }}
    />
  );
}

function lawText({ instrument }: RetrievalRecord, { context, margin, arm }: RetrievalCell): string {
  const own = arm === DENSE_ARM &&
    instrument.find((one) =>
      one.quantity === "accuracy" && one.context === context && one.margin === margin
    );
  return own ? formatPercent(own.law) : ABSENT;
}
