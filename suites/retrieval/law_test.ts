import assert from "node:assert/strict";
import { pcg, pcgSum4 } from "../../kernels/gpu/random.ts";
import { mcNemar, wilsonInterval } from "../statistics/intervals.ts";
import { accuracyLaw, denseLaw, largestLogitLaw, massLaw, oracleLaw, salienceLaw } from "./law.ts";
import {
  binomialBelow,
  logGamma,
  normalMean,
  normalQuantile,
  normalTail,
} from "../statistics/normal.ts";

/** Unit normals by Box and Muller from a counter. */
function normals(seed: number): () => number {
  let i = 0;
  const uniform = () => (pcg((pcg(seed) + i++) >>> 0) + 0.5) / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const near = (value: number, want: number, tolerance: number) =>
  assert.ok(Math.abs(value - want) <= tolerance, `${value} is not ${want} within ${tolerance}`);

Deno.test("normal distribution: tabled values", () => {
  near(normalTail(0), 0.5, 1e-16);
  near(normalTail(1), 0.15865525393145707, 1e-15);
  near(normalTail(3), 0.0013498980316300957, 1e-16);
  near(normalTail(-2), 0.9772498680518208, 1e-15);
  near(normalTail(8) / 6.220960574271785e-16, 1, 1e-12);
  near(normalQuantile(0.975), 1.959963984540054, 1e-12);
  near(normalMean(3, (x) => x * x), 10, 1e-12);
  near(logGamma(5), Math.log(24), 1e-12);
  near(logGamma(0.5), Math.log(Math.PI) / 2, 1e-11);
});

Deno.test("binomialBelow: coins counted by hand, and a large tail against its normal limit", () => {
  near(binomialBelow(2, { count: 4, p: 0.5 }), 5 / 16, 1e-11);
  near(binomialBelow(1, { count: 10, p: 0.1 }), 0.9 ** 10, 1e-11);
  assert.equal(binomialBelow(0, { count: 3, p: 0.2 }), 0);
  assert.equal(binomialBelow(4, { count: 3, p: 0.2 }), 1);
  near(binomialBelow(5001, { count: 10000, p: 0.5 }), 0.5 + 0.5 * 0.00797884, 1e-6);
});

Deno.test("largestLogitLaw: two rows in closed form, no margin, a huge margin", () => {
  // Two rows: P(x > l) = Φ(μ/√2).
  near(largestLogitLaw({ context: 2, margin: 1.3 }), 1 - normalTail(1.3 / Math.SQRT2), 1e-12);
  near(largestLogitLaw({ context: 65536, margin: 0 }), 1 / 65536, 1e-12);
  near(largestLogitLaw({ context: 2048, margin: 20 }), 1, 1e-12);
});

Deno.test("oracleLaw: one kept row is the largest logit, all rows keep the needle", () => {
  const model = { context: 4096, margin: 3.1 };
  near(oracleLaw({ ...model, selected: 1 }), largestLogitLaw(model), 1e-9);
  assert.equal(oracleLaw({ ...model, selected: 4096 }), 1);
  // Without a margin the needle is one of N equal rows.
  near(oracleLaw({ context: 4096, margin: 0, selected: 512 }), 512 / 4096, 1e-9);
});

Deno.test("laws of dense attention against a simulation of their model", () => {
  const draw = normals(5);
  const [context, headDim, trials] = [512, 32, 1500];
  for (const margin of [2, 3.5]) {
    let [largest, mass, correct] = [0, 0, 0];
    for (let t = 0; t < trials; t++) {
      const x = margin + draw();
      let [others, squares, most] = [0, 0, -Infinity];
      for (let j = 1; j < context; j++) {
        const logit = draw();
        most = Math.max(most, logit);
        others += Math.exp(logit);
        squares += Math.exp(2 * logit);
      }
      if (x > most) largest++;
      mass += Math.exp(x) / (Math.exp(x) + others);
      // Projections on ten orthogonal unit codes, weights not normalised, σ = 1.
      const signal = Math.sqrt(headDim) * Math.exp(x) + Math.sqrt(squares) * draw();
      let best = -Infinity;
      for (let c = 1; c < 10; c++) best = Math.max(best, Math.sqrt(squares) * draw());
      if (signal > best) correct++;
    }
    const law = denseLaw({ context, margin, headDim });
    const band = (rate: number) => 4 * Math.sqrt(rate * (1 - rate) / trials);
    near(largest / trials, law.largest, band(law.largest));
    near(correct / trials, law.accuracy, band(law.accuracy));
    near(mass / trials, law.mass.mean, 4 * law.mass.deviation / Math.sqrt(trials));
    assert.ok(law.accuracy > 0.15 && law.accuracy < 0.999);
  }
});

Deno.test("massLaw: the closed form matches a needle at its margin, chance is a tenth", () => {
  const { atMargin } = massLaw({ context: 2048, margin: 6 });
  near(atMargin, Math.exp(6) / (Math.exp(6) + 2047 * Math.exp(0.5)), 1e-15);
  near(accuracyLaw({ context: 65536, margin: -20, headDim: 64 }), 0.1, 1e-6);
});

Deno.test("salienceLaw: the quantile of the norms of generated keys", () => {
  const [headDim, count] = [64, 6000];
  const norms = Float64Array.from({ length: count }, (_, n) => {
    let sum = 0;
    for (let c = 0; c < headDim; c++) sum += pcgSum4(9, n * headDim + c) ** 2;
    return Math.sqrt(sum / headDim * 0.75);
  }).sort();
  for (const ratio of [1 / 16, 1 / 64]) {
    const quantile = norms[Math.floor(count * (1 - ratio / 2))];
    near(salienceLaw({ ratio, headDim }), quantile, 0.01);
  }
  assert.ok(salienceLaw({ ratio: 1 / 256, headDim }) > salienceLaw({ ratio: 1 / 16, headDim }));
});

Deno.test("wilsonInterval: the textbook case and the ends", () => {
  const { low, high } = wilsonInterval(8, 10);
  near(low, 0.4901625, 1e-6);
  near(high, 0.9433178, 1e-6);
  assert.equal(wilsonInterval(10, 10).high, 1);
  assert.throws(() => wilsonInterval(3, 0), /3 of 0 is not a rate/);
});

Deno.test("mcNemar: counted by hand", () => {
  assert.equal(mcNemar(0, 0), 1);
  near(mcNemar(0, 5), 2 / 32, 1e-11);
  near(mcNemar(1, 5), 2 * 7 / 64, 1e-11);
  assert.equal(mcNemar(4, 4), 1);
});
