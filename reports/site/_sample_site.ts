/** Synthetic sites for tests: every time comes from a formula, none was measured. */
import type { Result } from "../../suites/result/result_schema.ts";
import { hostileResult } from "../../suites/result/_hostile_result.ts";
import { sampleRetrieval } from "../../suites/result/_sample_retrieval.ts";
import { addRivals } from "../../suites/result/_sample_rivals.ts";
import { type SampleOptions, sampleResult } from "../../suites/result/_sample_result.ts";
import type { NamedResult } from "../data/twins.ts";

/** Runs of one GPU, on which dense attention becomes 20 % slower at the sixth, and of a processor. */
export function sampleRuns(count = 10): NamedResult[] {
  const gpu = Array.from({ length: count }, (_, i): NamedResult => {
    const full = i === count - 1;
    const result = dated(i, {
      contexts: [65_536, 524_288],
      extras: full,
      sweeps: full,
      variants: full,
    });
    for (const record of result.cases) {
      const slow = record.implementation === "dense" && i >= 5 ? 1.2 : 1;
      // A deterministic jitter of half a percent, different for each case and run.
      slowDown(record, slow * (1 + 0.005 * Math.sin(7.3 * i + record.id.length)));
    }
    if (full) result.retrieval = sampleRetrieval();
    return { name: `gpu-${i}.json`, result };
  });
  const software = dated(count, {
    contexts: [2048, 65_536],
    software: true,
    description: "llvmpipe (LLVM 0.0)",
  });
  software.retrieval = sampleRetrieval();
  addRivals(software);
  return [...gpu, { name: "processor.json", result: software }];
}

/** Two runs and a third of another device, with an attack in every string. */
export function hostileRuns(): NamedResult[] {
  return [0, 1, 2].map((i): NamedResult => {
    const result = hostileResult({
      contexts: [8192, 65_536],
      software: i === 2,
      // One complete result is enough.
      ...(i === 1 ? {} : { sweeps: false, variants: false }),
    });
    // With one fingerprint, so that the gate compares the first two.
    result.startedAt = i === 0 ? result.startedAt : `2000-01-0${i + 1}T00:00:00.000Z`;
    return { name: `hostile-${i}.json`, result };
  });
}

function dated(day: number, options: SampleOptions): Result {
  const result = sampleResult(options);
  const date = new Date(Date.UTC(2000, 0, 1 + day)).toISOString();
  Object.assign(result, { startedAt: date, finishedAt: date });
  result.tool.commit = (0x1a2b3c4 + day * 0x0f1e2d3).toString(16).padStart(8, "0").repeat(5);
  result.tool.dirty = false;
  result.hashes.wgsl = day.toString(16).padStart(2, "0").repeat(32);
  return result;
}

function slowDown(record: Result["cases"][number], factor: number): void {
  for (const sample of record.samples) sample.seconds *= factor;
  if (record.statistic === undefined) return;
  const { median, low, high, min, max, mean } = record.statistic;
  Object.assign(
    record.statistic,
    Object.fromEntries(
      Object.entries({ median, low, high, min, max, mean })
        .map(([name, value]) => [name, value * factor]),
    ),
  );
}
