/**
 * The tables of text shared by the terminal and the markdown summary, as titles and cells.
 *
 * @module
 */
import { headsText } from "../data/head_counts.ts";
import { timesLayer } from "../data/cases.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import {
  achievedBy,
  ceilingsOf,
  type ContextSeries,
  contextSeries,
  copyFloors,
  DIRECTION_NAMES,
  isMeasured,
  type SpeedupSeries,
  speedupSeries,
} from "../data/analysis.ts";
import { powerLimitSentence } from "../data/device_readings.ts";
import { missingGroups, reasonText } from "../data/reasons.ts";
import { peerLabel, peerRows } from "../data/peer_data.ts";
import {
  type ClaimRow,
  formatQuantity,
  formatQuantityInterval,
  judgeClaims,
} from "../claims/claims.ts";
import {
  ABSENT,
  formatByteRate,
  formatContext,
  formatCount,
  formatFlopRate,
  formatMeasured,
  formatPercent,
  formatPlural,
  formatRatio,
  formatSeconds,
  formatSpread,
  formatTokenRate,
  SPREAD_TITLE,
} from "./format.ts";
import { answersTables } from "./answers_text.ts";
import { experimentTables } from "./experiment_text.ts";
import type { FitColumn } from "./fit_table.ts";
import { trainingTables } from "./training_text.ts";

/** A table of text. */
export interface SummaryTable {
  title: string;
  columns: FitColumn[];
  rows: string[][];
  /** One sentence under the table. */
  note?: string;
}

/**
 * Claims, latency, ceilings and missing cases, in the order of a summary.
 *
 * @param options.elsewhere whether claims that are not the paper's are listed too.
 * @param options.missing whether there is a table of skipped and failed cases.
 */
export function summaryTables(
  result: Result,
  { elsewhere = true, missing = true }: { elsewhere?: boolean; missing?: boolean } = {},
): SummaryTable[] {
  return [
    claimsTable(result, elsewhere),
    ...experimentTables(result),
    ...trainingTables(result),
    ...answersTables(result),
    latencyTable(result),
    peerTable(result),
    ceilingsTable(result),
    ...(missing ? [missingTable(result)] : []),
  ].filter(({ rows }) => rows.length > 0);
}

/** A series in words: `lighthouse-norm, H = 8, d = 128, f16, L = 3, p = 4, k = N/64`. */
export function seriesName(series: SeriesIdentity): string {
  return [series.implementation, ...seriesParts(series)].join(", ");
}

/**
 * Names for several series that leave out what all of them share, and the shared part in words.
 * Lighthouse's own options count as shared if all Lighthouse series have them, a dilation if all
 * series with a dilation have it.
 */
export function shortSeriesNames(
  series: readonly SeriesIdentity[],
): { names: string[]; shared: string } {
  const all = series.map(seriesParts);
  // Settings that all series of an implementation have, by the implementation.
  const common = new Map<string, readonly string[]>();
  for (const { implementation, settings } of series) {
    const before = common.get(implementation) ?? settings;
    common.set(implementation, before.filter((part) => settings.includes(part)));
  }
  const held = (implementation: string, part: string) => common.get(implementation)!.includes(part);
  const sparse = series.filter(({ k }) => k !== null).length;
  const dilated = series.filter(({ dilation }) => dilation !== null).length;
  const owners = new Map<string, number>();
  for (const parts of all) {
    for (const part of new Set(parts)) owners.set(part, (owners.get(part) ?? 0) + 1);
  }
  const isShared = (part: string) => {
    const most = part.startsWith("δ") ? dilated : /^[Lpk] = /.test(part) ? sparse : all.length;
    return owners.get(part) === most;
  };
  const own = [...common].flatMap(([implementation, parts]) =>
    parts.length > 0 ? [`${implementation} with ${parts.join(", ")}`] : []
  );
  const shared = [...new Set(all.flat()), ...own].filter((part) =>
    own.includes(part) || isShared(part) && !series.some(({ settings }) => settings.includes(part))
  );
  return {
    names: series.map(({ implementation }, i) =>
      [
        implementation,
        ...all[i].filter((part) => !isShared(part) && !held(implementation, part)),
      ].join(", ")
    ),
    shared: shared.join(", "),
  };
}

/** Our value of a claim in one cell: value with interval, or the nearest point in words. */
export function claimCell({ ours, nearest }: ClaimRow): string {
  if (ours === null) return nearest === null ? ABSENT : `nearest: ${nearest}`;
  const interval = formatQuantityInterval(ours);
  return interval === null ? formatQuantity(ours) : `${formatQuantity(ours)} (${interval})`;
}

type SeriesIdentity = Omit<ContextSeries, "points" | "fit"> | SpeedupSeries;

