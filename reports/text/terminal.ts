/**
 * The output of a finished bench on a terminal.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { plainText } from "../../suites/result/plain_text.ts";
import { hardwareNotice, VERDICT_RULE, verdictLine } from "../claims/claims.ts";
import { findings } from "../claims/findings.ts";
import { DIRECTION_NAMES, isMeasured, speedupSeries } from "../data/analysis.ts";
import { timesLayer } from "../data/cases.ts";
import { peerRows } from "../data/peer_data.ts";
import { missingGroups, reasonText } from "../data/reasons.ts";
import { spreadOf } from "../data/spread.ts";
import { renderTable, wrapWords } from "./fit_table.ts";
import {
  ABSENT,
  formatContext,
  formatMeasured,
  formatPlural,
  formatSeconds,
  formatSignificant,
} from "./format.ts";
import { differingShapes, type SummaryTable, summaryTables } from "./summary_tables.ts";
import { ansi, paintVerdict } from "./verdict_color.ts";

/** Options of {@linkcode renderTerminal}. */
export interface TerminalOptions {
  /** Whether to use ANSI bold and colour; false by default, so that logs stay clean. */
  color?: boolean;
  /** Columns of the terminal; without it nothing is shortened. */
  width?: number;
}

/**
 * The summary of one result as text, ending in a line break. Tables fit into `width`; sentences are
 * broken between words.
 */
export function renderTerminal(
  result: Result,
  { color = false, width }: TerminalOptions = {},
): string {
  const bold = (text: string) => color ? ansi("bold", text) : text;
  const say = (text: string) => wrapWords(plainText(text), width);
  const lines = [bold(say(verdictLine(result))), say(hardwareNotice(result).text), ""];
  const tables = summaryTables(result, { elsewhere: false, missing: false }).map(onlyJudged);
  for (const { title, columns, note, ...table } of tables) {
    const rows = table.rows.map((row) => row.map(plainText));
    if (rows.length === 0) {
      lines.push(say(note!), "");
      continue;
    }
    const paint = (cell: string, title: string) =>
      color && title === "Verdict" ? paintVerdict(cell) : cell;
    lines.push(bold(say(title)), renderTable({ columns, rows }, { width, paint }));
    if (note !== undefined) lines.push(say(note));
    lines.push("");
  }
  // A run that timed no layer shows its findings as sentences.
  if (!tables.some(({ title }) => title.startsWith("Latency"))) {
    for (const { title, sentences } of findings(result)) {
      lines.push(bold(say(title)), ...sentences.map(say), "");
    }
  }
  lines.push(...missingLines(result, { color, width }));
  if (tables.some(({ title, rows }) => title === "Claims" && rows.length > 0)) {
    lines.push(say(VERDICT_RULE));
  }
  lines.push(say("Claims seen elsewhere that are not the paper's are listed in the report."));
  for (const note of result.notes) lines.push(say(`Note: ${note}`));
  return lines.join("\n") + "\n";
}

/**
 * Fewest samples that carry a 95 % interval of their median: the range of n samples holds it with
 * probability 1 − 2^(1−n).
 */
const LEAST_FOR_INTERVAL = 6;

/** A table of claims without those that have nothing to show, whose number is in its note. */
function onlyJudged(table: SummaryTable): SummaryTable {
  if (table.title !== "Claims") return table;
  const [here, verdict] = [/^Here\b(?! ÷)/, /^Verdict$/].map((name) =>
    table.columns.findIndex(({ title }) => name.test(title))
  );
  const rows = table.rows.filter((row) => row[verdict] !== "not run" || row[here] !== ABSENT);
  const left = table.rows.length - rows.length;
  const claims = formatPlural(left, rows.length > 0 ? "more claim" : "claim");
  const note = left === 0
    ? table.note
    : `${claims} of the paper ${
      left === 1 ? "was" : "were"
    } not run; the report says how to run them.`;
  return { ...table, rows, ...(note !== undefined && { note }) };
}

/**
 * The finding of a run as its last line, one for each direction: at the longest context, how many
 * times faster the fastest Lighthouse layer was than dense attention, with the number of samples on
 * each side where it is too small for an interval. Empty where no pair was timed.
 *
 * @example `lighthouse-norm ran 32.0 (32.0–32.1) times faster than dense at 512K, forward`
 */
export function closingLines(
  result: Result,
  { color = false, width }: TerminalOptions = {},
): string[] {
  const points = speedupSeries(result).flatMap(({ direction, points }) =>
    points.map((point) => ({ ...point, direction }))
  );
  if (points.length === 0) {
    const beside = peerLines(result, { color, width });
    return beside.length > 0 ? beside : longestLine(result, width);
  }
  return [...new Set(points.map(({ direction }) => direction))].map((direction) => {
    const all = points.filter((point) => point.direction === direction);
    const longest = Math.max(...all.map(({ context }) => context));
    const { ratio, low, high, numerator, denominator } = all
      .filter(({ context }) => context === longest)
      .reduce((best, point) => point.ratio > best.ratio ? point : best);
    return ranTimes({
      name: plainText(denominator.implementation),
      other: plainText(numerator.implementation),
      where: `${formatContext(longest)}, ${DIRECTION_NAMES[direction]}`,
      ratio,
      ends: [low, high],
      count: Math.min(numerator.statistic?.count ?? 0, denominator.statistic?.count ?? 0),
    }, { color, width });
  });
}

