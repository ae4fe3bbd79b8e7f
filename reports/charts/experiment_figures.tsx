/**
 * Figures of a training experiment: loss curves, and differences with their intervals.
 *
 * @module
 */
import type { JSX } from "preact";
import type { ExperimentRecord } from "../../suites/result/result_schema.ts";
import { aboveDense, blockMeans, type CurvePoint } from "../data/experiment_curves.ts";
import { armsOf, type Finding, judgeHypotheses, registeredOf } from "../data/experiment_data.ts";
import { largest, smallest } from "../data/extremes.ts";
import { DENSE_ARM } from "../data/retrieval_data.ts";
import { formatCount, formatInterval } from "../text/format.ts";
import { type Curve, CurvePlot, type LinearAxis } from "./curve_plot.tsx";
import { Figure } from "./figure.tsx";
import { type Described, plotStyles } from "./palette.ts";

/** What every figure of an experiment receives. */
export interface ExperimentFigureProps {
  readonly record: ExperimentRecord;
  readonly prefix: string;
  /** The result with the record. */
  readonly described: Described;
}

/** Styles of arms: that of their scorer, further arms of it dashed. */
function armStyles({ record, described }: Pick<ExperimentFigureProps, "record" | "described">) {
  const arms = armsOf(record);
  const registered = registeredOf(record).arms;
  const names = arms.map((arm) => {
    const scorer = registered.find(({ name }) => name === arm)?.scorer;
    return scorer === undefined ? DENSE_ARM : `lighthouse-${scorer}`;
  });
  const styles = plotStyles(names, described);
  return new Map(arms.map((arm, i) => [arm, { label: arm, ...styles[i] }]));
}

interface Line {
  readonly arm: string;
  readonly seed: number;
  readonly points: readonly CurvePoint[];
}

/** Loss curves of all units, one line for each seed. */
export function LossCurves(props: ExperimentFigureProps): JSX.Element | null {
  const { record, prefix } = props;
  const lines = record.units.map(({ arm, seed, losses, switchStep }): Line => ({
    arm,
    seed,
    points: blockMeans(losses, { switchStep }),
  }));
  return (
    <Curves
      {...props}
      id={`${prefix}experiment-losses`}
      title="Training loss"
      y="nats per token"
      lines={lines}
    />
  );
}

/** Losses above those of the dense unit that saw the same batches. */
export function DifferenceCurves(props: ExperimentFigureProps): JSX.Element | null {
  const { record, prefix } = props;
  const lines = record.units.flatMap((unit): Line[] => {
    const { arm, seed, switchStep } = unit;
    const above = aboveDense(record, unit);
    return above ? [{ arm, seed, points: blockMeans(above, { switchStep }) }] : [];
  });
  return (
    <Curves
      {...props}
      id={`${prefix}experiment-differences`}
      title="Training loss above the dense model’s, same batches"
      y="nats per token"
      lines={lines}
    />
  );
}

function Curves(
  { id, title, y, lines, ...props }: ExperimentFigureProps & {
    id: string;
    title: string;
    y: string;
    lines: readonly Line[];
  },
): JSX.Element | null {
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value));
  if (values.length === 0) return null;
  const styles = armStyles(props);
  const last = largest(lines.flatMap(({ points }) => points.map(({ step }) => step)));
  const switchStep = props.record.units[0].switchStep;
  const domain: [number, number] = [smallest(values), largest(values)];
  const axes = { x: stepAxis(last), y: valueAxis(y, domain) };
  const curves = lines.map(({ arm, seed, points }): Curve => {
    const { style, dash } = styles.get(arm)!;
    return {
      label: `${arm}, seed ${seed}`,
      style,
      dash,
      law: true,
      points: points.map(({ step, value }) => ({ x: step, y: value })),
    };
  });
  const arms = [...styles.values()].filter(({ label }) => lines.some(({ arm }) => arm === label));
  return (
    <Figure
      id={id}
      title={title}
      description={lines.map(({ arm, seed, points }) =>
        `${arm}, seed ${seed}: ${points[0].value.toFixed(3)} at first, ${
          points[points.length - 1].value.toFixed(3)
        } at last`
      ).join("; ") + "."}
      height={360}
      draw={(size) => (
        <CurvePlot
          size={size}
          {...axes}
          curves={curves}
          guides={[{ x: switchStep, label: "every layer dense from here" }]}
        />
      )}
      legend={arms}
      note="Each point is a mean over some steps, each line a seed."
      data={{
        columns: ["arm", "seed", "step", "nats"],
        rows: lines.flatMap(({ arm, seed, points }) =>
          points.map(({ step, value }) => [arm, seed, step, value])
        ),
      }}
      table={{
        caption: `${title}: means of the first and the last steps`,
        columns: [
          { title: "Arm" },
          { title: "Seed", numeric: true },
          { title: "First", numeric: true },
          { title: "Before the switch", numeric: true },
          { title: "After it", numeric: true },
          { title: "Last", numeric: true },
        ],
        rows: lines.map(({ arm, seed, points }) => {
          const after = points.findIndex(({ step }) => step >= switchStep);
          const shown = [0, Math.max(0, after - 1), Math.max(0, after), points.length - 1];
          return [arm, String(seed), ...shown.map((i) => points[i].value.toFixed(4))];
        }),
      }}
    />
  );
}

