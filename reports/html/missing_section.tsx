/**
 * Cases without a time: one line for each reason, which opens to the cases.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { isMissing, type MissingGroup, missingGroups, reasonText } from "../data/reasons.ts";
import { ABSENT, formatBytes, formatPlural, formatSeconds } from "../text/format.ts";
import { Table } from "../charts/figure.tsx";
import { capital, type Section, unbroken } from "./section.tsx";
import { CaseName } from "./case_name.tsx";

/** The section, or null if the result has no data for it. */
export function missingSection(result: Result, prefix: string): Section | null {
  const missing = result.cases.filter(isMissing);
  if (missing.length === 0) return null;
  const groups = missingGroups(result);
  const states = [...new Set(groups.map(({ state }) => state))];
  return {
    id: `${prefix}missing`,
    nav: capital(states.join(", ")),
    content: (
      <>
        <h2>
          {formatPlural(missing.length, "case")} without a time: {states.join(", ")}
        </h2>
        {groups.map((group) => <Group group={group} />)}
      </>
    ),
  };
}

function Group({ group: { state, reason, cases } }: { group: MissingGroup }) {
  return (
    <details class="folded" open={state === "failed"}>
      <summary>
        <strong>{formatPlural(cases.length, "case")} {state}</strong>: {unbroken(reason)}
      </summary>
      <Table
        caption={`${formatPlural(cases.length, "case")} ${state}`}
        columns={[
          { title: "Case" },
          { title: "Reason" },
          { title: "Predicted", numeric: true },
          { title: "Memory planned", numeric: true },
        ]}
        rows={cases.map((record: CaseRecord) => [
          <CaseName record={record} />,
          reasonText(record),
          record.predictedSeconds === undefined ? ABSENT : formatSeconds(record.predictedSeconds),
          record.peakBytes > 0 ? formatBytes(record.peakBytes) : ABSENT,
        ])}
      />
    </details>
  );
}
