import assert from "node:assert/strict";
import * as format from "./format.ts";

Deno.test("formatSeconds chooses the unit after rounding", () => {
  const texts = [1.32e-3, 245e-6, 1.115924, 9.996e-4, 0.99949, 61, 3e-9, 0].map(
    format.formatSeconds,
  );
  assert.deepEqual(texts, [
    "1.32 ms",
    "245 µs",
    "1.12 s",
    "1.00 ms",
    "999 ms",
    "61.0 s",
    "3.00 ns",
    "0 s",
  ]);
});

Deno.test("formatters show an absent number as a dash", () => {
  for (
    const shown of [
      format.formatSeconds(NaN),
      format.formatRatio(Infinity),
      format.formatPercent(NaN),
      format.formatContext(NaN),
      format.formatCount(Infinity),
      format.formatSignificant(NaN),
    ]
  ) assert.equal(shown, format.ABSENT);
});

Deno.test("formatRatio keeps three digits where the ratio is near the paper's", () => {
  const texts = [21, 17.3, 9.996, 1.319, 0.7149, 0.0123, 1234].map(format.formatRatio);
  assert.deepEqual(texts, ["21.0×", "17.3×", "10.0×", "1.32×", "0.71×", "0.0123×", "1,234×"]);
});

Deno.test("formatContext writes multiples of 1,024 in K", () => {
  const texts = [8192, 98_304, 524_288, 1_048_576, 113_000, 1000].map(format.formatContext);
  assert.deepEqual(texts, ["8K", "96K", "512K", "1M", "113,000", "1,000"]);
});

Deno.test("formatInterval names a shared unit once", () => {
  assert.equal(format.formatInterval([1.3e-3, 1.35e-3], format.formatSeconds), "1.30–1.35 ms");
  assert.equal(format.formatInterval([9e-4, 1.1e-3], format.formatSeconds), "900 µs–1.10 ms");
  assert.equal(format.formatInterval([20.5, 21.5], format.formatRatio), "20.5–21.5×");
  assert.equal(format.formatInterval([2, 2], format.formatRatio), "2.00×");
});

Deno.test("rates and sizes use decimal and binary units", () => {
  assert.equal(format.formatFlopRate(61.7e12), "61.7 TFLOP/s");
  assert.equal(format.formatByteRate(2.84e12), "2.84 TB/s");
  assert.equal(format.formatBytes(2 ** 31), "2.00 GiB");
  assert.equal(format.formatTokenRate(12.01e6), "12.0 Mtok/s");
  assert.equal(format.formatFlops(1.1e12), "1.10 TFLOP");
  assert.equal(format.formatPercent(0.345), "34.5 %");
});

Deno.test("formatPercent distinguishes small values from zero", () => {
  const texts = [0, 2.9e-5, 4.9e-5, 6e-5, -2.9e-5, 0.012].map(format.formatPercent);
  assert.deepEqual(texts, ["0.00 %", "< 0.01 %", "< 0.01 %", "0.01 %", "> −0.01 %", "1.2 %"]);
  assert.equal(format.formatInterval([1e-6, 5e-4], format.formatPercent), "< 0.01–0.05 %");
});

Deno.test("formatInstant leaves other text unchanged", () => {
  assert.equal(format.formatInstant("2026-11-22T01:11:05.123Z"), "2026-11-22 01:11 UTC");
  assert.equal(format.formatInstant("yesterday"), "yesterday");
});
