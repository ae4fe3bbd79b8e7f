/**
 * A calibration for tests that measure nothing by it: a real one takes seconds on a software adapter.
 *
 * @module
 */
import type { Calibration } from "./calibrate.ts";

/** No ceilings, and a clock that is always right. */
export const CALIBRATION: Calibration = {
  record: { clock: "gpu" },
  canary: { referenceSeconds: 1e-3, probe: () => Promise.resolve(1), destroy: () => {} },
  secondsOf: ({ gpuSeconds, wallSeconds }) => gpuSeconds ?? wallSeconds,
};
