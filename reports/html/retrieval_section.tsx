/**
 * The retrieval suite: whether the mechanism finds a needle and carries its value.
 *
 * @module
 */
import type { Result, RetrievalRecord } from "../../suites/result/result_schema.ts";
import {
  formatContext,
  formatCount,
  formatInterval,
  formatPlural,
  formatSignificant,
} from "../text/format.ts";
import { ascending } from "../data/retrieval_data.ts";
import { Table } from "../charts/figure.tsx";
import { SalienceBlock } from "../charts/salience_block.tsx";
import { TransitionBlock } from "../charts/transition_block.tsx";
import { InstrumentBlock } from "./retrieval_instrument.tsx";
import { answersText } from "../data/answer_data.ts";
import { AnswersBlock } from "../charts/answers_block.tsx";
import { LayerBlock } from "../charts/layer_block.tsx";
import { PaperBlock } from "../charts/paper_block.tsx";
import { MapBlock } from "../charts/retrieval_maps.tsx";
import { StressBlock } from "../charts/stress_block.tsx";
import type { Section } from "./section.tsx";

/** The section, or null if the result has no data for it. */
export function retrievalSection(result: Result, prefix: string): Section | null {
  const record = result.retrieval;
  // Cells of other implementations are shown beside their times.
  const own = record && { ...record, cells: record.cells.filter(({ layer }) => !layer) };
  if (!record || !own) return null;
  const answers = record.checkpoint?.cells ?? [];
  if (record.cells.length + answers.length === 0) return null;
  // Results of earlier versions may have both.
  const planted = record.cells.length > 0;
  const failed = record.instrument.filter(({ passed }) => !passed).length;
  const blocks = [
    InstrumentBlock,
    MapBlock,
    TransitionBlock,
    SalienceBlock,
    StressBlock,
    LayerBlock,
    AnswersBlock,
    PaperBlock,
  ];
  return {
    id: `${prefix}retrieval`,
    nav: "Retrieval",
    content: (
      <>
        <h2>
          {failed > 0
            ? `Retrieval: ${formatPlural(failed, "instrument check")} failed`
            : planted
            ? "Planted needles: what selection keeps and what it loses"
            : "Needles that a trained model finds"}
        </h2>
        <p class="lead">
          {planted ? leadText(record) : answersText(record.checkpoint!.name, answers)}
        </p>
        {blocks.map((Part) => <Part record={own} prefix={prefix} described={result} />)}
        <Details record={record} />
      </>
    ),
  };
}

function leadText({ trials: planned, headDim, cells }: RetrievalRecord): string {
  // Cells whose trials are shared out evenly, over ten digits say, have a few more than planned.
  const trials = ascending(cells.length > 0 ? cells.map(({ trials }) => trials) : [planned]);
  const contexts = ascending(cells.map(({ context }) => context));
  const range = contexts.length === 0
    ? ""
    : ` at ${formatPlural(contexts.length, "context")} up to ${
      formatContext(contexts[contexts.length - 1])
    }`;
  return "One needle, whose value encodes a digit, lies among random keys and values; the last " +
    "position reads a digit out. No trained model is used: this shows what the mechanism can " +
    `find and carry, not what training makes of it. ${
      formatInterval([trials[0], trials[trials.length - 1]], formatCount)
    } trials a cell${range}, ` +
    `d = ${headDim}; all arms see the same trials. Chance is 10 %.`;
}

function Details({ record }: { record: RetrievalRecord }) {
  const others = record.instrument.filter(({ quantity }) =>
    quantity === "oracle" || quantity === "absent"
  );
  return (
    <>
      {others.length > 0 && (
        <details class="data">
          <summary>The oracle and chance against their laws</summary>
          <Table
            caption="Measured, expected, and the band that chance allows"
            columns={[
              { title: "Quantity" },
              { title: "Context", numeric: true },
              { title: "Margin", numeric: true },
              { title: "Measured", numeric: true },
              { title: "Law", numeric: true },
              { title: "Band", numeric: true },
              { title: "Holds" },
            ]}
            rows={others.map((one) => [
              one.quantity === "oracle" ? "oracle keeps the needle" : "digit guessed, no needle",
              formatContext(one.context),
              String(one.margin),
              formatSignificant(one.measured),
              formatSignificant(one.law),
              formatInterval([one.low, one.high], formatSignificant),
              one.passed ? "yes" : "no",
            ])}
          />
        </details>
      )}
      {record.skipped.length > 0 && (
        <details class="data">
          <summary>Left out: {formatPlural(record.skipped.length, "line")}</summary>
          <ul>{record.skipped.map((line) => <li>{line}</li>)}</ul>
        </details>
      )}
    </>
  );
}
