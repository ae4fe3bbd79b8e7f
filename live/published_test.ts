import assert from "node:assert/strict";
import { sampleResult } from "../suites/result/_sample_result.ts";
import { publishedDevices } from "./published.ts";

Deno.test("a run in the page is set against GPUs, the newest run of each", () => {
  const run = (name: string, startedAt: string, software = false) => {
    const result = sampleResult({ contexts: [8192] });
    result.startedAt = startedAt;
    result.environment.device = { name };
    result.environment.adapter.software = software;
    return result;
  };
  const found = publishedDevices([
    run("B", "2026-01-02T00:00:00.000Z"),
    run("A", "2026-01-01T00:00:00.000Z"),
    run("A", "2026-01-03T00:00:00.000Z"),
    run("processor", "2026-01-04T00:00:00.000Z", true),
  ]);
  assert.deepEqual(found.map(({ device }) => device), ["A", "B"]);
  assert.ok(found.every(({ points }) => points.length === 1 && points[0].ratio > 0));
});
