/**
 * Shows the paper’s retrieval table.
 *
 * @module
 */
import type { JSX } from "preact";
import paper from "../../fixtures/paper/paper.json" with { type: "json" };
import { formatCount } from "../text/format.ts";
import { Table } from "./figure.tsx";
import { Block } from "../html/retrieval_block.tsx";

/** The paper's own table, of models that were not published. */
export function PaperBlock(): JSX.Element {
  const { mean } = paper.retrieval;
  const text =
    "Fig. 4 is about trained models, evaluated under dense attention after their dense " +
    "resume. The models were not published, so its means were not run here; a run with --checkpoint " +
    "gives a model of one's own the same test.";
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
    </Block>
  );
}
