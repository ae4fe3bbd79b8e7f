import assert from "node:assert/strict";
import {
  bootstrapLogRatio,
  createRandom,
  normalQuantile,
  robustDeviation,
  studentQuantile,
} from "./bootstrap.ts";

Deno.test("normalQuantile and studentQuantile agree with tables", () => {
  for (const [p, z] of [[0.975, 1.959964], [0.995, 2.575829], [0.01, -2.326348]]) {
    assert.ok(Math.abs(normalQuantile(p) - z) < 1e-5);
  }
  const table = [[0.99, 1, 63.657], [0.99, 2, 9.925], [0.99, 4, 4.604], [0.99, 10, 3.169], [
    0.95,
    18,
    2.101,
  ]];
  for (const [confidence, freedom, t] of table) {
    const found = studentQuantile(confidence, freedom);
    assert.ok(Math.abs(found / t - 1) < 0.02, `${confidence} ${freedom}: ${found}`);
  }
});

Deno.test("bootstrapLogRatio: seeded, inside its interval, and about as wide as theory says", () => {
  const random = createRandom(3);
  const normal = () => normalQuantile(1e-9 + random() * (1 - 2e-9));
  const side = () => Array.from({ length: 100 }, () => [Math.exp(0.1 * normal())]);
  const [a, b] = [side(), side()];
  const found = bootstrapLogRatio(a, b, { confidence: 0.95 });
  assert.deepEqual(bootstrapLogRatio(a, b, { confidence: 0.95 }), found);
  assert.ok(found.low <= found.estimate && found.estimate <= found.high);
  const theory = 2 * 1.96 * 1.2533 * 0.1 * Math.sqrt(2 / 100);
  const width = found.high - found.low;
  assert.ok(width > 0.6 * theory && width < 1.6 * theory, `${width} against ${theory}`);
});

Deno.test("bootstrapLogRatio refuses sides without positive samples", () => {
  for (const bad of [[], [[0]], [[NaN]], [[Infinity]]]) {
    assert.throws(() => bootstrapLogRatio(bad, [[1]], { confidence: 0.99 }), RangeError);
  }
});

Deno.test("robustDeviation is the standard deviation of normal samples, whatever one outlier is", () => {
  const random = createRandom(5);
  const samples = Array.from({ length: 2001 }, () => normalQuantile(1e-9 + random() * 0.999999));
  assert.ok(Math.abs(robustDeviation(samples) - 1) < 0.06);
  samples[7] = 1e9;
  assert.ok(Math.abs(robustDeviation(samples) - 1) < 0.06);
});
