/**
 * The rows of the paper's Tables 1 and 2 beside the steps that a result measured.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import {
  isPeerStep,
  trainingCases,
  type TrainingPair,
  trainingPairs,
} from "../data/training_data.ts";
import { formatCount, formatMeasured, formatRatio } from "../text/format.ts";
import { type ClaimDetail, type ClaimRow, judgeRatio, type Verdict } from "./claim.ts";
import { PAPER_MODEL, type PaperRow, trainingRows } from "./paper.ts";

/** A row of the paper with what was measured of it. */
export interface MeasuredRow {
  row: PaperRow;
  /** Over our own dense step; the vocabulary of the paper first. */
  own: TrainingPair[];
  /** Over dense steps of peers. */
  peers: TrainingPair[];
}

/** Rows without context parallelism: those with it ran on other hardware than the baseline. */
export function measuredRows(result: Result): MeasuredRow[] {
  const pairs = trainingPairs(result).filter(({ lighthouse }) => !isPeerStep(lighthouse))
    .sort((a, b) => b.lighthouse.training.vocabulary - a.lighthouse.training.vocabulary);
  return trainingRows().filter(({ alone }) => alone).map((row) => {
    const same = pairs.filter((pair) => isRow(pair, row));
    return {
      row,
      own: same.filter(({ dense }) => !isPeerStep(dense)),
      peers: same.filter(({ dense }) => isPeerStep(dense)),
    };
  });
}

/** Whether a pair has the paper's model, context and layer options. */
function isRow({ lighthouse: { record, training } }: TrainingPair, row: PaperRow): boolean {
  const { options = {}, shape, scorer } = record;
  const { layers, width, ffn, denseEnds, batch } = training;
  return layers === PAPER_MODEL.layers && width === PAPER_MODEL.width && ffn === PAPER_MODEL.ffn &&
    denseEnds === PAPER_MODEL.denseEnds && shape.heads === PAPER_MODEL.heads && batch === 1 &&
    shape.context === row.context && scorer === row.scorer && options.levels === row.levels &&
    options.pooling === row.pooling && options.k === row.k;
}

/** What is judged of a row: the paper's value, and ours from a measured ratio. */
export interface RowValue {
  readonly paper: (row: PaperRow) => number;
  readonly ours: (ratio: number, row: PaperRow) => number;
}

/** A judged row: over which dense step, our value and the verdict. */
export interface JudgedPair {
  pair: TrainingPair;
  value: number;
  low: number | null;
  high: number | null;
  paper: number;
  verdict: Verdict;
}

/** Judges a pair by the upper end of its spread, as all ratios. */
export function judgePair(pair: TrainingPair, row: PaperRow, of: RowValue): JudgedPair {
  const paper = of.paper(row);
  const [value, low, high] = [pair.ratio, pair.low, pair.high].map((ratio) =>
    ratio === undefined ? null : of.ours(ratio, row)
  );
  return {
    pair,
    value: value!,
    low,
    high,
    paper,
    verdict: judgeRatio(high ?? value!, paper),
  };
}

/** A row in words, one line for each dense step that it was held against. */
export function rowDetails({ row, own, peers }: MeasuredRow, of: RowValue): ClaimDetail {
  const said = [...own, ...peers].map((pair) => judgePair(pair, row, of)).map((judged) => {
    const { pair, value, verdict } = judged;
    return {
      over: `${denseName(pair)}, ${vocabularyOf(pair)}`,
      text: describeValue(judged, formatRatio(value)),
      verdict,
    };
  });
  return {
    label: row.label,
    paper: formatRatio(of.paper(row)),
    ...(said.length > 0 && { measured: said }),
  };
}

function describeValue({ pair, value, low, high }: JudgedPair, plain: string): string {
  const { count, kind, rounds } = pair;
  if (low === null || high === null || count === undefined || kind === undefined) {
    return rounds > 0 ? plain : `${plain}, of medians that were not interleaved`;
  }
  return formatMeasured(value, { low, high, count, kind }, formatRatio);
}

/** The dense step of a pair in words. */
export function denseName({ dense }: TrainingPair): string {
  return isPeerStep(dense)
    ? dense.record.implementation.replace(/^peer:/, "")
    : "this suite’s own dense step";
}

/** The vocabulary of a pair in words. */
export function vocabularyOf({ lighthouse: { training } }: TrainingPair): string {
  return `V = ${formatCount(training.vocabulary)}`;
}

/** One verdict for several: theirs if they agree, else `partly`. */
export function joinVerdicts(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.length === 0) return "not run";
  return verdicts.every((one) => one === verdicts[0]) ? verdicts[0] : "partly";
}

/** What the rows of a claim about training have in common. */
export function judgeRows(
  result: Result,
  { rows, of, base, computed }: {
    rows: readonly MeasuredRow[];
    of: RowValue;
    base: Pick<ClaimRow, "id" | "claim" | "paper">;
    /** Our values are computed from measured ones. */
    computed: boolean;
  },
): ClaimRow {
  const common = {
    ...base,
    nearest: null,
    command: trainingCommand(result),
    details: rows.map((row) => rowDetails(row, of)),
    software: result.environment.adapter.software,
  };
  // One pair of each row: the paper's vocabulary if it was measured.
  const judged = rows.flatMap(({ row, own }) =>
    own.slice(0, 1).map((pair) => judgePair(pair, row, of))
  );
  if (judged.length === 0) {
    const any = trainingCases(result).length > 0;
    return {
      ...common,
      ours: null,
      extent: null,
      ratio: null,
      verdict: "not run",
      why: any
        ? "This run measured no Lighthouse step beside a dense one of the paper’s model at its context."
        : "No training step was part of this run.",
    };
  }
  const lead = judged.reduce((a, b) => b.paper > a.paper ? b : a);
  const beside = rows.flatMap(({ row, peers }) => peers.map((pair) => judgePair(pair, row, of)))
    .filter(({ paper }) => paper === lead.paper);
  const verdict = joinVerdicts(judged.map((one) => one.verdict));
  const vocabularies = [...new Set(judged.map(({ pair }) => vocabularyOf(pair)))].join(" and ");
  const { count, kind, rounds } = lead.pair;
  return {
    ...common,
    ours: {
      unit: "ratio",
      value: lead.value,
      low: lead.low,
      high: lead.high,
      ...(count !== undefined && kind !== undefined && { count, kind }),
    },
    ...(beside.length > 0 && {
      beside: beside.map((one) =>
        `over ${denseName(one.pair)}: ${describeValue(one, formatRatio(one.value))}, ${one.verdict}`
      ).join("; "),
    }),
    extent: { points: judged.length, whole: judged.length === rows.length },
    ratio: lead.value / lead.paper,
    verdict,
    why:
      `${computed ? "Computed from measured steps and the paper’s schedules: the" : "The"} row ` +
      `where the paper’s value is the largest, with ${vocabularies}` +
      (rounds === 0 ? ", of medians that were not interleaved" : "") +
      `; ${judged.length} of ${rows.length} rows were measured, over this suite’s own dense step.`,
  };
}

/** The command that measures the rows. */
function trainingCommand({ stack, seed }: Pick<Result, "stack" | "seed">): string {
  return `deno task bench training --profile paper --stack ${stack} --seed ${seed}`;
}
