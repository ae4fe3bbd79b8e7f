/**
 * Shows the answers of a trained model that a run tested.
 *
 * @module
 */
import type { JSX } from "preact";
import type { AnswerCell } from "../../suites/result/result_schema.ts";
import { answerParts } from "../data/answer_data.ts";
import { Block, type BlockProps } from "../html/retrieval_block.tsx";
import { AnswerMap } from "./answer_map.tsx";
import { RateScale } from "./rate_map.tsx";

/** Maps of the prompts that a model answered, with one needle and with keys. */
export function AnswersBlock({ record, prefix }: BlockProps): JSX.Element | null {
  const { checkpoint } = record;
  if (!checkpoint || checkpoint.cells.length === 0) return null;
  const { name, cells } = checkpoint;
  const parts = answerParts(cells);
  return (
    <Block
      title="Where the trained model finds needles"
      text={`Random alphanumeric filler hides =d, and the prompt ends with =; several needles K:d have ` +
        `keys, and the prompt ends with one of them. The largest of the ten digits' logits counts. ` +
        `Chance is 10 %. It is not one of the paper's models unless its ` +
        `author says so.`}
    >
      <RateScale />
      <div class="grid-of-figures">
        {parts.map((part, i) => (
          <AnswersFigure
            id={`${prefix}checkpoint-figure-${i + 1}`}
            name={`${name}, ${part.title}`}
            whose={{ model: name }}
            cells={part.cells}
          />
        ))}
      </div>
    </Block>
  );
}

/** One map with intervals in its table, and its cells for export, the same for arms and models. */
export function AnswersFigure({ id, name, whose, cells }: {
  id: string;
  name: string;
  /** Whose answers they are: a column of the export and its value. */
  whose: Readonly<Record<string, string>>;
  cells: readonly AnswerCell[];
}): JSX.Element {
  const [[column, value]] = Object.entries(whose);
  return (
    <AnswerMap
      id={id}
      name={name}
      cells={cells}
      data={{
        columns: [column, "context_characters", "depth_percent", "keys", "correct", "trials"],
        rows: cells.map(({ context, depth, keys, correct, trials }) => [
          value,
          context,
          depth,
          keys ?? null,
          correct,
          trials,
        ]),
      }}
    />
  );
}
