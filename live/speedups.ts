/**
 * The speed-ups that the page shows large.
 *
 * @module
 */
import {
  isLighthouseSeries,
  type SpeedupPoint,
  type SpeedupSeries,
  speedupSeries,
} from "../reports/data/analysis.ts";
import type { Result } from "../suites/result/result_schema.ts";

/** Forward speed-ups over dense attention of the first Lighthouse implementation; null without one. */
export function forwardSeries(result: Result): SpeedupSeries | null {
  const forward = speedupSeries(result).filter(({ direction }) => direction === "forward");
  return forward.find(isLighthouseSeries) ?? null;
}

/** Their points, by context. */
export function forwardSpeedups(result: Result): readonly SpeedupPoint[] {
  return forwardSeries(result)?.points ?? [];
}
