/**
 * Curves of the retrieval section: the transition by margin, and what a needle needs to survive.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";
import {
  ABSENT,
  formatContext,
  formatCount,
  formatInterval,
  formatPercent,
  formatSignificant,
} from "../text/format.ts";
import {
  ascending,
  orderArms,
  rateOf,
  type SurvivalPoint,
  survivalPoints,
  sweepCurves,
} from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import { finite } from "./chart_data.ts";
import { cycledStyles, type Described, seriesStyles } from "./palette.ts";
import {
  armName,
  Block,
  type BlockProps,
  budgetName,
  marginAxis,
  pairedText,
  RATE,
  salienceAxis,
} from "../html/retrieval_block.tsx";
import { type Curve, CurvePlot, type LinearAxis } from "./retrieval_drawings.tsx";
import { cellData } from "../html/retrieval_export.ts";
import { capital } from "../html/section.tsx";

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
      dash: arm === "dense" ? "0 9999" : undefined,
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
            pairedText(cell, "dense"),
            pairedText(cell, "random"),
          ])
        ),
      }}
    />
  );
}

function lawText({ instrument }: RetrievalRecord, { context, margin, arm }: RetrievalCell): string {
  const own = arm === "dense" &&
    instrument.find((one) =>
      one.quantity === "accuracy" && one.context === context && one.margin === margin
    );
  return own ? formatPercent(own.law) : ABSENT;
}

/** What a needle needs to survive. */
export function SalienceBlock({ record, prefix, described }: BlockProps): JSX.Element | null {
  const points = survivalPoints(record);
  if (points.length === 0) return null;
  const norm = points.filter(({ scorer }) => scorer === "norm");
  const sweeps = (["salience", "alignment"] as const).map((sweep) => ({
    sweep,
    arms: orderArms(
      record.cells.filter((cell) => cell.sweep === sweep && cell.lighthouse).map(({ arm }) => arm),
    ),
  }));
  return (
    <Block title="What a needle needs to survive" text={survivalText(points)}>
      <div class="grid-of-figures">
        {norm.length > 0 && (
          <SurvivalFigure
            id={`${prefix}survival-figure`}
            title="Salience at which half of the needles survive: norm scorer"
            note="Survive: selected at full resolution. Thin line: a needle must be among the K/(2N) keys of largest norm. Dashed: the paper’s budgets and what its models then retrieved."
            points={norm}
            described={described}
          />
        )}
        <SurvivalFigure
          id={`${prefix}survival-all-figure`}
          title="The same for all scorers, logarithmic"
          note="Scorers without a point never cross one half within the sweep; the table says on which side they stay."
          points={points}
          described={described}
          log
        />
      </div>
      {sweeps.map(({ sweep, arms }) => (
        <div class="grid-of-small">
          {arms.map((arm) => (
            <RecallFigure
              id={`${prefix}${sweep}-figure-${arms.indexOf(arm) + 1}`}
              {...{ record, sweep, arm }}
            />
          ))}
        </div>
      ))}
    </Block>
  );
}

function survivalText(points: readonly SurvivalPoint[]): string {
  const norm = points.filter(({ scorer, salience }) => scorer === "norm" && salience !== null);
  const opening =
    "The norm scorer sees only magnitudes. A needle must be among the K/(2N) keys of " +
    "largest norm, which predicts the salience it needs, its norm over the other keys’.";
  const others = orderArms(points.map(({ scorer }) => `lighthouse-${scorer}`))
    .filter((arm) => arm !== "lighthouse-norm").map((arm) => {
      const own = points.filter(({ scorer }) => `lighthouse-${scorer}` === arm);
      const reached = own.filter(({ salience }) => salience !== null);
      return reached.length > 0
        ? ` ${capital(armName(arm))}: half survive from ${
          formatSignificant(reached[0].salience!)
        } times on at K/N = ${formatRatioOf(reached[0])}.`
        : ` ${capital(armName(arm))}: ${
          own.every(({ beyond }) => beyond === "above")
            ? "no salience of the sweep lets half survive."
            : "one half is never crossed within the sweep."
        }`;
    }).join("");
  if (norm.length === 0) return `${opening}${others}`;
  const [least, most] = [norm[0], norm[norm.length - 1]];
  return `${opening} Measured: ${
    formatSignificant(least.salience!)
  } times the other keys’ norm at K/N = ${formatRatioOf(least)}, ${
    formatSignificant(most.salience!)
  } times at ${
    formatRatioOf(most)
  }. A smaller budget asks for more salience, whatever the match with the query: the direction of ` +
    `Fig. 4, where the norm scorer falls from 0.72 to 0.65 as k goes from 2,048 to 1,536.${others}`;
}

