/**
 * The part of a comparison without noise: fields that must be equal to the bit, or within a bound.
 *
 * @module
 */
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import type { SuiteRecord } from "../../suites/result/suite_record.ts";
import type { ExactDifference, ExactPart } from "./gate_report.ts";

/** What decides which fields may be compared. */
export interface ExactOptions {
  /** Same adapter, driver and stack: outputs must have the same bits. */
  readonly sameAdapter: boolean;
  /** Measured tilings from another file were used: sums round differently. Default false. */
  readonly tunedApart?: boolean;
  /** Same seed: the inputs had the same bits. */
  readonly sameInputs: boolean;
  /** Parts whose change is accepted. */
  readonly accept: readonly string[];
  /** The suite of the records. Default: a suite without exact fields of its own. */
  readonly suite?: Pick<SuiteRecord, "exact">;
  /** An external implementation, whose bits no change here affects. */
  readonly peer?: boolean;
}

/** Differences of one case, and the number of fields that were compared. */
export interface ExactOutcome {
  readonly fields: number;
  readonly differences: readonly ExactDifference[];
}

/** Relative difference that rounding in their sums may leave between two derived tolerances. */
const TOLERANCE_SLACK = 1e-6;

/**
 * Compares statuses, digests, costs and error bounds of one case.
 *
 * Selection digests are compared on any adapter, since a selection is a function of the scores. On
 * another adapter scores may round differently, so a difference there is a note, unless the
 * scores were seeded ones, which are the same everywhere. All other digests hold only on the same adapter
 * with the same tilings; of the scores, norms do not depend on tilings.
 */
export function compareExact(
  baseline: CaseRecord,
  candidate: CaseRecord,
  options: ExactOptions,
): ExactOutcome {
  const differences: ExactDifference[] = [];
  let fields = 0;
  const report = (part: ExactPart, field: string, values: [unknown, unknown], note?: string) => {
    const accepted = options.accept.includes(part) ? "the configuration accepts it" : undefined;
    const reason = note ?? accepted;
    differences.push({
      part,
      field,
      baseline: show(values[0]),
      candidate: show(values[1]),
      severity: reason === undefined ? "failure" : "note",
      ...(reason !== undefined && { reason }),
    });
  };
  const equal = (part: ExactPart, field: string, values: [unknown, unknown], note?: string) => {
    fields++;
    if (values[0] !== values[1]) report(part, field, values, note);
  };

  const ran = ({ status }: CaseRecord) => status === "ok" || status === "inconclusive";
  const improved = !ran(baseline) && ran(candidate);
  const statuses: [string, string] = [describeStatus(baseline), describeStatus(candidate)];
  fields++;
  if (baseline.status !== candidate.status) {
    const unclear = ran(baseline) && ran(candidate);
    const reason = improved
      ? "it is measured now"
      : unclear
      ? "the clock was down, which says nothing of the code"
      : ranOut(candidate)
      ? "time ran out, which depends on the machine"
      : candidate.status === "skipped" && !options.sameAdapter
      ? "another adapter may not be able to run it"
      : candidate.status === "skipped" && options.peer
      ? "the peer was not there"
      : undefined;
    report("status", "status", statuses, reason);
  }
  equal("cost", "S", [baseline.gathered, candidate.gathered]);
  equal("cost", "flops", [baseline.flops, candidate.flops]);
  equal("cost", "bytes", [baseline.bytes, candidate.bytes]);
  // A case that failed or was skipped before a check has neither digests nor errors to compare.
  if (!ran(baseline) || !ran(candidate)) return { fields, differences };

  if (options.sameInputs) {
    const names = new Set([
      ...Object.keys(baseline.digest ?? {}),
      ...Object.keys(candidate.digest ?? {}),
    ]);
    const sameBits = options.sameAdapter && !options.tunedApart;
    const sameScores = options.sameAdapter &&
      (!options.tunedApart || baseline.scorer === "norm");
    for (const name of [...names].sort()) {
      const isScored = name === "selection";
      // Selection from seeded scores is pure integer arithmetic: the same on every adapter.
      if (!isScored && name !== "seededSelection" && !sameBits) continue;
      const values: [unknown, unknown] = [baseline.digest?.[name], candidate.digest?.[name]];
      const elsewhere = options.peer
        ? "a peer's bits are its own"
        : isScored && !sameScores
        ? "scores may round apart on two adapters, and with other tilings"
        : values[1] === undefined && !options.sameAdapter
        ? "the candidate's version writes none"
        : undefined;
      // A digest that the older tool did not write is not a difference.
      if (values[0] === undefined) continue;
      equal("digest", `digest.${name}`, values, elsewhere);
    }
    if (sameBits && options.suite?.exact) {
      const is = options.suite.exact(candidate);
      for (const [name, was] of Object.entries(options.suite.exact(baseline))) {
        if (was !== undefined) equal("digest", name, [was, is[name]]);
      }
    }
    if (sameScores && baseline.zeroRows !== undefined) {
      equal("digest", "zeroRows", [baseline.zeroRows, candidate.zeroRows]);
    }
  }
  compareErrors();
  return { fields, differences };

  function compareErrors(): void {
    const [before, after] = [baseline.check, candidate.check];
    if (!before) return;
    fields++;
    if (!after) return report("error", "check", ["checked", "not checked"]);
    if (before.passed && !after.passed) report("error", "check", ["passed", "failed"]);
    const parts = [{ name: "", was: before, is: after }];
    for (const part of before.parts ?? []) {
      const is = after.parts?.find(({ name }) => name === part.name);
      if (is) parts.push({ name: `${part.name}.`, was: part as never, is: is as never });
      else if (after.parts) report("error", `check.${part.name}`, ["checked", "not checked"]);
    }
    // Each row has its own tolerance; the recorded one is that of the row closest to its tolerance.
    const elsewhere = options.peer ? "another of a peer's rows may be the closest" : undefined;
    for (const { name, was, is } of parts) {
      fields++;
      if (is.maxError !== null && is.tolerance !== null && is.maxError > is.tolerance) {
        report("error", `check.${name}maxError`, [`at most ${is.tolerance}`, is.maxError]);
      }
      const comparable = options.sameAdapter && options.sameInputs;
      if (!comparable || was.tolerance === null || is.tolerance === null) continue;
      if (is.tolerance > was.tolerance * (1 + TOLERANCE_SLACK)) {
        report("error", `check.${name}tolerance`, [was.tolerance, is.tolerance], elsewhere);
      }
    }
  }
}

/** Whether a case was skipped because the budget of the run or of its suite had no room for it. */
export function ranOut({ status, reason = "" }: CaseRecord): boolean {
  return status === "skipped" && /\bof the budget\b|\bthe budget (?:was spent|of)\b/.test(reason);
}

function describeStatus({ status, reason }: CaseRecord): string {
  return reason === undefined ? status : `${status} (${reason.slice(0, 200)})`;
}

function show(value: unknown): string {
  return value === undefined ? "none" : String(value).slice(0, 300);
}
