/**
 * Maps of needles that trained models find, in the layout of Fig. 4.
 *
 * @module
 */
import type { JSX } from "preact";
import type { AnswerCell, ExperimentRecord } from "../../suites/result/result_schema.ts";
import { wilsonInterval } from "../../suites/statistics/intervals.ts";
import { armsOf, cellsOf, evaluationOf } from "../data/experiment_data.ts";
import { ascending } from "../data/retrieval_data.ts";
import { formatContext, formatCount, formatInterval, formatPercent } from "../text/format.ts";
import type { ExperimentFigureProps } from "./experiment_figures.tsx";
import { Figure } from "./figure.tsx";
import { RateMap, RateScale } from "./rate_map.tsx";

/** Maps of needles, one for each arm, contexts across and depths down as in Fig. 4. */
export function NeedleMaps(
  { record, prefix, measure }: ExperimentFigureProps & {
    measure: "one-needle" | "keyed-needles";
  },
): JSX.Element | null {
  const maps = armsOf(record).map((arm) => ({ arm, cells: pooledCells(record, arm, measure) }))
    .filter(({ cells }) => cells.length > 0);
  if (maps.length === 0) return null;
  return (
    <>
      <RateScale />
      <div class="grid-of-figures">
        {maps.map(({ arm, cells }, i) => (
          <NeedleMap id={`${prefix}experiment-${measure}-${i + 1}`} arm={arm} cells={cells} />
        ))}
      </div>
    </>
  );
}

/** Cells of an arm at the end, those of its seeds together. */
function pooledCells(
  { units }: ExperimentRecord,
  arm: string,
  measure: "one-needle" | "keyed-needles",
): AnswerCell[] {
  const pooled = new Map<string, AnswerCell>();
  for (const unit of units) {
    const end = unit.arm === arm ? evaluationOf(unit, "end") : undefined;
    for (const cell of end ? cellsOf(end, measure) : []) {
      const name = `${cell.context} ${cell.depth}`;
      const known = pooled.get(name);
      pooled.set(name, {
        ...cell,
        correct: cell.correct + (known?.correct ?? 0),
        trials: cell.trials + (known?.trials ?? 0),
      });
    }
  }
  return [...pooled.values()];
}

function NeedleMap(
  { id, arm, cells }: { id: string; arm: string; cells: readonly AnswerCell[] },
): JSX.Element {
  const contexts = ascending(cells.map(({ context }) => context));
  const depths = ascending(cells.map(({ depth }) => depth));
  const mean = cells.reduce((sum, { correct, trials }) => sum + correct / trials, 0) / cells.length;
  const rate = (context: number, depth: number) => {
    const cell = cells.find((one) => one.context === context && one.depth === depth);
    return cell ? cell.correct / cell.trials : null;
  };
  const height = 70 + 26 * depths.length;
  return (
    <Figure
      id={id}
      title={`${arm}: mean ${formatPercent(mean)}`}
      description={cells.map(({ context, depth, correct, trials }) =>
        `${formatPercent(correct / trials)} at ${formatContext(context)}, depth ${depth} %`
      ).join("; ") + "."}
      width={540}
      height={height}
      compactHeight={height}
      draw={(size) => (
        <RateMap
          size={size}
          grid={{
            rows: depths.map(String),
            columns: contexts.map(formatContext),
            rates: depths.map((depth) => contexts.map((context) => rate(context, depth))),
            rowTitle: "depth, %",
            columnTitle: "context, characters",
          }}
        />
      )}
      data={{
        columns: ["arm", "context_characters", "depth_percent", "keys", "correct", "trials"],
        rows: cells.map(({ context, depth, keys, correct, trials }) => [
          arm,
          context,
          depth,
          keys ?? null,
          correct,
          trials,
        ]),
      }}
      table={{
        caption: arm,
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Right", numeric: true },
          { title: "Wilson 95 %", numeric: true },
        ],
        rows: cells.map(({ context, depth, correct, trials }) => {
          const { low, high } = wilsonInterval(correct, trials);
          return [
            formatContext(context),
            String(depth),
            `${formatCount(correct)} of ${formatCount(trials)}`,
            formatInterval([low, high], formatPercent),
          ];
        }),
      }}
    />
  );
}
