/**
 * What a training experiment says beside a claim of the paper, always with its size.
 *
 * @module
 */
import type { ExperimentRecord, Result } from "../../suites/result/result_schema.ts";
import {
  type Finding,
  judgeHypotheses,
  type Measure,
  registeredOf,
} from "../data/experiment_data.ts";
import { DENSE_ARM } from "../data/retrieval_data.ts";
import { formatPlural } from "../text/format.ts";

/** Parameters of the paper's model with a vocabulary of bytes. */
const PAPER_PARAMETERS = 267_973_632;

/** `1/80`: the size of an experiment's model beside the paper's, to one digit above 20. */
export function sizeOf(record: ExperimentRecord): string | null {
  const { layers, width, ffn } = registeredOf(record).model;
  if (!layers || !width || !ffn) return null;
  const parameters = layers * (4 * width ** 2 + 3 * width * ffn) + 2 * 256 * width;
  const ratio = PAPER_PARAMETERS / parameters;
  return `1/${ratio >= 20 ? Math.round(ratio / 10) * 10 : Math.round(ratio)}`;
}

/**
 * What the hypotheses about a measure came to, against dense training: `at 1/80 of the size: dilated
 * reproduced, norm undecided`. Null where none was trained.
 */
export function smallScaleFinding({ experiment }: Result, measure: Measure): string | null {
  if (!experiment) return null;
  const found = judgeHypotheses(experiment).filter((one) =>
    one.measure === measure && one.against === DENSE_ARM && one.worse !== undefined
  );
  const size = sizeOf(experiment);
  if (found.length === 0 || size === null) return null;
  return `at ${size} of the size: ${found.map(describe).join(", ")}`;
}

function describe({ arm, verdict, seeds }: Finding): string {
  return `${arm} ${verdict} (${formatPlural(seeds, "seed")})`;
}

/** The first line of a report of an experiment alone. */
export function experimentLine(record: ExperimentRecord): string {
  const found = judgeHypotheses(record);
  const size = sizeOf(record);
  const trained = `${formatPlural(record.units.length, "model")} trained` +
    (size === null ? "" : ` at ${size} of the paper's size`);
  if (record.units.length === 0) return "Nothing was trained.";
  if (found.length === 0) return `${trained}; no hypothesis was registered.`;
  const counts = (["reproduced", "reversed", "undecided"] as const).flatMap((verdict) => {
    const count = found.filter((one) => one.verdict === verdict).length;
    return count > 0 ? [`${count} ${verdict}`] : [];
  });
  return `${trained}: of ${found.length} hypotheses ${counts.join(", ")} at that scale.`;
}
