import assert from "node:assert/strict";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import { pairedDifference } from "./paired_seeds.ts";

/** Normal-like numbers of standard deviation 1. */
const noise = (seed: number, i: number) => pcgSum4(seed, i) / 1.155;

Deno.test("pairedDifference: the interval holds the truth about as often as it says", () => {
  const trials = 400;
  for (const count of [2, 3, 5]) {
    let held = 0;
    for (let trial = 0; trial < trials; trial++) {
      // Seeds differ by 1, items of a seed by 2, around 0.5.
      const seeds = Array.from({ length: count }, (_, s) => {
        const own = noise(1000 + trial, s);
        return Array.from({ length: 8 }, (_, i) => 0.5 + own + 2 * noise(trial * 16 + s, 100 + i));
      });
      const { low, high } = pairedDifference(seeds, { resamples: 200 });
      if (low <= 0.5 && high >= 0.5) held++;
    }
    // 95 % of 400, within four standard deviations; wider intervals are allowed to hold more often.
    assert.ok(held / trials > 0.9, `${count} seeds: ${held} of ${trials}`);
  }
});

Deno.test("pairedDifference: one seed says nothing of others, equal seeds say all", () => {
  assert.deepEqual(pairedDifference([[1, 2]]), { estimate: 1.5, low: -Infinity, high: Infinity });
  assert.deepEqual(pairedDifference([[2], [2], [2]]), { estimate: 2, low: 2, high: 2 });
  assert.throws(() => pairedDifference([]), { message: /0 seeds/ });
  assert.throws(() => pairedDifference([[1], []]), { message: /without items/ });
});
