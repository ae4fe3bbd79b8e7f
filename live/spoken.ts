/**
 * Numbers as the page says them.
 *
 * @module
 */

import { caseTitle } from "../reports/text/case_title.ts";
import type { CaseRecord } from "../suites/result/result_schema.ts";

/** A case's id: suite, implementation, direction, and a shape that begins with its context. */
const CASE_ID = /\b([a-z-]+)\/([\w:.-]+)\/([a-z-]+)\/N(\d+)[\w-]*/;

/**
 * What is in progress, with a readable name instead of the case's id.
 *
 * @example
 * ```ts
 * import { spokenStep } from "./spoken.ts";
 * import assert from "node:assert/strict";
 * const step = "latency/lighthouse-norm/forward/N2048-H1-d64-f32-L3-p4-k128: round 1 of 4";
 * assert.equal(spokenStep(step), "Lighthouse norm, 2K, forward: round 1 of 4");
 * assert.equal(spokenStep("calibrating the device"), "Calibrating the device");
 * ```
 */
export function spokenStep(text: string): string {
  const named = text.replace(CASE_ID, (id, suite, implementation, direction, context) => {
    const shape = { context: Number(context) } as CaseRecord["shape"];
    return caseTitle({ id, suite, implementation, direction, shape });
  });
  return named.charAt(0).toUpperCase() + named.slice(1);
}

/**
 * Seconds in words.
 *
 * @example
 * ```ts
 * import { spokenSeconds } from "./spoken.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual([40, 120, 140].map(spokenSeconds), ["40 s", "2 min", "2 min 20 s"]);
 * ```
 */
export function spokenSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
}
