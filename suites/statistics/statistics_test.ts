import assert from "node:assert/strict";
import fc from "fast-check";
import { pcg } from "../../kernels/gpu/random.ts";
import {
  bootstrapMedian,
  bootstrapRatio,
  outerOutliers,
  relativeSpread,
  summarize,
} from "./statistics.ts";

const samples = fc.array(fc.double({ min: 1e-9, max: 1e3, noNaN: true }), {
  minLength: 1,
  maxLength: 30,
});

Deno.test("summarize: the interval holds the median and lies within the samples", () => {
  fc.assert(
    fc.property(samples, (values) => {
      const s = summarize(values, { seed: 3 });
      assert.ok(s.low <= s.median && s.median <= s.high);
      assert.ok(s.min <= s.low && s.high <= s.max);
      assert.equal(s.count, values.length);
    }),
    { numRuns: 60 },
  );
});

Deno.test("bootstrap: the same seed gives the same interval, order of seeds matters", () => {
  const values = Array.from({ length: 21 }, (_, i) => pcg(i) / 2 ** 32);
  assert.deepEqual(bootstrapMedian(values, { seed: 5 }), bootstrapMedian(values, { seed: 5 }));
  const ends = new Set([1, 2, 3, 4].map((seed) => bootstrapMedian(values, { seed }).low));
  assert.ok(ends.size > 1);
});

Deno.test("bootstrapMedian covers the true median about 95 times in 100", () => {
  // Exponential samples, true median ln 2. 400 trials: the binomial deviation is about 1.1 %.
  let covered = 0;
  for (let trial = 0; trial < 400; trial++) {
    const values = Array.from(
      { length: 25 },
      (_, i) => -Math.log((pcg(trial * 1000 + i) + 1) / (2 ** 32 + 1)),
    );
    const { low, high } = bootstrapMedian(values, { seed: trial, resamples: 400 });
    if (low <= Math.LN2 && Math.LN2 <= high) covered++;
  }
  assert.ok(covered >= 400 * 0.9 && covered <= 400 * 0.99, `covered ${covered} of 400`);
});

Deno.test("bootstrapRatio: drift shared by a round cancels", () => {
  const rounds = Array.from({ length: 12 }, (_, i) => {
    const slow = 1 + i * 0.2;
    return { numerator: [2 * slow, 2 * slow], denominator: [slow, slow] };
  });
  const paired = bootstrapRatio(rounds);
  assert.ok(Math.abs(paired.estimate - 2) < 1e-12);
  assert.ok(paired.high - paired.low < 1e-9);
});

Deno.test("bootstrapRatio: few rounds still show the spread of the samples", () => {
  const ratio = bootstrapRatio([{ numerator: [10, 12], denominator: [1, 1.1] }]);
  assert.ok(ratio.low < ratio.estimate && ratio.estimate < ratio.high);
  assert.ok(ratio.low >= 10 / 1.1 - 1e-12 && ratio.high <= 12 + 1e-12);
});

Deno.test("outerOutliers flags what lies beyond three interquartile ranges", () => {
  assert.deepEqual(outerOutliers([1, 2, 3, 4, 5, 6, 7, 8, 100]), [8]);
  assert.deepEqual(outerOutliers([1, 1, 9]), []);
  assert.equal(relativeSpread([1, 2, 3]), 0.5);
});

Deno.test("summarize refuses no samples and samples that are not finite", () => {
  assert.throws(() => summarize([]), /0 samples given/);
  assert.throws(() => summarize([1, NaN]), /NaN is not a finite number/);
});