function RecallFigure(
  { id, record, sweep, arm }: {
    id: string;
    record: RetrievalRecord;
    sweep: "salience" | "alignment";
    arm: string;
  },
): JSX.Element {
  const groups = sweepCurves(record, { sweep }).filter((group) => group.arm === arm);
  const styles = cycledStyles(groups.length);
  const varied = (cell: RetrievalCell) => sweep === "salience" ? cell.salience! : cell.margin;
  const values = ascending(groups.flatMap(({ cells }) => cells.map(varied)));
  const axis: Omit<LinearAxis, "label"> = sweep === "salience"
    ? salienceAxis(values)
    : marginAxis(values);
  const place = (cell: RetrievalCell) =>
    sweep === "salience" ? Math.log2(varied(cell)) : varied(cell);
  const named = groups.map(({ k, cells }) => budgetName(k! / cells[0].context));
  const curves = groups.map(({ cells }, i): Curve => ({
    label: named[i],
    style: styles[i],
    points: cells.map((cell) => ({ x: place(cell), y: cell.needleSelected / cell.trials })),
  }));
  const [{ cells: [{ margin, salience }] }] = groups;
  const fixed = sweep === "salience" ? `margin ${margin}` : `norm ${salience}`;
  const title = `${capital(armName(arm))}: needles selected, by ${
    sweep === "salience" ? "norm" : "margin"
  } at ${fixed}`;
  return (
    <Figure
      id={id}
      title={title}
      description={groups.map(({ cells }, i) =>
        `K/N = ${named[i]}: ${
          cells.map((cell) =>
            `${formatPercent(cell.needleSelected / cell.trials)} at ${varied(cell)}`
          ).join(", ")
        }.`
      ).join(" ")}
      width={360}
      height={290}
      compactHeight={280}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{
            ...axis,
            label: sweep === "salience" ? "norm of the needle’s key, others 1" : "logit margin μ",
          }}
          y={{ ...RATE, label: "selected at full resolution" }}
          curves={curves}
        />
      )}
      legend={groups.map((_, i) => ({ label: `K/N ${named[i]}`, style: styles[i] }))}
      data={cellData(groups.flatMap(({ cells }) => cells))}
      table={{
        caption: title,
        columns: [
          { title: "K/N" },
          { title: sweep === "salience" ? "Norm" : "Margin", numeric: true },
          { title: "Selected at full resolution", numeric: true },
          { title: "Decoded", numeric: true },
          { title: "Wilson 95 %", numeric: true },
          { title: "Attention mass", numeric: true },
          { title: "Error against dense", numeric: true },
        ],
        rows: groups.flatMap(({ cells }, i) =>
          cells.map((cell) => [
            named[i],
            String(varied(cell)),
            formatPercent(cell.needleSelected / cell.trials),
            `${formatCount(cell.correct)} of ${formatCount(cell.trials)}`,
            formatInterval([cell.low, cell.high], formatPercent),
            formatSignificant(cell.mass),
            formatSignificant(cell.outputError),
          ])
        ),
      }}
    />
  );
}

/** Context of the paper's models, by which their budgets become K/N. */
const FIGURE_CONTEXT = 98304;

/** Steps of the linear axis of salience. */
const MOST_STEPS = 20;

