/**
 * The losses of both models against the steps, as they come.
 *
 * @module
 */
import type { JSX } from "preact";
import { type Curve, CurvePlot, type LinearAxis } from "../reports/charts/curve_plot.tsx";
import { type SeriesStyle, styleOf } from "../reports/charts/palette.ts";
import { LiveFigure } from "./drawing.tsx";
import { titleOf, type TrainedArm, type TrainingMoment } from "./tiny_training.ts";

/** Most rows of the table of numbers. */
const MOST_ROWS = 12;

/** Dashes by model, so that colour does not carry the meaning alone. */
const DASHES: Readonly<Record<TrainedArm["name"], string>> = {
  "dense": "6 4",
  "lighthouse-norm": "1 0",
};

/** The drawing, with some of its numbers. */
export function LossCurve({ moment }: { moment: TrainingMoment }): JSX.Element {
  const { arms, steps, entropy } = moment;
  const styles = arms.map(({ name }): SeriesStyle => ({
    ...styleOf(name, { implementations: [] }),
    dash: DASHES[name],
  }));
  const floor = { color: "var(--soft)", marker: styleOf("dense", { implementations: [] }).marker };
  const curves: Curve[] = [
    {
      label: "entropy of the text",
      style: floor,
      law: true,
      dash: "2 3",
      points: [{ x: 1, y: entropy }, { x: steps, y: entropy }],
    },
    ...arms.map(({ name, losses }, i): Curve => ({
      label: titleOf(name),
      style: styles[i],
      law: true,
      dash: DASHES[name],
      points: losses.flatMap((y, i) => y === null ? [] : [{ x: i + 1, y }]),
    })),
  ];
  const last = Math.max(...arms.map(({ losses }) => losses.length));
  return (
    <LiveFigure
      id="loss-curve"
      title={`Loss against the step, nats of a byte. Dotted: the text's own entropy, ${
        entropy.toFixed(2)
      }, the least that any model of it can reach.`}
      legend={arms.map(({ name }, i) => ({ label: titleOf(name), style: styles[i] }))}
      draw={(size) => (
        <CurvePlot size={size} x={stepAxis(steps)} y={lossAxis(arms)} curves={curves} />
      )}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Step</th>
            {arms.map(({ name }) => <th scope="col" class="number">{titleOf(name)}</th>)}
          </tr>
        </thead>
        <tbody>
          {rowsOf(last).map((step) => (
            <tr key={step}>
              <th scope="row">{step}</th>
              {arms.map(({ losses }) => (
                <td class="number">{losses[step - 1]?.toFixed(3) ?? "–"}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </LiveFigure>
  );
}

function stepAxis(steps: number): LinearAxis {
  const every = steps / 4;
  const ticks = [1, ...[1, 2, 3, 4].map((quarter) => Math.round(quarter * every))];
  return { label: "step", domain: [1, steps], ticks, format: String };
}

function lossAxis(arms: readonly TrainedArm[]): LinearAxis {
  const losses = arms.flatMap(({ losses }) => losses.filter((loss) => loss !== null));
  // Uniform guesses cost ln 256 = 5.5 nats.
  const top = Math.ceil(Math.max(6, ...losses));
  return {
    label: "loss, nats",
    domain: [0, top],
    ticks: Array.from({ length: top + 1 }, (_, tick) => tick),
    format: String,
  };
}

/** Steps that the table shows, from the first to the last. */
export function rowsOf(last: number): number[] {
  const rows = Math.min(last, MOST_ROWS);
  if (rows < 2) return last === 1 ? [1] : [];
  return Array.from(
    { length: rows },
    (_, i) => 1 + Math.round(i * (last - 1) / (rows - 1)),
  );
}

/** Mean of the last losses that are known; undefined where there is none. */
export function meanOfLast(
  losses: readonly (number | null)[],
  count: number,
): number | undefined {
  const last = losses.slice(-count).filter((loss) => loss !== null);
  return last.length === 0 ? undefined : last.reduce((sum, loss) => sum + loss, 0) / last.length;
}