function seriesParts(series: SeriesIdentity): string[] {
  const parts = [headsText(series), `d = ${series.headDim}`, series.dtype];
  if (series.direction !== "forward") parts.unshift(series.direction);
  if (series.k !== null) {
    parts.push(`L = ${series.levels}`, `p = ${series.pooling}`, `k = ${ruleText(series)}`);
  }
  if (series.dilation !== null) parts.push(`δ = ${series.dilation}`);
  parts.push(...series.settings);
  return parts;
}

/** The rule of k, and its value where it is raised to the minimum k of a layer. */
function ruleText({ k, clamp }: SeriesIdentity): string {
  if (clamp === null) return String(k);
  return clamp.whole ? `${clamp.k} (more than ${k})` : `max(${k}, ${clamp.k})`;
}

/** What a raised k means for slopes and speed-ups, a sentence; null if no series has one. */
export function clampSentence(series: readonly SeriesIdentity[]): string | null {
  const raised = series.flatMap(({ k, clamp }) => clamp === null ? [] : [{ k, clamp }]);
  if (raised.length === 0) return null;
  const { k, clamp } = raised.reduce((a, b) => b.clamp.upTo > a.clamp.upTo ? b : a);
  return clamp.whole
    ? `At every context here ${k} is less than the least k that the layer takes, so k is ${
      formatCount(clamp.k)
    } throughout: slopes and speed-ups are those of a constant k.`
    : `Up to ${formatContext(clamp.upTo)} ${k} is less than the least k that the layer takes, so ` +
      `k is ${
        formatCount(clamp.k)
      } there: slopes and speed-ups up to it are those of a constant k.`;
}

function claimsTable(result: Result, elsewhere: boolean): SummaryTable {
  const rows = judgeClaims(result).filter(({ verdict }) =>
    elsewhere || verdict !== "not the paper's claim"
  );
  return {
    title: "Claims",
    columns: [
      { title: "Claim", width: 60, least: 20, cut: "middle" },
      { title: "Paper", drop: 2 },
      { title: rows.some(({ software }) => software) ? "Here (software)" : "Here", least: 18 },
      { title: "Here ÷ paper", numeric: true, drop: 1 },
      { title: "Verdict" },
    ],
    rows: rows.map((row) => [
      row.claim,
      row.paper.text,
      claimCell(row),
      row.ratio === null ? ABSENT : row.ratio.toFixed(2),
      row.verdict,
    ]),
  };
}

function latencyTable(result: Result): SummaryTable {
  const speedups = new Map(
    speedupSeries(result).flatMap(({ points }) =>
      points.map((point) => [point.denominator.id, point] as const)
    ),
  );
  const series = contextSeries(result);
  const { names, shared } = shortSeriesNames(series);
  const slopes = series.flatMap(({ fit }, i) =>
    fit === null ? [] : [
      `${names[i]} N^${fit.exponent.toFixed(2)} (${formatContext(fit.from)}–${
        formatContext(fit.to)
      })`,
    ]
  );
  return {
    title: `Latency of one layer${shared === "" ? "" : ` (${shared})`}`,
    columns: [
      { title: "Context", numeric: true },
      { title: "Implementation", least: 24, cut: "middle" },
      { title: "Median", numeric: true },
      { title: SPREAD_TITLE, numeric: true, drop: 2 },
      { title: "Against dense", numeric: true },
      { title: "Tokens/s", numeric: true, drop: 1 },
    ],
    rows: series
      .flatMap((one, order) => one.points.map((point) => ({ one, order, point })))
      .sort((a, b) => a.point.context - b.point.context || a.order - b.order)
      .map(({ order, point }) => {
        const speedup = speedups.get(point.case.id);
        return [
          formatContext(point.context),
          names[order],
          formatSeconds(point.median),
          formatSpread(point, formatSeconds),
          speedup === undefined ? ABSENT : formatMeasured(speedup.ratio, speedup, formatRatio),
          formatTokenRate(point.context / point.median),
        ];
      }),
    ...joinSentences([
      ...(slopes.length > 0
        ? [
          `Slopes in log-log at the longest contexts: ${slopes.join(", ")}.`,
          clampSentence(series),
        ]
        : []),
      powerLimitSentence(series.flatMap(({ points }, i) =>
        points.map((point) => ({
          name: `${names[i]} at ${formatContext(point.context)}`,
          record: point.case,
        }))
      )),
    ]),
  };
}

/** Sentences as the note of a table; without any, none. */
function joinSentences(
  sentences: readonly (string | null | undefined)[],
): Pick<SummaryTable, "note"> {
  const said = sentences.filter((sentence) => sentence !== null && sentence !== undefined);
  return said.length === 0 ? {} : { note: said.join(" ") };
}

