/**
 * A calibration for tests that do not use its values: a real one takes seconds on a software
 * adapter.
 *
 * @module
 */
import type { Calibration } from "./calibrate.ts";

/** No ceilings, and a clock that is always at its reference. */
export const CALIBRATION: Calibration = {
  record: { clock: "gpu" },
  canary: { referenceSeconds: 1e-3, probe: () => Promise.resolve(1), destroy: () => {} },
  secondsOf: ({ gpuSeconds, wallSeconds }) => gpuSeconds ?? wallSeconds,
};
