/**
 * Reports which attention of a run does not use matrix units, and why: on a stack that is chosen
 * for them, a slow number must not be mistaken for theirs.
 *
 * @module
 */
import {
  whyNoMatrixBackward,
  whyNotOnMatrixUnits,
} from "../../kernels/dense_attention/matrix/dense_matrix.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { PlannedCase } from "./planned_case.ts";

/**
 * One line for each reason. None on Deno's own stack, which offers no matrix units.
 *
 * @param cases Planned ones; those without a plan do not count.
 */
export function notesOnPortableKernels(
  { capabilities, stack }: Pick<Gpu, "capabilities" | "stack">,
  cases: readonly Pick<PlannedCase, "problem" | "plan">[],
): string[] {
  if (stack !== "dawn") return [];
  const counts = new Map<string, number>();
  for (const { problem: { shape }, plan } of cases) {
    const portable = plan?.stages.find(({ variant }) => variant?.startsWith("portable"));
    if (!portable) continue;
    const why = portable.name === "attention-backward" ? whyNoMatrixBackward : whyNotOnMatrixUnits;
    const reason = why(capabilities, { ...shape, rows: shape.context }) ??
      `the sequences of stage ${portable.name} do not fit matrix units`;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) =>
    `dense attention runs on the portable kernel in ${count} ${
      count === 1 ? "case" : "cases"
    }: ${reason}`
  );
}
