/**
 * Rows that the text and the markdown of a gate share.
 *
 * @module
 */
import { ABSENT, formatInterval, formatPercent, formatRatio, formatSeconds } from "../format.ts";
import type { GateCase, GateReport } from "./gate_report.ts";

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

/** Cells of one case; nothing is escaped. */
export function caseRow({ id, verdict, fails, time }: GateCase): string[] {
  const mark = fails ? `${verdict} (fails)` : verdict;
  if (!time) return [mark, id, ABSENT, ABSENT, ABSENT, ABSENT, ABSENT];
  return [
    mark,
    id,
    formatSeconds(time.baselineSeconds),
    formatSeconds(time.candidateSeconds),
    formatRatio(time.ratio),
    formatInterval([time.low, time.high], formatRatio),
    `±${formatPercent(time.threshold)}`,
  ];
}

/** One sentence for each thing that fails, is open, or differs; failures first. */
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
    return time
      ? `inconclusive: between ${formatRatio(time.low)} and ${formatRatio(time.high)}; a change ` +
        `of ${formatPercent(tolerance)} cannot be ruled out`
      : `inconclusive: ${reason}`;
  }
  return undefined;
}

/** How the thresholds came about, in one line. */
export function explainNoise({ noise, confidence, method }: GateReport): string {
  const percent = (value: number | null) =>
    value === null ? "not known" : formatPercent(Math.expm1(Math.abs(value)));
  const canary = method === "paired" ? "control case" : "canary between the runs";
  return `Noise: ${canary} ${percent(noise.canaryShift)}, single samples ` +
    `${percent(noise.sampleSpread)}, cases against each other ${percent(noise.caseSpread)}, ` +
    `earlier runs ${percent(noise.historySpread)}${
      noise.historySpread === null ? "" : ` (${noise.historyRuns} runs)`
    }; intervals at ${formatPercent(confidence)}.`;
}
