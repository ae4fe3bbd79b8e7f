/**
 * Shared by the blocks of the retrieval section: their frame, axes and wording.
 *
 * @module
 */
import type { Described } from "../charts/palette.ts";
import type { ComponentChildren, JSX } from "preact";
import type { RetrievalCell, RetrievalRecord } from "../../suites/result/result_schema.ts";
import { ABSENT, formatCount, formatSignificant } from "../text/format.ts";
import { ascending } from "../data/retrieval_data.ts";
import type { LinearAxis } from "../charts/curve_plot.tsx";
import { unbroken } from "./section.tsx";
import { smallest } from "../data/extremes.ts";

/** The axis of a rate. */
export const RATE: Omit<LinearAxis, "label"> = {
  domain: [0, 1],
  ticks: [0, 0.25, 0.5, 0.75, 1],
  format: (value) => `${Math.round(100 * value)} %`,
};

/** What every block receives. */
export interface BlockProps {
  record: RetrievalRecord;
  prefix: string;
  /** The result with the record. */
  described: Described;
}

/** A question, its answer in words, and the figures that show it. */
export function Block(
  { title, text, children }: {
    title: string;
    text: ComponentChildren;
    children?: ComponentChildren;
  },
): JSX.Element {
  return (
    <div class="block">
      <h3>{title}</h3>
      <p>{typeof text === "string" ? unbroken(text) : text}</p>
      {children}
    </div>
  );
}

export function marginAxis(values: readonly number[]): LinearAxis {
  const margins = ascending(values);
  return {
    label: "logit margin μ",
    domain: [margins[0] - 0.25, margins[margins.length - 1] + 0.25],
    ticks: margins.filter((margin) => Number.isInteger(margin)),
    format: String,
  };
}

/** A logarithmic axis over all decades of some shares, whose values are powers of ten. */
export function decades(shares: readonly number[]): LinearAxis {
  const least = Math.min(smallest(shares.filter((share) => share > 0)), 0.1);
  const first = Math.floor(Math.log10(least));
  return {
    label: "share, logarithmic",
    domain: [first, 0],
    ticks: Array.from({ length: 1 - first }, (_, i) => first + i),
    format: (value) => `${Number((100 * 10 ** value).toPrecision(1))} %`,
  };
}

/** A logarithmic axis of saliences, whose values are powers of two. */
export function salienceAxis(values: readonly number[]): Omit<LinearAxis, "label"> {
  const [low, high] = [Math.min(0.95, ...values), Math.max(1.25, ...values)];
  const ticks = [0.5, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 8].filter((tick) =>
    tick >= low && tick <= high
  );
  return {
    domain: [Math.log2(low) - 0.06, Math.log2(high) + 0.06],
    ticks: ticks.map(Math.log2),
    format: (value) => String(Number((2 ** value).toPrecision(3))),
  };
}

/** Trials in which exactly one of two arms was right, with McNemar's exact test. */
export function pairedText({ paired }: RetrievalCell, rival: string): string {
  const found = paired.find((pair) => pair.with === rival);
  return found
    ? `+${found.onlyThis} −${found.onlyOther}, p = ${formatSignificant(found.probability)}`
    : ABSENT;
}

/** Wrong trials: needle not selected, query not selected, diluted. */
export function lostText({ lost }: RetrievalCell): string {
  return [lost.needle, lost.query, lost.diluted].map(formatCount).join(", ");
}

/** Trials in which the needle was selected at some level; for other arms rows are whole or absent. */
export function anyLevel({ finestLevels, needleSelected }: RetrievalCell): string {
  return formatCount(finestLevels?.reduce((a, b) => a + b, 0) ?? needleSelected);
}

/** L and p of a layer. */
export function shapeName({ levels, pooling }: { levels: number; pooling: number }): string {
  return `L = ${levels}, p = ${pooling}`;
}

/** L, p and k of a cell's layer. */
export function layerName({ lighthouse }: RetrievalCell): string {
  return lighthouse ? `${shapeName(lighthouse)}, k = ${formatCount(lighthouse.k)}` : ABSENT;
}

/** K/N as a fraction. */
export function budgetName(ratio: number): string {
  return `1/${formatSignificant(1 / ratio).replace(/\.0+$/, "")}`;
}

/** The name of an arm in a sentence. */
export function armName(arm: string): string {
  const names: Record<string, string> = {
    oracle: "oracle, top S by logit",
    random: "random S",
    window: "last S rows",
  };
  return Object.hasOwn(names, arm) ? names[arm] : arm.replace("lighthouse-", "Lighthouse ");
}
