/**
 * Prompts that a trained model answered, with one needle and with keys.
 *
 * @module
 */
import type { AnswerCell } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { type RateInterval, wilsonInterval } from "../../suites/statistics/intervals.ts";
import { formatCount, formatInterval, formatPercent } from "../text/format.ts";

/** Cells of one kind of prompt. */
export interface AnswerPart {
  /** `one needle`, `8 needles with keys`. */
  readonly title: string;
  readonly cells: readonly AnswerCell[];
}

/** Cells by the number of needles, one without a key first. */
export function answerParts(cells: readonly AnswerCell[]): AnswerPart[] {
  return [...Map.groupBy(cells, ({ keys = 0 }) => keys)].sort(([a], [b]) => a - b)
    .map(([keys, own]) => ({
      title: keys === 0 ? "one needle" : `${keys} needles with keys`,
      cells: own,
    }));
}

/** The share of all prompts answered. */
export function shareOf(cells: readonly AnswerCell[]): RateInterval & { readonly trials: number } {
  const sum = (key: "correct" | "trials") => cells.reduce((all, cell) => all + cell[key], 0);
  const [correct, trials] = [sum("correct"), sum("trials")];
  return { ...wilsonInterval(correct, trials), trials };
}

/** `90.0 % (59.6–98.2 %)`: the share of prompts answered and its Wilson interval. */
export function shareText(cells: readonly AnswerCell[]): string {
  const { rate, low, high } = shareOf(cells);
  return `${formatPercent(rate)} (${formatInterval([low, high], formatPercent)})`;
}

/** What a model answered, in one sentence. */
export function answersText(name: string, cells: readonly AnswerCell[]): string {
  const shares = answerParts(cells).map(({ title, cells: own }) =>
    `${shareText(own)} of ${formatCount(shareOf(own).trials)} prompts with ${title}`
  );
  return `The model “${plainText(name)}” answered ${shares.join(" and ")}.`;
}
