/**
 * Shows the paper’s retrieval table, and that of a checkpoint.
 *
 * @module
 */
import type { JSX } from "preact";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import type { RetrievalRecord } from "../../suites/result/result_schema.ts";
import { formatContext, formatCount, formatPercent } from "../text/format.ts";
import { ascending, rateOf } from "../data/retrieval_data.ts";
import { Figure, Table } from "./figure.tsx";
import { Block, type BlockProps } from "../html/retrieval_block.tsx";
import { RateMap } from "./rate_map.tsx";

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
  const contexts = ascending(cells.map(({ context }) => context));
  const depths = ascending(cells.map(({ depth }) => depth));
  const mean = cells.reduce((sum, cell) => sum + rateOf(cell), 0) / Math.max(1, cells.length);
  const rate = (context: number, depth: number) => {
    const cell = cells.find((one) => one.context === context && one.depth === depth);
    return cell ? rateOf(cell) : null;
  };
  const height = 70 + 26 * depths.length;
  return (
    <Figure
      id={id}
      title={`Checkpoint “${name}”: mean ${formatPercent(mean)}`}
      description={cells.map((cell) =>
        `${formatPercent(rateOf(cell))} at ${formatContext(cell.context)}, depth ${cell.depth} %`
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
        columns: ["context_characters", "depth_percent", "correct", "trials"],
        rows: cells.map(({ context, depth, correct, trials }) => [context, depth, correct, trials]),
      }}
      table={{
        caption: `Checkpoint “${name}”`,
        columns: [
          { title: "Context", numeric: true },
          { title: "Depth, %", numeric: true },
          { title: "Right", numeric: true },
        ],
        rows: cells.map(({ context, depth, correct, trials }) => [
          formatContext(context),
          String(depth),
          `${formatCount(correct)} of ${formatCount(trials)}`,
        ]),
      }}
    />
  );
}
