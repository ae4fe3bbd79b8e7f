/**
 * Outcome, exit code and summary sentence of a report.
 *
 * @module
 */
import { formatPlural } from "../text/format.ts";
import { countVerdicts, type GateReport } from "./gate_report.ts";
import { formatThreshold } from "./gate_table.ts";
import { ENOUGH_RUNS } from "./run_noise.ts";

/** Adds outcome, exit code and summary sentence to the findings. */
export function finishReport(
  found: Omit<GateReport, "outcome" | "exitCode" | "sentence">,
  options: { ignored?: (id: string) => boolean } = {},
): GateReport {
  const { cases, timesNotComparable } = found;
  const counts = countVerdicts(cases);
  const failing = cases.filter(({ fails }) => fails);
  const open = cases.filter(({ id, verdict }) =>
    verdict === "inconclusive" && !options.ignored?.(id)
  );
  const differing =
    failing.filter(({ differences }) => differences.some(({ severity }) => severity === "failure"))
      .length;
  const vanished = failing.filter(({ verdict }) => verdict === "missing").length;
  const slower = failing.filter(({ verdict }) => verdict === "slower").length;
  const faults = [
    slower > 0 && `${formatPlural(slower, "case")} slower`,
    differing > 0 && `${formatPlural(differing, "case")} with a different result, cost or status`,
    vanished > 0 && `${formatPlural(vanished, "case")} missing`,
  ].filter(Boolean).join(", ");
  const exactPart = `${formatPlural(found.exactFields, "exact field")} equal`;
  if (failing.length > 0) {
    return { ...found, outcome: "failed", exitCode: 1, sentence: `Failed: ${faults}.` };
  }
  if (timesNotComparable.length > 0) {
    const sentence = `Not comparable: ${timesNotComparable.join("; ")}.` +
      (found.exactFields > 0 ? ` ${exactPart}.` : "");
    return { ...found, outcome: "not comparable", exitCode: 4, sentence };
  }
  if (open.length > 0) {
    const count = formatPlural(open.length, "case");
    const noisy = open.filter(({ reason, time }) => reason === undefined && time !== undefined);
    const widest = Math.max(...noisy.map(({ time }) => time!.threshold));
    const why = noisy.length > 0
      ? `noise of ${formatThreshold(widest, "up to ")} hides what ${count} must show`
      : `${count} without a verdict: ${open[0].reason}`;
    const unlearned = found.method === "absolute" && found.noise.historyRuns < ENOUGH_RUNS;
    const remedy = noisy.length > 0 && unlearned ? " --history or --against shows less noise." : "";
    const sentence = `Inconclusive: ${why}; ${exactPart} or accepted.${remedy}`;
    return { ...found, outcome: "inconclusive", exitCode: 3, sentence };
  }
  const sentence = found.identicalCode
    ? `Passed: the code is identical, so every difference in time is noise; ${exactPart}.`
    : `Passed: ${formatPlural(counts.same, "case")} the same, ${counts.faster} faster, ` +
      `${counts.new} new; ${exactPart} or accepted.`;
  return { ...found, outcome: "passed", exitCode: 0, sentence };
}
