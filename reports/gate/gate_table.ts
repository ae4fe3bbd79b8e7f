/**
 * Rows shared by the text and the markdown of a gate.
 *
 * @module
 */
import {
  ABSENT,
  formatInterval,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
} from "../text/format.ts";
import { POWER_LIMIT_TEXT } from "../data/device_readings.ts";
import type { GateCase, GateReport, TimeComparison } from "./gate_report.ts";

/** Titles of the columns of {@linkcode caseRow}. */
export const CASE_COLUMNS = [
  "Verdict",
  "Case",
  "Baseline",
  "Candidate",
  "Time ratio",
  "Interval",
  "Noise threshold",
] as const;

/** Noise above which its number is meaningless: an interval from two values may have any width. */
const MOST_NOISE = 10;

/** A noise threshold, after a word: `±8.2 %`, or that it is too large to use. */
export function formatThreshold(threshold: number, word: string): string {
  return threshold > MOST_NOISE
    ? `over ${formatPercent(MOST_NOISE)}`
    : `${word}${formatPercent(threshold)}`;
}

/** Cells of one case, not escaped. */
export function caseRow({ id, verdict, fails, time }: GateCase): string[] {
  const mark = fails ? `${verdict} (fails)` : verdict;
  if (!time) return [mark, id, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT];
  return [
    mark,
    id,
    formatSeconds(time.baselineSeconds) + limitText(time, "baseline"),
    formatSeconds(time.candidateSeconds) + limitText(time, "candidate"),
    formatRatio(time.ratio),
    time.threshold > MOST_NOISE ? ABSENT : formatInterval([time.low, time.high], formatRatio),
    formatThreshold(time.threshold, "±"),
  ];
}

function limitText({ atPowerLimit }: TimeComparison, side: "baseline" | "candidate"): string {
  return atPowerLimit?.includes(side) ? POWER_LIMIT_TEXT : "";
}

/** One sentence for each failure, open case and difference; failures first. */
export function explainCases(report: GateReport): { case: GateCase; text: string }[] {
  const lines: { case: GateCase; text: string; rank: number }[] = [];
  for (const one of report.cases) {
    for (const { field, baseline, candidate, severity, reason } of one.differences) {
      const text = `${field} was ${baseline}, is ${candidate}${reason ? ` (${reason})` : ""}`;
      lines.push({ case: one, text, rank: severity === "failure" ? 0 : 3 });
    }
    const text = explainVerdict(one);
    if (text) lines.push({ case: one, text, rank: one.fails ? 1 : 2 });
  }
  return lines.sort((a, b) => a.rank - b.rank).map(({ case: of, text }) => ({ case: of, text }));
}

function explainVerdict({ verdict, fails, time, reason, tolerance }: GateCase): string | undefined {
  if (verdict === "missing") return `missing: ${reason}`;
  if (verdict === "slower" && time) {
    const ignored = fails ? "" : "; times of this case fail nothing";
    return `slower: ${formatRatio(time.ratio)} the baseline's time, at least ` +
      `${formatRatio(time.low)}${ignored}`;
  }
  if (verdict === "inconclusive") {
    if (reason !== undefined || !time) return `inconclusive: ${reason}`;
    const change = `a change of ${formatPercent(tolerance)} cannot be ruled out`;
    return time.threshold > MOST_NOISE
      ? `inconclusive: ${change}`
      : `inconclusive: between ${formatRatio(time.low)} and ${formatRatio(time.high)}; ${change}`;
  }
  return undefined;
}

/** How the thresholds were derived, in one line. */
export function explainNoise({ noise, confidence, method, cases }: GateReport): string {
  const percent = (value: number | null) =>
    value === null ? "not known" : formatPercent(Math.expm1(Math.abs(value)));
  const canary = method === "paired" ? "control case" : "canary between the runs";
  const runs = noise.historySpread === null ? "" : ` (${noise.historyRuns} runs)`;
  const sources = Object.entries(SOURCES).flatMap(([source, words]) => {
    const count = cases.filter(({ time }) => time?.noiseSource === source).length;
    return count === 0 ? [] : [`${words} (${formatPlural(count, "case")})`];
  });
  const from = sources.length === 0 ? "" : `; noise between runs ${sources.join(", ")}`;
  const step = noise.clockStep > 0 ? `, clock step ${formatSeconds(noise.clockStep)}` : "";
  return `Noise: ${canary} ${percent(noise.canaryShift)}, single samples ` +
    `${percent(noise.sampleSpread)}, cases against each other ${percent(noise.caseSpread)}, ` +
    `earlier runs ${percent(noise.historySpread)}${runs}${step}${from}; ` +
    `intervals at ${formatPercent(confidence)} for all cases together.`;
}

const SOURCES: Record<NonNullable<TimeComparison["noiseSource"]>, string> = {
  "assumed": "as assumed without earlier runs",
  "cases": "from the other cases",
  "earlier runs": "from earlier runs",
  "configuration": "from the configuration",
};
