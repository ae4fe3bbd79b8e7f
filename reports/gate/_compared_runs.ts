/**
 * Runs that tests of the gate compare.
 *
 * @module
 */
import type { Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { compareResults } from "./compare_results.ts";
import { matchesPattern, parseGateConfig } from "./gate_config.ts";
import type { GateCase, GateReport } from "./gate_report.ts";

/** Contexts of the runs. */
export const CONTEXTS = [8192, 16_384, 32_768];

/** A run of dense attention and one Lighthouse layer, changed. */
export function run(startedAt: string, change: (result: Result) => void = () => {}): Result {
  const result = sampleResult({ contexts: CONTEXTS, samples: 12 });
  result.startedAt = startedAt;
  // Different code, so that the shortcut for identical code does not apply.
  result.hashes.wgsl = startedAt.replace(/\D/g, "").padEnd(64, "0").slice(0, 64);
  change(result);
  return result;
}

/** The run that others are compared with. */
export const BASELINE = run("2026-01-01T00:00:00Z");

/** Compares the baseline with a changed run. */
export function compare(change: (result: Result) => void, config?: string): GateReport {
  return compareResults(BASELINE, run("2026-01-02T00:00:00Z", change), {
    config: config === undefined ? undefined : parseGateConfig(config, "config.json"),
  });
}

/** Makes cases take longer by a factor. */
export function slow(result: Result, factor: number, pattern = "*") {
  for (const record of result.cases) {
    if (!matchesPattern(record.id, pattern)) continue;
    for (const sample of record.samples) sample.seconds *= factor;
  }
}

/** The case whose id contains a text. */
export function caseOf(report: GateReport, part: string): GateCase {
  return report.cases.find(({ id }) => id.includes(part))!;
}

/** Id of one case. */
export const DENSE = "latency/dense/forward/N8192";
