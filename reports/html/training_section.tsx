/**
 * Whole training steps: tokens per second, what the time goes to, memory, and how near the matrix
 * products come to their ceiling.
 *
 * @module
 */
import type { JSX } from "preact";
// @ts-types="npm:@types/d3-shape@3.1.7"
import { symbolSquare } from "d3-shape";
import type { Result } from "../../suites/result/result_schema.ts";
import { StackedBars, stackedBarsHeight } from "../charts/bar_plot.tsx";
import { finite } from "../charts/chart_data.ts";
import { Figure } from "../charts/figure.tsx";
import { leadPair, pairRatio, stepName } from "../claims/training_finding.ts";
import { powerLimitText } from "../data/device_readings.ts";
import { spreadOf } from "../data/spread.ts";
import {
  isPeerStep,
  type TrainingCase,
  trainingCases,
  type TrainingPair,
  trainingPairs,
} from "../data/training_data.ts";
import {
  ABSENT,
  formatBytes,
  formatContext,
  formatCount,
  formatFlopRate,
  formatMeasured,
  formatPercent,
  formatRatio,
  formatSeconds,
  formatTokenRate,
} from "../text/format.ts";
import { type Section, Spread } from "./section.tsx";

/** Classes of work as bars show them: what a stage of a result counts as, and its colour. */
const CLASSES: readonly { name: string; color: string; stages: readonly string[] }[] = [
  { name: "attention", color: "var(--stage-4)", stages: ["attention"] },
  { name: "products", color: "var(--stage-1)", stages: ["products"] },
  {
    name: "norms and elementwise",
    color: "var(--stage-2)",
    stages: ["norms", "elementwise", "embedding", "sampling"],
  },
  { name: "loss", color: "var(--stage-3)", stages: ["loss"] },
  { name: "optimizer", color: "var(--stage-5)", stages: ["optimizer"] },
];

/** The section, or null if the result has no data for it. */
export function trainingSection(result: Result, prefix: string): Section | null {
  const cases = trainingCases(result);
  if (cases.length === 0) return null;
  const pairs = trainingPairs(result);
  const lead = leadPair(result);
  const fastest = cases.reduce((a, b) => b.tokensPerSecond > a.tokensPerSecond ? b : a);
  const broken = cases.filter(({ classes }) => classes.length > 0);
  return {
    id: `${prefix}training`,
    nav: "Training",
    content: (
      <Spread
        title={lead === null
          ? `${stepName(fastest)} trains at ${formatTokenRate(fastest.tokensPerSecond)}`
          : `At ${formatContext(lead.lighthouse.record.shape.context)}, ${
            stepName(lead.lighthouse)
          } trains ${formatRatio(lead.ratio)} as fast as dense attention`}
        figure={<TrainingFigure id={`${prefix}training-figure`} {...{ cases, pairs, broken }} />}
      >
        <p>
          <span class="figure-number">{formatTokenRate(fastest.tokensPerSecond)}</span>
          <span class="figure-label">
            whole steps with {stepName(fastest)}, {modelOf(fastest)}
          </span>
        </p>
        {lead !== null && <p>{sentence(lead)}</p>}
        {broken.length > 0 && <p>{productSentence(broken)}</p>}
        <p>
          A step is the forward pass, the loss, the backward pass and the update, from the model’s
          own weights on; nothing is read back within it. Before it was timed, a small model of the
          same kernels matched float64, and the first steps of the model itself gave the same bits
          twice.
        </p>
      </Spread>
    ),
  };
}

/** The model of a step in words. */
function modelOf({ training }: TrainingCase): string {
  const { layers, width, vocabulary, recompute } = training;
  return `${layers} layers of width ${formatCount(width)}, V = ${formatCount(vocabulary)}, ` +
    `recompute ${recompute}`;
}

/** What a pair means for somebody who trains. */
function sentence({ lighthouse, dense, ratio, rounds }: TrainingPair): string {
  const { tokens, denseEnds: ends } = lighthouse.training;
  const seconds = ({ record }: TrainingCase) => formatSeconds(record.statistic.median);
  const apart = rounds === 0 ? ", by medians that were not measured in the same rounds" : "";
  const outer = ends > 0 ? ` The ${2 * ends} outer layers are dense in both.` : "";
  return `A step of ${formatCount(tokens)} tokens takes ${seconds(lighthouse)} with ${
    stepName(lighthouse)
  } and ${
    seconds(dense)
  } with dense attention in every layer: in the time of one dense step it does ${
    formatRatio(ratio).replace("×", "")
  } steps${apart}.${outer}`;
}

function productSentence(cases: readonly TrainingCase[]): string {
  const { products, classes } = cases.reduce((a, b) =>
    b.tokensPerSecond > a.tokensPerSecond ? b : a
  );
  const share = classes.find(({ name }) => name === "products")?.share ?? 0;
  const rate = products === null ? "" : ` at ${formatFlopRate(products.flopsPerSecond)}` +
    (products.share === null
      ? ""
      : `, ${formatPercent(products.share)} of what this run measured of its ${products.unit}`);
  return `Matrix products take ${formatPercent(share)} of the fastest step${rate}.`;
}

/** Seconds of a step by the classes that bars show. */
function classesOf({ classes }: TrainingCase): { name: string; seconds: number; share: number }[] {
  return CLASSES.map(({ name, stages }) => {
    const own = classes.filter((one) => stages.includes(one.name));
    return {
      name,
      seconds: own.reduce((sum, { seconds }) => sum + seconds, 0),
      share: own.reduce((sum, { share }) => sum + share, 0),
    };
  }).filter(({ seconds }) => seconds > 0);
}

