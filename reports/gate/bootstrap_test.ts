import assert from "node:assert/strict";
import { bootstrapError, createNormal, createRandom, robustDeviation } from "./bootstrap.ts";

Deno.test("bootstrapError: seeded, and close to theory", () => {
  const normal = createNormal(createRandom(3));
  const samples = Array.from({ length: 100 }, () => [Math.exp(0.1 * normal())]);
  const found = bootstrapError(samples);
  assert.equal(bootstrapError(samples), found);
  const theory = 1.2533 * 0.1 / Math.sqrt(100);
  assert.ok(found > 0.6 * theory && found < 1.6 * theory, `${found} against ${theory}`);
});

Deno.test("bootstrapError draws whole blocks: samples of one block count as fewer", () => {
  const normal = createNormal(createRandom(4));
  const blocks = Array.from({ length: 20 }, () => {
    const shared = 0.1 * normal();
    return Array.from({ length: 20 }, () => Math.exp(shared + 0.001 * normal()));
  });
  const apart = blocks.flat().map((value) => [value]);
  assert.ok(bootstrapError(blocks) > 2 * bootstrapError(apart));
});

Deno.test("bootstrapError is the deviation of medians of sorted resamples, blocks of any size", () => {
  const blocks = [[3, 1], [2], [7, 5, 4], [6], [9, 8]];
  const random = createRandom(1);
  const logs = Array.from({ length: 400 }, () => {
    const drawn = blocks.flatMap(() => blocks[Math.floor(random() * blocks.length)])
      .sort((a, b) => a - b);
    return Math.log((drawn[(drawn.length - 1) >> 1] + drawn[drawn.length >> 1]) / 2);
  });
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const deviation = Math.sqrt(
    logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / logs.length,
  );
  assert.ok(Math.abs(bootstrapError(blocks) - deviation) < 1e-12);
});

Deno.test("bootstrapError refuses samples that are not positive", () => {
  for (const bad of [[], [[0]], [[NaN]], [[Infinity]]]) {
    assert.throws(() => bootstrapError(bad), RangeError);
  }
});

Deno.test("createNormal: mean 0, deviation 1, tails of a normal distribution", () => {
  const normal = createNormal(createRandom(6));
  const values = Array.from({ length: 100_000 }, normal);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const beyond = values.filter((value) => Math.abs(value) > 2.5758).length / values.length;
  assert.ok(Math.abs(mean) < 0.01 && Math.abs(robustDeviation(values) - 1) < 0.01);
  assert.ok(Math.abs(beyond - 0.01) < 0.0015, String(beyond));
});

Deno.test("robustDeviation is the standard deviation of normal samples, for any single outlier", () => {
  const samples = Array.from({ length: 2001 }, createNormal(createRandom(5)));
  assert.ok(Math.abs(robustDeviation(samples) - 1) < 0.06);
  samples[7] = 1e9;
  assert.ok(Math.abs(robustDeviation(samples) - 1) < 0.06);
});