/** Of each shape what differs between them: `, d = 64`; empty where all are alike. */
export function differingShapes(shapes: readonly CaseRecord["shape"][]): string[] {
  const parts = shapes.map((shape) => [headsText(shape), `d = ${shape.headDim}`, shape.dtype]);
  const differs = parts[0]?.map((part, i) => parts.some((other) => other[i] !== part));
  return parts.map((own) => own.filter((_, i) => differs[i]).map((part) => `, ${part}`).join(""));
}

function peerTable(result: Result): SummaryTable {
  const rows = peerRows(result).filter(({ record }) => isMeasured(record));
  const shapes = differingShapes(rows.map(({ record }) => record.shape));
  return {
    title: "Peers: other implementations on the same device",
    columns: [
      { title: "Context", numeric: true },
      { title: "Peer", least: 12 },
      { title: "Direction", least: 9 },
      { title: "Its median", numeric: true, drop: 1 },
      { title: "Ours", least: 12, drop: 2 },
      { title: "Its time ÷ ours", numeric: true },
    ],
    rows: rows.map(({ peer, record, ours, ratio }, i) => [
      formatContext(record.shape.context),
      peerLabel(
        result,
        peer,
        shapes[i] + (record.options?.k !== undefined ? `, k = ${record.options.k}` : ""),
      ),
      record.direction,
      formatSeconds(record.statistic?.median ?? NaN),
      ours?.implementation ?? ABSENT,
      ratio === null
        ? ABSENT
        : ratio.spread === null
        ? `${formatRatio(ratio.ratio)} (not interleaved)`
        : formatMeasured(ratio.ratio, ratio.spread, formatRatio),
    ]),
    ...joinSentences([
      "Above 1 ours is faster.",
      powerLimitSentence(
        rows.flatMap(({ peer, record, ours }, i) =>
          [{ name: peer, record }, ...(ours ? [{ name: ours.implementation, record: ours }] : [])]
            .map(({ name, record }) => ({
              name: `${name}${shapes[i]} at ${formatContext(record.shape.context)}, ${
                DIRECTION_NAMES[record.direction]
              }`,
              record,
            }))
        ),
      ),
    ]),
  };
}

function ceilingsTable(result: Result): SummaryTable {
  const ceilings = ceilingsOf(result.calibration);
  const cases = result.cases.filter(isMeasured).filter((record) => timesLayer(record));
  const longest = new Map<string, typeof cases[number]>();
  const rateOf = (record: typeof cases[number]) => achievedBy(record, result).flopsPerSecond;
  for (const record of cases) {
    const other = longest.get(record.implementation);
    const longer = record.shape.context - (other?.shape.context ?? 0);
    const faster = other === undefined || rateOf(record) > rateOf(other);
    if (longer > 0 || (longer === 0 && faster)) longest.set(record.implementation, record);
  }
  const percent = (fraction: number | null) => fraction === null ? ABSENT : formatPercent(fraction);
  return {
    title: "Against the ceilings of this device, the fastest layer at each one's longest context",
    columns: [
      { title: "Implementation", least: 12, cut: "middle" },
      { title: "Context", numeric: true },
      { title: "Achieved", numeric: true },
      { title: "Of its unit", numeric: true },
      { title: "Unit", drop: 3 },
      { title: "Of the roofline", numeric: true, drop: 2 },
      { title: "Other stages ÷ copy", numeric: true, drop: 1 },
    ],
    rows: [...longest.values()].map((record) => {
      const achieved = achievedBy(record, result);
      const floor = copyFloors(record, ceilings.copy).find(({ stage }) => stage === "all");
      return [
        record.implementation,
        formatContext(record.shape.context),
        formatFlopRate(achieved.flopsPerSecond),
        percent(achieved.ofUnit),
        achieved.unit ?? ABSENT,
        percent(achieved.ofRoof),
        floor === undefined ? ABSENT : formatRatio(floor.multiple),
      ];
    }),
    ...(ceilings.fmaF32 === null && ceilings.copy === null ? {} : {
      note: `Measured ceilings: ${
        [
          ["f32 FMA", ceilings.fmaF32, formatFlopRate] as const,
          ["f16 FMA", ceilings.fmaF16, formatFlopRate] as const,
          ["matrix units", ceilings.matrix, formatFlopRate] as const,
          ["copy", ceilings.copy, formatByteRate] as const,
        ].flatMap(([name, rate, format]) => rate === null ? [] : [`${name} ${format(rate)}`])
          .join(", ")
      }.`,
    }),
  };
}

/** One row for each reason; each failed case has its own, since each needs attention. */
function missingTable(result: Result): SummaryTable {
  return {
    title: "Skipped and failed",
    columns: [{ title: "Case" }, { title: "State" }, { title: "Reason" }],
    rows: missingGroups(result).flatMap(({ state, reason, cases }) =>
      state === "failed" || cases.length === 1
        ? cases.map((record) => [record.id, state, reasonText(record)])
        : [[formatPlural(cases.length, "case"), state, reason]]
    ),
  };
}