/** `dense ran 1.04 (1.03–1.04) times faster than torch-fa2 at 128K, forward`. */
function ranTimes(
  { name, other, where, ratio, ends: [low, high], count }: {
    readonly name: string;
    readonly other: string;
    readonly where: string;
    /** Time of the other over that of the named. */
    readonly ratio: number;
    readonly ends: readonly [low: number, high: number];
    /** Samples of the side that has fewer. */
    readonly count: number;
  },
  { color, width }: TerminalOptions,
): string {
  const faster = ratio >= 1;
  const [value, from, to] = (faster ? [ratio, low, high] : [1 / ratio, 1 / high, 1 / low])
    .map(formatSignificant);
  const around = [
    ...(from === to ? [] : [`${from}–${to}`]),
    ...(count < LEAST_FOR_INTERVAL ? [`n = ${count}`] : []),
  ];
  const ends = around.length > 0 ? ` (${around.join(", ")})` : "";
  const times = `${value}${ends} times ${faster ? "faster" : "slower"}`;
  const wrapped = wrapWords(`${name} ran ${times} than ${other} at ${where}`, width, "  ");
  if (!color) return wrapped;
  return wrapped.replace(name, ansi("cyan", name))
    .replace(times, ansi(faster ? "green" : "red", times));
}

/** For a run of our layers beside peers alone: each peer at its longest context in the same rounds as ours. */
function peerLines(result: Result, options: TerminalOptions): string[] {
  const rows = peerRows(result).filter(({ record, ratio }) =>
    ratio?.interval && timesLayer(record)
  );
  const places = Map.groupBy(rows, ({ peer, record }) => `${peer} ${record.direction}`);
  const shapes = differingShapes(rows.map(({ record }) => record.shape));
  const shapeOf = new Map(rows.map((row, i) => [row, shapes[i]]));
  return [...places.values()].map((own) => {
    const longest = own.reduce((a, b) =>
      (a.record.shape.context - b.record.shape.context || a.record.flops - b.record.flops) > 0
        ? a
        : b
    );
    const { peer, record: { shape, direction, statistic }, ours, ratio } = longest;
    return ranTimes({
      name: plainText(ours!.implementation),
      other: plainText(peer),
      where: `${formatContext(shape.context)}${shapeOf.get(longest)}, ${
        DIRECTION_NAMES[direction]
      }`,
      ratio: ratio!.ratio,
      ends: ratio!.interval!,
      count: Math.min(statistic?.count ?? 0, ours!.statistic?.count ?? 0),
    }, options);
  });
}

/** For a run without a ratio over dense attention: the longest layer that it timed, the first of equals. */
function longestLine({ cases }: Result, width?: number): string[] {
  const timed = cases.filter(isMeasured).filter(timesLayer);
  if (timed.length === 0) return [];
  const { implementation, direction, shape, statistic } = timed.reduce((a, b) =>
    b.shape.context > a.shape.context ? b : a
  );
  return [wrapWords(
    `${plainText(implementation).replace(/^peer:/, "")} took ${
      formatMeasured(statistic.median, spreadOf(statistic), formatSeconds)
    } at ${formatContext(shape.context)}, ${DIRECTION_NAMES[direction]}; ` +
      "nothing was timed in its rounds to compare with",
    width,
    "  ",
  )];
}

/** Cases without a time: a line for each state and reason, failures first, with the first case. */
function missingLines(
  result: Result,
  { color, width }: { color: boolean; width?: number },
): string[] {
  const groups = missingGroups(result);
  if (groups.length === 0) return [];
  // Each failure needs attention: those that differ in a number are not joined.
  const told = groups.flatMap((group) =>
    group.state === "failed"
      ? [...Map.groupBy(group.cases, reasonText)].map(([reason, cases]) => ({
        ...group,
        reason,
        cases,
      }))
      : [group]
  );
  const lines = told.flatMap(({ state, reason, cases }) => {
    const [{ id }] = cases;
    const more = cases.length > 1 ? ` and ${formatPlural(cases.length - 1, "more case")}` : "";
    const line = wrapWords(`${state}: ${plainText(reason)}`, width, "  ");
    return [
      color ? line.replace(/^\w+/, paintVerdict) : line,
      wrapWords(`  ${plainText(id)}${more}`, width, "  "),
    ];
  });
  const title = "Skipped and failed";
  return [color ? ansi("bold", title) : title, ...lines, ""];
}
