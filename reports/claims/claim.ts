/**
 * One row of the claims table as data, and the rule for judging it.
 *
 * @module
 */
import { LEAST_FOR_INTERVAL, type Spread } from "../data/spread.ts";
import { formatCount, formatInterval, formatRatio, formatSpread } from "../text/format.ts";

/** A ratio claim counts as reproduced from this share of the paper's value. */
export const REPRODUCED_FROM = 0.8;
/** A ratio claim counts as partly reproduced from this share of the paper's value. */
export const PARTLY_FROM = 0.4;

/** The rule with the two constants, as reports print it. */
export const VERDICT_RULE =
  `A speed-up counts as reproduced when the upper end of its 95 % interval (of its range, where ` +
  `fewer than ${LEAST_FOR_INTERVAL} samples a side carry none) is at least ` +
  `${REPRODUCED_FROM} times the paper's value (faster is fine), as partly reproduced from ` +
  `${PARTLY_FROM} times on, else as not reproduced. For a context of equal cost the advantage ` +
  `(512K divided by that context) is judged the same way.`;

/** The conclusion of a claim's row. */
export type Verdict =
  | "reproduced"
  | "partly"
  | "not reproduced"
  | "not run"
  | "not the paper's claim";

/** A value with its interval, in the unit that says how to print it. */
export interface Quantity {
  unit: "ratio" | "context" | "rows";
  value: number;
  low: number | null;
  high: number | null;
  /** Number of samples, and what the ends are; absent without samples. */
  count?: number;
  kind?: Spread["kind"];
  /** Words around the value, if the bare number would mislead. */
  note?: string;
}

/** One line of a group of paper values, shown under the row. */
export interface ClaimDetail {
  label: string;
  paper: string;
  /** What was measured of it, one for each baseline. Default: nothing. */
  measured?: readonly { over: string; text: string; verdict: Verdict }[];
}

/** What a value is based on. */
export interface ClaimExtent {
  /** Contexts, pairs or cases. */
  points: number;
  /** Whether they cover the whole range of the claim. */
  whole: boolean;
}

/** One row of the claims table. */
export interface ClaimRow {
  id: string;
  claim: string;
  /** The paper's value as text and number, and the hardware it was measured on. */
  paper: { text: string; value: number | null; hardware: string };
  ours: Quantity | null;
  /** How much of the claim our value covers; null without a value. */
  extent: ClaimExtent | null;
  /** The nearest measured point, if the claim itself was not run. */
  nearest: string | null;
  /** Our value divided by the paper's. */
  ratio: number | null;
  verdict: Verdict;
  /** The same value over another baseline of the run, if there is a faster one. */
  beside?: string;
  /** One sentence. */
  why: string;
  /** Command line that runs the claim; null if this tool cannot run it. */
  command: string | null;
  details: ClaimDetail[];
  /** Whether our value comes from a CPU implementation of the GPU interface. */
  software: boolean;
}

/** A quantity as text, without its interval. */
export function formatQuantity({ unit, value, note }: Quantity): string {
  return note === undefined ? formatUnit(unit, value) : note;
}

/** The interval of a quantity as text, or null if it has none. */
export function formatQuantityInterval(
  { unit, low, high, count, kind }: Quantity,
): string | null {
  if (low === null || high === null) return null;
  const format = (value: number) => formatUnit(unit, value);
  if (count === undefined || kind === undefined) return formatInterval([low, high], format);
  return formatSpread({ low, high, count, kind }, format);
}

/** The value of a claim with what surrounds it and what it rests on. */
export function quantityText(ours: Quantity): string {
  const spread = formatQuantityInterval(ours);
  const text = formatQuantity(ours);
  const count = ours.kind === "interval" ? `, n = ${ours.count}` : "";
  return spread === null ? text : `${text} (${spread}${count})`;
}

/** Verdict of a ratio from the paper's value and an interval end, by {@linkcode VERDICT_RULE}. */
export function judgeRatio(high: number, paperValue: number): Verdict {
  if (high >= REPRODUCED_FROM * paperValue) return "reproduced";
  return high >= PARTLY_FROM * paperValue ? "partly" : "not reproduced";
}

function formatUnit(unit: Quantity["unit"], value: number): string {
  switch (unit) {
    case "ratio":
      return formatRatio(value);
    case "context":
      return `${formatCount(Number(value.toPrecision(3)))} tokens`;
    case "rows":
      return `${formatCount(value)} empty ${value === 1 ? "row" : "rows"}`;
  }
}

/** A row for a claim that this tool cannot run. */
export function notRunnable(
  row: {
    id: string;
    claim: string;
    paper: string;
    why: string;
    details: ClaimDetail[];
    /** What was found nearby, if anything. */
    nearest?: string | null;
    /** Whether that was on a CPU. */
    software?: boolean;
  },
): ClaimRow {
  return {
    id: row.id,
    claim: row.claim,
    paper: { text: row.paper, value: null, hardware: "8 × NVIDIA B200" },
    ours: null,
    extent: null,
    nearest: row.nearest ?? null,
    ratio: null,
    verdict: "not run",
    why: row.why,
    command: null,
    details: row.details,
    software: row.software ?? false,
  };
}