function TrainingFigure(
  { id, cases, pairs, broken }: {
    id: string;
    cases: readonly TrainingCase[];
    pairs: readonly TrainingPair[];
    broken: readonly TrainingCase[];
  },
): JSX.Element {
  const label = labels(cases);
  const names = CLASSES.map(({ name }) => name)
    .filter((name) => broken.some((one) => classesOf(one).some((part) => part.name === name)));
  const colorOf = (name: string) => CLASSES.find((one) => one.name === name)!.color;
  const height = stackedBarsHeight(Math.max(1, broken.length));
  const over = (one: TrainingCase, peers: boolean) =>
    pairs.filter(({ lighthouse, dense }) =>
      lighthouse.record.id === one.record.id && isPeerStep(dense) === peers
    );
  return (
    <Figure
      id={id}
      title="Share of each class of work in a step"
      description={broken.map((one) =>
        `${label(one)}: ${
          classesOf(one).map(({ name, share }) => `${name} ${formatPercent(share)}`).join(", ")
        }.`
      ).join(" ")}
      height={height}
      compactHeight={height}
      draw={(size) => (
        <StackedBars
          size={size}
          axis="share of a step’s time"
          names={names}
          color={colorOf}
          bars={broken.map((one) => ({
            case: one.record.id,
            label: label(one),
            total: formatSeconds(classesOf(one).reduce((sum, { seconds }) => sum + seconds, 0)),
            parts: Object.fromEntries(classesOf(one).map(({ name, seconds }) => [name, seconds])),
          }))}
        />
      )}
      legend={names.map((name) => ({
        label: name,
        style: { color: colorOf(name), marker: symbolSquare },
      }))}
      note="Medians of steps whose classes of work were timed apart; of a peer only the whole step is known. Products and attention include what is computed again in the backward pass."
      data={{
        columns: [
          "case",
          "context_tokens",
          "vocabulary",
          "recompute",
          "class",
          "median_seconds",
          "tokens_per_second",
          "planned_bytes",
          "allocated_bytes",
        ],
        rows: cases.flatMap((one) => {
          const { record, training, tokensPerSecond } = one;
          const parts = classesOf(one);
          const whole = { name: "step", seconds: record.statistic.median };
          return [whole, ...parts].map(({ name, seconds }) => [
            record.id,
            record.shape.context,
            training.vocabulary,
            training.recompute,
            name,
            finite(seconds),
            finite(tokensPerSecond),
            finite(record.peakBytes),
            finite(record.measuredPeakBytes),
          ]);
        }),
      }}
      table={{
        caption: "Whole training steps",
        columns: [
          { title: "Attention" },
          { title: "Model" },
          { title: "Context", numeric: true },
          { title: "Tokens per second", numeric: true },
          { title: "× own dense", numeric: true },
          { title: "× dense of peers", numeric: true },
          { title: "Allocated (planned)", numeric: true },
          { title: "Products, of their ceiling", numeric: true },
          { title: "Loss, first to last", numeric: true },
        ],
        rows: cases.map((one) => [
          stepName(one),
          modelOf(one),
          formatContext(one.record.shape.context),
          formatMeasured(
            one.tokensPerSecond,
            spreadOf(one.record.throughput ?? one.record.statistic),
            formatTokenRate,
          ) + powerLimitText(one.record),
          over(one, false).map((pair) => pairRatio(pair)).join("; ") || ABSENT,
          over(one, true).map((pair) => `${pairRatio(pair)} (${stepName(pair.dense)})`)
            .join("; ") || ABSENT,
          memoryText(one),
          productText(one),
          lossText(one),
        ]),
      }}
    />
  );
}

/** Short names of bars: of several models each with what tells them apart. */
function labels(cases: readonly TrainingCase[]): (one: TrainingCase) => string {
  // How a peer recomputes is unknown.
  const ours = cases.filter((one) => !isPeerStep(one));
  const several = (of: (one: TrainingCase) => unknown) => new Set(ours.map(of)).size > 1;
  const [context, vocabulary, recompute] = [
    several(({ record }) => record.shape.context),
    several(({ training }) => training.vocabulary),
    several(({ training }) => training.recompute),
  ];
  return (one) =>
    [
      stepName(one).replace(/^lighthouse-/, ""),
      ...context ? [formatContext(one.record.shape.context)] : [],
      ...vocabulary ? [`V = ${formatCount(one.training.vocabulary)}`] : [],
      ...recompute ? [one.training.recompute] : [],
    ].join(", ");
}

function memoryText({ record }: TrainingCase): string {
  const { measuredPeakBytes, peakBytes } = record;
  if (measuredPeakBytes === undefined) return `${ABSENT} (${formatBytes(peakBytes)})`;
  return isPeerStep({ record } as TrainingCase)
    ? formatBytes(measuredPeakBytes)
    : `${formatBytes(measuredPeakBytes)} (${formatBytes(peakBytes)})`;
}

function productText({ products }: TrainingCase): string {
  if (products === null) return ABSENT;
  const rate = formatFlopRate(products.flopsPerSecond);
  return products.share === null ? rate : `${rate}, ${formatPercent(products.share)}`;
}

function lossText({ training: { steps } }: TrainingCase): string {
  const [first, last] = [steps.at(0), steps.at(-1)];
  return first && last ? `${first.loss.toFixed(3)}–${last.loss.toFixed(3)}` : ABSENT;
}
