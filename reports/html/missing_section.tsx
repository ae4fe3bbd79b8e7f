/**
 * Cases without a time, with their reasons.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { ABSENT, formatBytes, formatSeconds } from "../text/format.ts";
import { Table } from "../charts/figure.tsx";
import type { Section } from "./section.tsx";

/** The section, or null where the result has nothing for it. */
export function missingSection(result: Result, prefix: string): Section | null {
  const missing = result.cases.filter((record) =>
    record.status !== "ok" || record.check?.passed === false
  );
  if (missing.length === 0) return null;
  return {
    id: `${prefix}missing`,
    nav: "Skipped",
    content: (
      <>
        <h2>Skipped and failed</h2>
        <Table
          caption="Cases without a time"
          columns={[
            { title: "Case" },
            { title: "State" },
            { title: "Reason" },
            { title: "Predicted", numeric: true },
            { title: "Memory", numeric: true },
          ]}
          rows={missing.map((record) => [
            record.id,
            record.status === "skipped" || record.status === "inconclusive"
              ? record.status
              : <strong>failed</strong>,
            record.reason ?? "no reason recorded",
            record.predictedSeconds === undefined ? ABSENT : formatSeconds(record.predictedSeconds),
            formatBytes(record.peakBytes),
          ])}
        />
      </>
    ),
  };
}
