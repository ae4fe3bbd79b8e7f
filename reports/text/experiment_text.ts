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
import { type FitColumn, renderTable } from "./fit_table.ts";
import { ABSENT, formatPercent, formatPlural, formatTokenRate } from "./format.ts";

/** What a hypothesis measures, in words. */
export const MEASURE_NAMES: Readonly<Record<Finding["measure"], string>> = {
  "held-out-loss": "held-out loss",
  "one-needle": "one needle",
  "keyed-needles": "needles with keys",
};

/** `norm against dense: one needle at the switch`: what a hypothesis compares. */
export function comparedText({ arm, against, measure, when }: Finding): string {
  return `${arm} against ${against}: ${MEASURE_NAMES[measure]}` +
    (when === "switch" ? " at the switch" : "");
}

/** A table of an experiment. */
export interface ExperimentTable {
  title: string;
  columns: FitColumn[];
  rows: string[][];
  /** Sentences under the table. */
  note?: string;
}

/** The arms and the hypotheses as tables, for the terminal and the summary; those with rows. */
export function experimentTables({ experiment: record }: Result): ExperimentTable[] {
  if (!record) return [];
  const switches = summarizeArms(record, "switch");
  const share = (rate?: { rate: number; low: number; high: number }) =>
    rate ? `${formatPercent(rate.rate)} (${formatRange(rate)})` : ABSENT;
  const arms = summarizeArms(record, "end").map(({ arm, seeds, loss, answers }, i) => {
    const rates = tokenRates(record, arm);
    return [
      arm,
      String(seeds),
      switches[i].loss?.toFixed(4) ?? ABSENT,
      loss?.toFixed(4) ?? ABSENT,
      share(answers["one-needle"]),
      share(answers["keyed-needles"]),
      rates.first === undefined ? ABSENT : formatTokenRate(rates.first),
      rates.resume === undefined ? ABSENT : formatTokenRate(rates.resume),
    ];
  });
  const findings = judgeHypotheses(record).map((finding) => [
    finding.id,
    comparedText(finding),
    differenceText(finding),
    finding.verdict,
  ]);
  return [
    {
      title: record.title,
      columns: [
        { title: "Arm" },
        { title: "Seeds", numeric: true },
        { title: "Loss at switch", numeric: true, drop: 3 },
        { title: "Loss at end", numeric: true },
        { title: "One needle (95 %)", numeric: true },
        { title: "With keys (95 %)", numeric: true, drop: 4 },
        { title: "First part", numeric: true, drop: 1 },
        { title: "Resume", numeric: true, drop: 2 },
      ],
      rows: arms,
      note: [
        "Trained and evaluated at a small scale, every layer dense in the evaluation.",
        ...record.registration.deviations.map((line) =>
          `Differs from what was registered: ${line}.`
        ),
        describeCheck(record),
      ].join(" "),
    },
    {
      title: "Hypotheses registered before the run",
      columns: [
        { title: "Id" },
        { title: "Compared", least: 16 },
        { title: "Found", drop: 1 },
        { title: "At this scale" },
      ],
      rows: findings,
    },
  ].filter(({ rows }) => rows.length > 0);
}

/** The arms and what came of the hypotheses, in lines. */
export function renderExperiment(result: Result, { width }: { width?: number } = {}): string {
  const record = result.experiment;
  if (!record) return "";
  const [arms] = experimentTables(result);
  return [
    `${record.title}: ${formatPlural(record.units.length, "unit")} trained`,
    ...arms ? [renderTable(arms, { width })] : [],
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
  return `${finding.id}: ${comparedText(finding).replace(":", ",")}: ${finding.verdict} ` +
    `at this scale; ${differenceText(finding)}`;
}

/** `worse by 0.0012 nats (−0.0030 to 0.0054; margin 0.0100), 3 seeds`. */
export function differenceText({ measure, worse, margin, seeds, ...rest }: Finding): string {
  if (!worse) return "not trained";
  const isLoss = measure === "held-out-loss";
  const number = (value: number) =>
    (isLoss ? value.toFixed(4) : (100 * value).toFixed(1)).replace("-", "−");
  const interval = Number.isFinite(worse.low)
    ? ` (${number(worse.low)} to ${number(worse.high)}; margin ${number(margin)})`
    : " (one seed has no interval)";
  const floor = rest.below === undefined
    ? ""
    : `; ${rest.against} answers ${formatPercent(rest.below)}, too few to compare with`;
  return `worse by ${number(worse.estimate)} ${isLoss ? "nats" : "points"}${interval}, ` +
    `${formatPlural(seeds, "seed")}${floor}`;
}

function describeCheck({ check }: ExperimentRecord): string {
  if (!check) return "The evaluation was not checked.";
  const { passed, maxError, tolerance } = check;
  return `The evaluation ${passed ? "agrees with" : "DIFFERS from"} float64: ` +
    `${maxError.toPrecision(2)} nats at most, ${tolerance.toPrecision(2)} allowed.`;
}
