/**
 * Salience at which half of the needles survive, against the budget.
 *
 * @module
 */
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolCircle } from "d3-shape";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import { ABSENT, formatContext, formatCount, formatSignificant } from "../text/format.ts";
import { NORM_SCORER, type SurvivalPoint } from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import { finite } from "./chart_data.ts";
import { type Described, seriesStyles } from "./palette.ts";
import { budgetName, salienceAxis } from "../html/retrieval_block.tsx";
import { type Curve, CurvePlot, type LinearAxis } from "./curve_plot.tsx";

/** Context of the paper's models, which converts their budgets to K/N. */
const FIGURE_CONTEXT = 98304;

/** Steps of the linear axis of salience. */
const MOST_STEPS = 20;

/** Salience against the budget: of the norm scorer with its law, or of all scorers over decades. */
export function SurvivalFigure(
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
    const at = k === null || scorer !== NORM_SCORER ? NaN : Math.log2(k / FIGURE_CONTEXT);
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
          scorer === NORM_SCORER ? finite(law) : null,
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
          point.scorer === NORM_SCORER && point.law !== null
            ? formatSignificant(point.law)
            : ABSENT,
        ]),
      }}
    />
  );
}

function salienceText({ salience, beyond }: SurvivalPoint): string {
  if (salience !== null) return formatSignificant(salience);
  return beyond === "above" ? "more than the sweep has" : "less than the sweep has";
}

/** A budget as a share of the context. */
export function formatRatioOf({ ratio }: SurvivalPoint): string {
  return budgetName(ratio);
}