/** Salience against the budget: of the norm scorer beside its law, or of all scorers over decades. */
function SurvivalFigure(
  { id, title, note, points, described, log = false }: {
    id: string;
    title: string;
    note: string;
    points: readonly SurvivalPoint[];
    described: Described;
    log?: boolean;
  },
) {
  const scale = (salience: number) => log ? Math.log2(salience) : salience;
  const scorers = [...new Set(points.map(({ scorer }) => scorer))];
  const styles = seriesStyles(scorers.map((scorer) => `lighthouse-${scorer}`), described);
  const ratios = [...new Set(points.map(({ ratio }) => ratio))].sort((a, b) => a - b);
  const theory = ratios.flatMap((ratio) => {
    const law = points.find((point) => point.ratio === ratio)?.law ?? null;
    return law === null ? [] : [{ x: Math.log2(ratio), y: scale(law) }];
  });
  const curves: Curve[] = [
    {
      label: "law of the norm scorer",
      style: { color: "var(--soft)", marker: symbolCircle },
      law: true,
      points: theory,
    },
    ...scorers.map((scorer): Curve => ({
      label: scorer,
      style: styles.get(`lighthouse-${scorer}`)!,
      points: points.flatMap((point) =>
        point.scorer === scorer && point.salience !== null
          ? [{ x: Math.log2(point.ratio), y: scale(point.salience) }]
          : []
      ),
    })),
  ];
  const values = curves.flatMap(({ points }) => points.map(({ y }) => y));
  const top = Math.ceil(10 * Math.max(1.2, ...values) + 0.2) / 10;
  const steps = Math.min(MOST_STEPS, Math.round(10 * (top - 1)));
  const y: LinearAxis = {
    label: "norm of the needle’s key, others 1",
    ...(log ? salienceAxis(values.map((value) => 2 ** value)) : {
      domain: [1, top] as [number, number],
      ticks: Array.from({ length: steps + 1 }, (_, i) => 1 + (top - 1) * i / steps),
      format: (value: number) => value < 100 ? value.toFixed(1) : formatSignificant(value),
    }),
  };
  const [first, last] = [Math.log2(ratios[0]), Math.log2(ratios[ratios.length - 1])];
  const guides = paper.retrieval.mean.flatMap(({ scorer, k, mean }) => {
    const at = k === null || scorer !== "norm" ? NaN : Math.log2(k / FIGURE_CONTEXT);
    return at >= first && at <= last
      ? [{ x: at, label: `Fig. 4, norm, k = ${formatCount(k!)}: ${mean.toFixed(2)}` }]
      : [];
  }).sort((a, b) => b.x - a.x);
  return (
    <Figure
      id={id}
      title={title}
      description={points.map((point) =>
        `${point.scorer} at K/N = ${formatRatioOf(point)}: ${salienceText(point)}.`
      ).join(" ")}
      width={540}
      height={340}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{
            label: "budget K/N",
            domain: [first - 0.3, last + 0.3],
            ticks: ratios.map(Math.log2),
            format: (value) => `1/${Math.round(2 ** -value)}`,
          }}
          y={y}
          curves={curves}
          guides={size.compact || log ? [] : guides}
        />
      )}
      legend={curves.map(({ label, style, law }) => ({ label, style, hollow: law }))}
      note={note}
      data={{
        columns: ["scorer", "k_over_n", "k", "context_tokens", "salience", "law_of_norm_scorer"],
        rows: points.map(({ scorer, ratio, k, context, salience, law }) => [
          scorer,
          finite(ratio),
          k,
          context,
          finite(salience),
          scorer === "norm" ? finite(law) : null,
        ]),
      }}
      table={{
        caption: "Salience at which half of the needles are selected",
        columns: [
          { title: "Scorer" },
          { title: "K/N" },
          { title: "k", numeric: true },
          { title: "Context", numeric: true },
          { title: "Salience", numeric: true },
          { title: "Law of the norm scorer", numeric: true },
        ],
        rows: points.map((point) => [
          point.scorer,
          formatRatioOf(point),
          formatCount(point.k),
          formatContext(point.context),
          salienceText(point),
          point.scorer === "norm" && point.law !== null ? formatSignificant(point.law) : ABSENT,
        ]),
      }}
    />
  );
}

function salienceText({ salience, beyond }: SurvivalPoint): string {
  if (salience !== null) return formatSignificant(salience);
  return beyond === "above" ? "more than the sweep has" : "less than the sweep has";
}

function formatRatioOf({ ratio }: SurvivalPoint): string {
  return budgetName(ratio);
}
