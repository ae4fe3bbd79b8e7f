/**
 * A result as files that a person can take along.
 *
 * @module
 */
import type { ChartCell } from "../reports/charts/chart_data.ts";
import { toCsv } from "../reports/html/client/saved_data.ts";
import { cellData } from "../reports/html/retrieval_export.ts";
import { renderReport } from "../reports/render_report.ts";
import type { CaseRecord, Result } from "../suites/result/result_schema.ts";

/** Kinds of file. */
export type Export = "json" | "csv" | "markdown" | "report" | "picture";

/** A file by name and content. */
export interface ExportedFile {
  readonly name: string;
  readonly type: string;
  readonly content: string;
}

/** The file of a kind; a picture is drawn by `picture.ts`. */
export function exportResult(what: Exclude<Export, "picture">, result: Result): ExportedFile {
  const base = fileBase(result);
  switch (what) {
    case "json":
      return { name: `${base}.json`, type: "application/json", content: resultJson(result) };
    case "csv":
      return { name: `${base}.csv`, type: "text/csv", content: resultCsv(result) };
    case "markdown":
      return {
        name: `${base}.md`,
        type: "text/markdown",
        content: renderReport(result, { format: "markdown" }),
      };
    case "report":
      return { name: `${base}.html`, type: "text/html", content: renderReport(result) };
  }
}

/** The cells of a needle run, which times nothing; else the cases. */
function resultCsv({ cases, retrieval }: Result): string {
  const timed = cases.some(({ statistic }) => statistic !== undefined);
  return retrieval === undefined || timed ? casesCsv(cases) : toCsv(cellData(retrieval.cells));
}

/** The result file's text, as the command line writes it. */
export function resultJson(result: Result): string {
  return `${JSON.stringify(result, null, 1)}\n`;
}

/** Letters of a device's name in a file's name. */
const MOST_NAME_LETTERS = 60;

/** `lighthouse-apple-m3-2026-11-30`: letters, digits and hyphens. */
export function fileBase({ environment, startedAt }: Result): string {
  const device = environment.device.name.toLowerCase().replace(/[^a-z0-9]+/g, "-")
    .slice(0, MOST_NAME_LETTERS).replace(/^-|-$/g, "");
  return `lighthouse-${device || "device"}-${startedAt.slice(0, 10)}`;
}

const COLUMNS: Readonly<Record<string, (record: CaseRecord) => ChartCell | undefined>> = {
  id: ({ id }) => id,
  suite: ({ suite }) => suite,
  implementation: ({ implementation }) => implementation,
  direction: ({ direction }) => direction,
  context: ({ shape }) => shape.context,
  heads: ({ shape }) => shape.heads,
  kv_heads: ({ shape }) => shape.kvHeads ?? shape.heads,
  head_dim: ({ shape }) => shape.headDim,
  dtype: ({ shape }) => shape.dtype,
  options: ({ options }) => options && JSON.stringify(options),
  status: ({ status }) => status,
  reason: ({ reason }) => reason,
  samples: ({ samples }) => samples?.length,
  median_seconds: ({ statistic }) => statistic?.median,
  low_seconds: ({ statistic }) => statistic?.low,
  high_seconds: ({ statistic }) => statistic?.high,
};

/** All cases, a row each; seconds. */
export function casesCsv(cases: readonly CaseRecord[]): string {
  return toCsv({
    columns: Object.keys(COLUMNS),
    rows: cases.map((record) => Object.values(COLUMNS).map((read) => read(record) ?? null)),
  });
}
