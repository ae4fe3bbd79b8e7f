import assert from "node:assert/strict";
import { binomialBelow, logNormalCdf, normalQuantile, normalTail } from "./normal.ts";

function near(actual: number, expected: number, relative = 1e-13) {
  assert.ok(Math.abs(actual / expected - 1) < relative, `${actual} is not ${expected}`);
}

Deno.test("tails of the normal distribution have a small relative error", () => {
  near(normalTail(1.96), 0.024997895148220428);
  near(normalTail(10), 7.61985302416053e-24);
  near(normalTail(20), 2.7536241186062337e-89);
  near(logNormalCdf(-20), Math.log(2.7536241186062337e-89));
  near(logNormalCdf(10), -7.61985302416053e-24);
  near(normalQuantile(1e-10), -6.361340902404056);
  for (const p of [0, 1, NaN]) assert.throws(() => normalQuantile(p), RangeError);
});

Deno.test("binomialBelow is right far into the tail and at the ends", () => {
  // (1/2)^1000, and 1 - (1/10)^7 by its complement.
  near(binomialBelow(1, { count: 1000, p: 0.5 }), 2 ** -1000, 1e-11);
  near(binomialBelow(7, { count: 7, p: 0.1 }), 1 - 1e-7, 1e-13);
  assert.equal(binomialBelow(0, { count: 7, p: 0.1 }), 0);
  assert.equal(binomialBelow(8, { count: 7, p: 0.1 }), 1);
});
