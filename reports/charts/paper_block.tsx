/**
 * Shows the paper’s retrieval table, and that of a checkpoint.
 *
 * @module
 */
import type { JSX } from "preact";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { RetrievalRecord } from "../../suites/result/result_schema.ts";
import { formatCount } from "../text/format.ts";
import { AnswerMap } from "./answer_map.tsx";
import { Table } from "./figure.tsx";
import { Block, type BlockProps } from "../html/retrieval_block.tsx";

/** The paper's own table, and a checkpoint's if there is one: separate from the mechanism. */
export function PaperBlock({ record, prefix }: BlockProps): JSX.Element {
  const { mean, protocol } = paper.retrieval;
  const { checkpoint } = record;
  const text =
    "Fig. 4 is about trained models, evaluated under dense attention after their dense " +
    "resume. The models were not published, so its means were not run here; a checkpoint can be " +
    "given with --checkpoint, and its map is shown here, separate from the mechanism above.";
  return (
    <Block title="The paper’s retrieval table" text={text}>
      <Table
        caption="Fig. 4: mean share of right digits over depths and contexts"
        columns={[{ title: "Model" }, { title: "Paper", numeric: true }, { title: "Here" }]}
        rows={mean.map(({ scorer, k, mean }) => [
          k === null ? "dense attention (SDPA)" : `${scorer}, k = ${formatCount(k)}`,
          mean.toFixed(2),
          "not run: no trained model",
        ])}
      />
      {checkpoint && (
        <div class="column">
          <CheckpointFigure id={`${prefix}checkpoint-figure`} {...{ checkpoint }} />
        </div>
      )}
      {checkpoint && (
        <p>
          Digit passkey in alphanumeric filler, the largest of ten logits at the last position;{" "}
          {protocol.trials_per_cell} prompts a cell. {checkpoint.name}{" "}
          is not a model of the paper unless its author says so.
        </p>
      )}
    </Block>
  );
}

function CheckpointFigure(
  { id, checkpoint: { name, cells } }: {
    id: string;
    checkpoint: NonNullable<RetrievalRecord["checkpoint"]>;
  },
): JSX.Element {
  return (
    <AnswerMap
      id={id}
      name={`Checkpoint “${name}”`}
      cells={cells}
      data={{
        columns: ["context_characters", "depth_percent", "correct", "trials"],
        rows: cells.map(({ context, depth, correct, trials }) => [context, depth, correct, trials]),
      }}
    />
  );
}
