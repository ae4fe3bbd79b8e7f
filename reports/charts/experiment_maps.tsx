/**
 * Maps of needles that trained models find, in the layout of Fig. 4.
 *
 * @module
 */
import type { JSX } from "preact";
import type { AnswerCell, ExperimentRecord } from "../../suites/result/result_schema.ts";
import { armsOf, cellsOf, evaluationOf } from "../data/experiment_data.ts";
import type { ExperimentFigureProps } from "./experiment_figures.tsx";
import { AnswersFigure } from "./answers_block.tsx";
import { RateScale } from "./rate_map.tsx";

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
          <AnswersFigure
            id={`${prefix}experiment-${measure}-${i + 1}`}
            name={arm}
            whose={{ arm }}
            cells={cells}
          />
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
