import assert from "node:assert/strict";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { speedupSeries } from "./analysis.ts";
import { peerRows } from "./peer_data.ts";

Deno.test("peerRows: a Lighthouse peer is compared with ours of the same scorer and geometry", () => {
  const result = sampleResult({ contexts: [8192], sweeps: true });
  const own = result.cases.find(({ id, options }) =>
    id.startsWith("latency/lighthouse-norm/forward/N98304") && options?.k === 2048
  )!;
  const theirs: CaseRecord = {
    ...own,
    implementation: "peer:theirs",
    id: own.id.replace("lighthouse-norm", "peer:theirs"),
  };
  const before = speedupSeries(result);
  result.cases.push(theirs);
  const ratio = { ...result.ratios[0], rounds: 4, ratio: 0.5, low: 0.4, high: 0.8 };
  result.ratios.push(
    { ...ratio, numerator: own.id, denominator: theirs.id },
    {
      ...ratio,
      numerator: result.ratios.find((r) => r.denominator === own.id)!.numerator,
      denominator: theirs.id,
    },
  );
  const [row, ...more] = peerRows(result);
  assert.equal(more.length, 0);
  assert.equal(row.ours!.id, own.id);
  assert.deepEqual(row.ratio, {
    ratio: 2,
    interval: [1.25, 2.5],
    spread: { low: 1.25, high: 2.5, count: 6, kind: "interval" },
    rounds: 4,
  });
  // Their layer over our dense attention is not a speed-up of this run.
  assert.deepEqual(speedupSeries(result), before);
});

Deno.test("peerRows: a case without a time has no ratio, and stays in the list", () => {
  const result = sampleResult({ contexts: [8192, 16_384], extras: true });
  const peers = result.cases.filter(({ id }) => id.startsWith("latency/peer:"));
  peers[0].status = "skipped";
  const rows = peerRows(result);
  assert.deepEqual(rows.map(({ ratio }) => ratio?.interval), [undefined, null]);
  assert.ok(Math.abs(rows[1].ratio!.ratio - 1.6) < 0.01);
});
