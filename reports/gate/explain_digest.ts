/**
 * Explains a differing digest of a case, if its suite supports it: which of its findings differ.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import type { SuiteRecord } from "../../suites/result/suite_record.ts";
import type { ExactOutcome } from "./compare_exact.ts";

/** Findings that are named; the rest are counted. */
const MOST_NAMED = 5;

/** Adds to the differences of a case the findings behind a differing digest. */
export function explainDigest(
  outcome: ExactOutcome,
  options: { id: string; suite: SuiteRecord; baseline: Result; candidate: Result },
): ExactOutcome {
  const { id, suite: { part }, baseline, candidate } = options;
  const digest = outcome.differences.find(({ part }) => part === "digest");
  if (!digest || !part?.findings) return outcome;
  const [before, after] = [part.findings(baseline, id), part.findings(candidate, id)];
  if (before.size === 0 || after.size === 0) return outcome;
  const found = [...before].flatMap(([name, was]) => {
    const is = after.get(name);
    const differing = is && Object.keys(was).filter((field) => was[field] !== is[field]);
    if (differing?.length === 0) return [];
    const show = (fields: Readonly<Record<string, unknown>> | undefined) =>
      fields ? differing!.map((field) => `${field} ${fields[field]}`).join(", ") : "not there";
    const field = differing ? `${name}: ${differing.join(", ")}` : name;
    return [{
      part: digest.part,
      field,
      baseline: is ? show(was) : "there",
      candidate: show(is),
      severity: digest.severity,
    }];
  });
  const more = found.length - MOST_NAMED;
  return {
    fields: outcome.fields + before.size,
    differences: [
      ...outcome.differences,
      ...found.slice(0, MOST_NAMED),
      ...(more > 0
        ? [{
          ...found[MOST_NAMED],
          field: "further cells",
          baseline: "",
          candidate: `${more} differ`,
        }]
        : []),
    ],
  };
}
