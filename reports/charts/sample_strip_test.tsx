import assert from "node:assert/strict";
import { render } from "preact-render-to-string";
import { sampleCase } from "../../suites/result/_sample_result.ts";
import { sampleReach, SampleStrip } from "./sample_strip.tsx";

/** A case with the given times, of which the last is flagged. */
function measured(times: readonly number[], flagged: number) {
  const { statistic } = sampleCase(8192);
  const samples = [...times, flagged].map((seconds, i) => ({
    round: i,
    place: 0,
    seconds,
    wallSeconds: seconds,
    ...(i === times.length && { flag: "clock" as const }),
  }));
  return { samples, statistic: { ...statistic!, median: 1, low: 0.99, high: 1.01 } };
}

const places = (html: string, name: string) =>
  [...new RegExp(`class="${name}" d="([^"]*)"`).exec(html)![1].matchAll(/M([\d.]+),([\d.]+)/g)]
    .map(([, x, y]) => [Number(x), Number(y)]);

Deno.test("SampleStrip: a dot for each sample that counts, without overlaps, and a cross for the rest", () => {
  const one = measured([0.98, 1, 1, 1, 1.02], 2);
  const html = render(<SampleStrip {...one} reach={1.04} />);
  const dots = places(html, "dots");
  assert.equal(dots.length, 5);
  assert.equal(new Set(dots.map(String)).size, 5, "equal samples stand above each other");
  assert.deepEqual(dots.filter(([x]) => x === 110).length, 3);
  // A sample beyond the scale is drawn at its end.
  assert.equal(places(html, "crosses")[0][0], 220 - 5 - 3);
  assert.match(html, /aria-label="5 samples within 2\.0\d? % of their median"/);
});

Deno.test("sampleReach: one outlier among many cases does not squeeze the others, a steady case has a scale", () => {
  const usual = Array.from({ length: 20 }, () => measured([0.95, 1, 1.05], 9));
  assert.ok(Math.abs(sampleReach([...usual, measured([1, 40], 9)]) - 1 / 0.95) < 1e-9);
  assert.equal(sampleReach([measured([1, 1], 9)]), 1.01);
  assert.equal(sampleReach([]), 1.01);
});
