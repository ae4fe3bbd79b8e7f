import assert from "node:assert/strict";
import { exactRateInterval, twoSidedNormal, twoSidedStudent } from "./quantiles.ts";

function near(actual: number, expected: number) {
  assert.ok(Math.abs(actual / expected - 1) < 1e-7, `${actual} is not ${expected}`);
}

Deno.test("quantiles equal those of SciPy 1.17, far into the tails", () => {
  near(twoSidedNormal(0.01), 2.5758293035489004);
  near(twoSidedNormal(1e-6), 4.89163847571478);
  near(twoSidedStudent(0.01, 1), 63.656741162871526);
  near(twoSidedStudent(0.01, 2), 9.924843200918287);
  near(twoSidedStudent(0.01 / 28, 5), 8.56666518452287);
  near(twoSidedStudent(1e-7, 3), 280.4251460983885);
  near(twoSidedStudent(1e-6, 400), 4.968895670352814);
  near(exactRateInterval(4, 1000, { confidence: 0.98 })[1], 0.011560572658104694);
});

Deno.test("Student's quantile meets the normal one where the freedom is large", () => {
  const [below, above] = [99_999, 100_001].map((freedom) => twoSidedStudent(1e-4, freedom));
  assert.ok(Math.abs(below - above) < 1e-3);
  assert.equal(twoSidedStudent(1e-4, Infinity), twoSidedNormal(1e-4));
});

Deno.test("quantiles refuse an invalid share or freedom", () => {
  for (const level of [0, 1, -1, NaN]) assert.throws(() => twoSidedNormal(level), RangeError);
  assert.throws(() => twoSidedStudent(0.01, 0.5), /freedom is 0.5/);
  assert.throws(() => exactRateInterval(2, 1, { confidence: 0.9 }), /2 of 1/);
});
