/**
 * Which cells of the retrieval suite differ, where a case's digest says that some do.
 *
 * @module
 */
import type { Result, RetrievalCell } from "../../suites/result/result_schema.ts";
import type { ExactOutcome } from "./compare_exact.ts";

/** Cells that are named; the rest are counted. */
const MOST_NAMED = 5;

const COUNTS = ["trials", "correct", "needleSelected", "querySelected", "largest"] as const;
const MEANS = ["mass", "outputError", "norm"] as const;

/** Adds to the differences of a case the cells behind a differing digest. */
export function withCells(
  outcome: ExactOutcome,
  options: { id: string; baseline: Result; candidate: Result },
): ExactOutcome {
  const { id, baseline, candidate } = options;
  const digest = outcome.differences.find(({ part }) => part === "digest");
  if (!digest || !baseline.retrieval || !candidate.retrieval) return outcome;
  const of = ({ retrieval }: Result) =>
    new Map(
      retrieval!.cells.filter((cell) => cell.case === id).map((cell) => [nameOf(cell), cell]),
    );
  const [before, after] = [of(baseline), of(candidate)];
  const found = [...before].flatMap(([name, was]) => {
    const is = after.get(name);
    const differing = is && [...COUNTS, ...MEANS].filter((field) => was[field] !== is[field]);
    if (differing?.length === 0) return [];
    const show = (cell: RetrievalCell | undefined) =>
      cell ? differing!.map((field) => `${field} ${cell[field]}`).join(", ") : "not there";
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

function nameOf(
  { sweep, stress, arm, lighthouse, margin, salience, depth }: RetrievalCell,
): string {
  const layer = lighthouse
    ? ` L ${lighthouse.levels} p ${lighthouse.pooling} k ${lighthouse.k}`
    : "";
  const at = depth === undefined ? "" : `, depth ${depth} %`;
  const norm = salience === undefined ? "" : `, salience ${salience}`;
  return `${stress ?? sweep}, ${arm}${layer}, margin ${margin}${norm}${at}`;
}
