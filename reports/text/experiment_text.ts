/**
 * A training experiment for the terminal: a table of its arms, and a line for each hypothesis.
 *
 * @module
 */
import type { ExperimentRecord, Result } from "../../suites/result/result_schema.ts";
import {
  type Finding,
  judgeHypotheses,
  summarizeArms,
  tokenRates,
} from "../data/experiment_data.ts";
import { renderTable } from "./fit_table.ts";
import { ABSENT, formatPercent, formatPlural, formatTokenRate } from "./format.ts";

/** What a hypothesis measures, in words. */
export const MEASURE_NAMES: Readonly<Record<Finding["measure"], string>> = {
  "held-out-loss": "held-out loss",
  "one-needle": "one needle",
  "keyed-needles": "needles with keys",
};

/** The arms and what came of the hypotheses, in lines. */
export function renderExperiment(result: Result, { width }: { width?: number } = {}): string {
  const record = result.experiment;
  if (!record) return "";
  const ends = summarizeArms(record, "end");
  const switches = summarizeArms(record, "switch");
  const share = (rate?: { rate: number; low: number; high: number }) =>
    rate ? `${formatPercent(rate.rate)} (${formatRange(rate)})` : ABSENT;
  const rows = ends.map(({ arm, seeds, loss, answers }, i) => {
    const before = switches[i];
    const rates = tokenRates(record, arm);
    return [
      arm,
      String(seeds),
      before.loss === undefined ? ABSENT : before.loss.toFixed(4),
      loss === undefined ? ABSENT : loss.toFixed(4),
      share(answers["one-needle"]),
      share(answers["keyed-needles"]),
      rates.first === undefined ? ABSENT : formatTokenRate(rates.first),
      rates.resume === undefined ? ABSENT : formatTokenRate(rates.resume),
    ];
  });
  const columns = [
    { title: "Arm" },
    { title: "Seeds", numeric: true },
    { title: "Loss at switch", numeric: true, drop: 3 },
    { title: "Loss at end", numeric: true },
    { title: "One needle (95 %)", numeric: true },
    { title: "With keys (95 %)", numeric: true, drop: 4 },
    { title: "First part", numeric: true, drop: 1 },
    { title: "Resume", numeric: true, drop: 2 },
  ];
  return [
    `${record.title}: ${formatPlural(record.units.length, "unit")} trained`,
    renderTable({ columns, rows }, { width }),
    ...judgeHypotheses(record).map(findingLine),
    ...record.registration.deviations.map((line) => `differs from what was registered: ${line}`),
    describeCheck(record),
  ].join("\n");
}

function formatRange({ low, high }: { low: number; high: number }): string {
  return `${formatPercent(low).replace(/\s*%/, "")}–${formatPercent(high)}`;
}

/** A hypothesis and what came of it, in one line. */
export function findingLine(finding: Finding): string {
  const { id, arm, against, measure, margin, verdict, seeds, worse } = finding;
  const what = `${id}: ${arm} against ${against}, ${MEASURE_NAMES[measure]}`;
  if (!worse) return `${what}: ${verdict}, not trained`;
  const unit = measure === "held-out-loss"
    ? (value: number) => `${value.toFixed(4)} nats`
    : (value: number) => `${(100 * value).toFixed(1)} points`;
  const interval = Number.isFinite(worse.low)
    ? ` (${unit(worse.low)} to ${unit(worse.high)}, margin ${unit(margin)})`
    : "";
  return `${what}: ${verdict} at this scale; worse by ${unit(worse.estimate)}${interval}, ` +
    formatPlural(seeds, "seed");
}

function describeCheck({ check }: ExperimentRecord): string {
  if (!check) return "The evaluation was not checked.";
  const { passed, maxError, tolerance } = check;
  return `The evaluation ${passed ? "agrees with" : "DIFFERS from"} float64: ` +
    `${maxError.toPrecision(2)} nats at most, ${tolerance.toPrecision(2)} allowed.`;
}
