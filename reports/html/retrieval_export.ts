/**
 * Cells of the retrieval record as numbers for export.
 *
 * @module
 */
import type { InstrumentRecord, RetrievalCell } from "../../suites/result/result_schema.ts";
import { type ChartCell, type ChartData, finite } from "../charts/chart_data.ts";

/** One row for each cell, with its setting and all its counts; empty columns are left out. */
export function cellData(cells: readonly RetrievalCell[]): ChartData {
  const levels = Math.max(0, ...cells.map(({ finestLevels }) => finestLevels?.length ?? 0));
  return fromRecords(cells.map((cell) => ({
    arm: cell.arm,
    context_tokens: cell.context,
    depth_percent: finite(cell.depth),
    margin: finite(cell.margin),
    salience: finite(cell.salience),
    stress: cell.stress ?? null,
    levels: cell.lighthouse?.levels ?? null,
    pooling: cell.lighthouse?.pooling ?? null,
    k: cell.lighthouse?.k ?? null,
    attended_rows: cell.attended,
    needles: cell.needles,
    trials: cell.trials,
    correct: cell.correct,
    wilson_low: finite(cell.low),
    wilson_high: finite(cell.high),
    needle_selected: cell.needleSelected,
    query_selected: cell.querySelected,
    lost_needle: cell.lost.needle,
    lost_query: cell.lost.query,
    lost_diluted: cell.lost.diluted,
    largest: cell.largest,
    ...Object.fromEntries(
      Array.from({ length: levels }, (_, level) => [
        `finest_level_${level}`,
        finite(cell.finestLevels?.[level]),
      ]),
    ),
    mass: finite(cell.mass),
    norm: finite(cell.norm),
    output_error: finite(cell.outputError),
  })));
}

/** Measurements with the laws that they must follow. */
export function instrumentData(records: readonly InstrumentRecord[]): ChartData {
  return fromRecords(records.map((one) => ({
    quantity: one.quantity,
    context_tokens: one.context,
    margin: finite(one.margin),
    trials: one.trials,
    measured: finite(one.measured),
    law: finite(one.law),
    law_at_margin: finite(one.atMargin),
    band_low: finite(one.low),
    band_high: finite(one.high),
    holds: one.passed ? "yes" : "no",
  })));
}

/** Records with the same keys as rows, without the columns that are empty in all of them. */
function fromRecords(records: readonly Record<string, ChartCell>[]): ChartData {
  const columns = Object.keys(records[0] ?? {}).filter((name) =>
    records.some((record) => record[name] !== null)
  );
  return { columns, rows: records.map((record) => columns.map((name) => record[name])) };
}
