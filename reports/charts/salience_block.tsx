/**
 * What a needle needs to survive: its norm and its match.
 *
 * @module
 */
import type { JSX } from "preact";
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";
import { formatCount, formatInterval, formatPercent, formatSignificant } from "../text/format.ts";
import {
  ascending,
  NORM_ARM,
  NORM_SCORER,
  orderArms,
  type SurvivalPoint,
  survivalPoints,
  sweepCurves,
} from "../data/retrieval_data.ts";
import { Figure } from "./figure.tsx";
import { cycledStyles } from "./palette.ts";
import {
  armName,
  Block,
  type BlockProps,
  budgetName,
  marginAxis,
  RATE,
  salienceAxis,
} from "../html/retrieval_block.tsx";
import { type Curve, CurvePlot, type LinearAxis } from "./curve_plot.tsx";
import { cellData } from "../html/retrieval_export.ts";
import { capital } from "../html/section.tsx";
import { formatRatioOf, SurvivalFigure } from "./survival_figure.tsx";

/** What a needle needs to survive. */
export function SalienceBlock({ record, prefix, described }: BlockProps): JSX.Element | null {
  const points = survivalPoints(record);
  if (points.length === 0) return null;
  const norm = points.filter(({ scorer }) => scorer === NORM_SCORER);
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
          note="Scorers without a point never cross one half within the sweep; the table shows on which side they stay."
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
  const norm = points.filter(({ scorer, salience }) => scorer === NORM_SCORER && salience !== null);
  const opening =
    "The norm scorer sees only magnitudes. A needle must be among the K/(2N) keys of " +
    "largest norm, which predicts the salience it needs, its norm over the other keys’.";
  const others = orderArms(points.map(({ scorer }) => `lighthouse-${scorer}`))
    .filter((arm) => arm !== NORM_ARM).map((arm) => {
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
