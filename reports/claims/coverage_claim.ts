/**
 * The claim: No holes: every position has a contributor.
 *
 * @module
 */
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { largest } from "../data/extremes.ts";
import { formatCount, formatPlural } from "../text/format.ts";
import type { ClaimRow } from "./claim.ts";
import { benchCommand } from "./points.ts";

export function coverageClaim(result: Result): ClaimRow {
  const counted = result.cases.filter((record) =>
    record.zeroRows !== undefined && record.family === "lighthouse" && record.status === "ok"
  );
  const base = {
    id: "coverage",
    claim: "No holes: every position has a contributor",
    paper: { text: "0 empty rows", value: 0, hardware: "a statement about the method" },
    command: benchCommand(result, { contexts: [8192], direction: "forward" }),
    details: [],
    software: false,
    nearest: null,
    ratio: null,
  };
  if (counted.length === 0) {
    return {
      ...base,
      ours: null,
      extent: null,
      verdict: "not run",
      why: "No case of this run counted the rows that no entry covers.",
    };
  }
  const empty = counted.filter(({ zeroRows }) => zeroRows! > 0);
  const most = largest(counted.map(({ zeroRows }) => zeroRows!));
  const beyond = counted.some((record) => record.zeroRows! > coverageBound(record));
  return {
    ...base,
    ours: { unit: "rows", value: most, low: null, high: null },
    extent: { points: counted.length, whole: true },
    verdict: empty.length === 0 ? "reproduced" : "not reproduced",
    why: empty.length === 0
      ? `No empty row in ${
        formatPlural(counted.length, "case")
      }, though the published code allows ` +
        `p^(L−1) − 1 of them per head.`
      : beyond
      ? `More rows are empty than the first p^(L−1) − 1 of each head, which the method does not allow: ` +
        `a defect of this run.`
      : `${formatCount(empty.length)} of ${
        formatPlural(counted.length, "case")
      } have empty rows among ` +
        `the first p^(L−1) − 1 of a head, as the published code does where the text says none.`,
  };
}

function coverageBound({ options, shape }: CaseRecord): number {
  return shape.heads * (options!.pooling ** (options!.levels - 1) - 1);
}