function stepAxis(last: number): LinearAxis {
  const step = niceStep(last / 5);
  return {
    label: "step",
    domain: [0, Math.max(1, last)],
    ticks: Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step),
    format: formatCount,
  };
}

/** An axis with about five ticks around values. */
function valueAxis(label: string, [low, high]: [number, number]): LinearAxis {
  const step = niceStep(Math.max(high - low, 1e-6) / 5);
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return {
    label,
    domain: [first * step, Math.max(last, first + 1) * step],
    ticks: Array.from(
      { length: Math.max(last, first + 1) - first + 1 },
      (_, i) => (first + i) * step,
    ),
    format: (value) => value.toFixed(Math.min(6, digits)),
  };
}

/** 1, 2 or 5 times a power of ten, at least the given step. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(step, 1e-9)));
  return ([1, 2, 5].find((one) => one * power >= step) ?? 10) * power;
}

/** How much worse the arms of the hypotheses are, against their margins; one figure for each unit. */
export function FindingFigures({ record, prefix }: ExperimentFigureProps): JSX.Element {
  const found = judgeHypotheses(record).filter(({ worse }) => worse !== undefined);
  const kinds = [
    { name: "loss", title: "Held-out loss", unit: "nats", factor: 1, has: isLoss },
    {
      name: "needles",
      title: "Needles answered",
      unit: "points",
      factor: 100,
      has: (one: Finding) => !isLoss(one),
    },
  ];
  return (
    <>
      {kinds.map(({ name, title, unit, factor, has }) => {
        const own = found.filter(has);
        return own.length > 0 && (
          <FindingFigure
            id={`${prefix}experiment-findings-${name}`}
            title={`${title}: how much worse, with 95 % intervals`}
            unit={unit}
            factor={factor}
            findings={own}
          />
        );
      })}
    </>
  );
}

function isLoss({ measure }: Finding): boolean {
  return measure === "held-out-loss";
}

function FindingFigure(
  { id, title, unit, factor, findings }: {
    id: string;
    title: string;
    unit: string;
    factor: number;
    findings: readonly Finding[];
  },
): JSX.Element {
  const style = { color: "var(--cycle-1)", marker: MARKER };
  // An interval of one seed has no ends.
  const end = (value: number, otherwise: number) => Number.isFinite(value) ? value : otherwise;
  const points = findings.map(({ worse, margin }, i) => ({
    x: i,
    y: factor * worse!.estimate,
    low: factor * end(worse!.low, worse!.estimate),
    high: factor * end(worse!.high, worse!.estimate),
    margin: factor * margin,
  }));
  const all = points.flatMap(({ low, high, margin }) => [low, high, margin, 0]);
  const lines = (value: (point: typeof points[number]) => number) =>
    points.map((point): Curve => ({
      label: "",
      style: { ...style, color: "var(--other-1)" },
      law: true,
      dash: "4 3",
      points: [{ x: point.x - 0.3, y: value(point) }, { x: point.x + 0.3, y: value(point) }],
    }));
  const curves: Curve[] = [
    { label: unit, style, dash: "0 9999", points: points.map(({ margin: _, ...point }) => point) },
    ...lines(({ margin }) => margin),
  ];
  const format = (value: number) => value.toFixed(factor === 1 ? 4 : 1);
  return (
    <Figure
      id={id}
      title={title}
      description={findings.map(({ id, arm, against, verdict }, i) =>
        `${id}, ${arm} against ${against}: ${format(points[i].y)} ${unit} worse, ${verdict}`
      ).join("; ") + "."}
      height={300}
      width={540}
      draw={(size) => (
        <CurvePlot
          size={size}
          x={{
            label: "hypothesis",
            domain: [-0.5, points.length - 0.5],
            ticks: points.map(({ x }) => x),
            format: (i) => findings[i]?.id ?? "",
          }}
          y={valueAxis(`${unit} worse`, [smallest(all), largest(all)])}
          curves={curves}
        />
      )}
      note="Dashed: the margin. Below 0 the arm is better than the other."
      table={{
        caption: title,
        columns: [
          { title: "Hypothesis" },
          { title: "Arm" },
          { title: "Against" },
          { title: "Seeds", numeric: true },
          { title: `Worse by, ${unit}`, numeric: true },
          { title: "95 %", numeric: true },
          { title: "Margin", numeric: true },
          { title: "Verdict at this scale" },
        ],
        rows: findings.map(({ id, arm, against, seeds, verdict, worse }, i) => [
          id,
          arm,
          against,
          String(seeds),
          format(points[i].y),
          Number.isFinite(worse!.low)
            ? formatInterval([points[i].low, points[i].high], format)
            : "one seed has none",
          format(points[i].margin),
          verdict,
        ]),
      }}
    />
  );
}

const MARKER = markerOf();

function markerOf() {
  return plotStyles([DENSE_ARM], { implementations: [] })[0].style.marker;
}
