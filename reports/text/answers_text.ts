/**
 * The answers of a trained model as tables of text, in the layout of Fig. 4.
 *
 * @module
 */
import type { AnswerCell, Result } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { answerParts, shareOf } from "../data/answer_data.ts";
import { ascending } from "../data/retrieval_data.ts";
import type { FitColumn } from "./fit_table.ts";
import { ABSENT, formatContext } from "./format.ts";

/** A table of text. */
export interface AnswersTable {
  title: string;
  columns: FitColumn[];
  rows: string[][];
  note?: string;
}

/** Tables of the model that a run tested, contexts across and depths down; none for a run without one. */
export function answersTables({ retrieval }: Result): AnswersTable[] {
  const { checkpoint } = retrieval ?? {};
  if (!checkpoint) return [];
  return answerParts(checkpoint.cells).map(({ title, cells }) => {
    const contexts = ascending(cells.map(({ context }) => context));
    const depths = ascending(cells.map(({ depth }) => depth));
    const share = (own: readonly AnswerCell[]) => own.length > 0 ? shortShare(own) : ABSENT;
    const row = (name: string, own: readonly AnswerCell[]) => [
      name,
      ...contexts.map((context) => share(own.filter((cell) => cell.context === context))),
    ];
    const prompts = ascending(cells.map(({ trials }) => trials));
    return {
      title: `${plainText(checkpoint.name)}: ${title}, share of prompts answered (Wilson 95 %)`,
      columns: [
        { title: "Depth, %", numeric: true },
        ...contexts.map((context) => ({ title: formatContext(context), numeric: true })),
      ],
      rows: [
        ...depths.map((depth) => row(String(depth), cells.filter((cell) => cell.depth === depth))),
        row("all", cells),
      ],
      note: `${prompts.join(" or ")} prompts a cell; chance is 10 %.`,
    };
  });
}

/** `90 % (60–98)`: six contexts fit into a hundred columns. */
function shortShare(cells: readonly AnswerCell[]): string {
  const { rate, low, high } = shareOf(cells);
  const [percent, from, to] = [rate, low, high].map((value) => Math.round(100 * value));
  return `${percent} % (${from}–${to})`;
}
