import assert from "node:assert/strict";
import fc from "fast-check";
import { logDomain, logTicks } from "./log_axis.ts";

Deno.test("logTicks: an axis of any width has ticks, at most the requested number", () => {
  fc.assert(fc.property(
    fc.double({ min: 1e-9, max: 1e12, noNaN: true }),
    fc.double({ min: 1.05, max: 1e9, noNaN: true }),
    fc.constantFrom<2 | 10>(2, 10),
    (low, factor, base) => {
      const ticks = logTicks([low, low * factor], base, 9);
      assert.ok(ticks.length >= 1 && ticks.length <= 12, `${ticks}`);
      assert.ok(ticks.every((tick) => tick >= low * (1 - 1e-9) && tick <= low * factor * 1.000001));
      assert.deepEqual(ticks, [...new Set(ticks)].sort((a, b) => a - b));
    },
  ));
});

Deno.test("logTicks: one measured rate has a scale too", () => {
  // There is no 1, 2 or 5 between 2.1 and 4.7 thousand.
  const ticks = logTicks([2100, 4700], 10, 9);
  assert.ok(ticks.length >= 3, `${ticks}`);
  assert.deepEqual(logTicks([1, 1000], 10, 4), [1, 10, 100, 1000]);
  assert.deepEqual(logTicks([8192, 524_288], 2, 10).at(-1), 524_288);
});

Deno.test("logDomain: without usable values it is still a valid axis", () => {
  assert.deepEqual(logDomain([NaN, 0, -1]), [1, 10]);
  assert.deepEqual(logDomain([2, 8], 2), [1, 16]);
});
