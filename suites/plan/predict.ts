/**
 * Predicted duration of an execution.
 *
 * @module
 */
import type { ImplementationPlan } from "../../kernels/implementation.ts";
import type { CalibrationRecord } from "../result/result_schema.ts";

/** Share of the FMA rate that a kernel is assumed to reach before any was measured. */
const ASSUMED_SHARE = 0.15;

/**
 * Predicted seconds of one execution: arithmetic at a share of the measured f32 rate,
 * bytes at half of the measured copy rate, and each stage's pass. `scale` is how long earlier cases
 * of the same implementation took relative to their own prediction.
 */
export function predictSeconds(
  plan: Pick<ImplementationPlan, "stages">,
  options: { calibration: CalibrationRecord | null; scale?: number },
): number {
  const { calibration } = options;
  const flopsPerSecond = ASSUMED_SHARE * (calibration?.fmaF32?.median ?? 1e12);
  const bytesPerSecond = 0.5 * (calibration?.copy?.median ?? 1e11);
  const pass = calibration?.emptyPass?.median ?? 0;
  let seconds = 0;
  for (const stage of plan.stages) {
    seconds += stage.flops / flopsPerSecond + stage.bytes / bytesPerSecond + pass;
  }
  return seconds * (options.scale ?? 1);
}
