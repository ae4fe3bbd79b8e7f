import assert from "node:assert/strict";
import { createNormal, createRandom } from "../gate/bootstrap.ts";
import { findSteps, LEAST_POINTS, MOST_POINTS } from "./steps.ts";

/** Log-normal noise around the levels. */
function series(levels: readonly number[], { noise, seed }: { noise: number; seed: number }) {
  const normal = createNormal(createRandom(seed));
  return levels.map((level) => level * Math.exp(noise * normal()));
}

const flat = (length: number, level = 1) => Array<number>(length).fill(level);

Deno.test("findSteps: in noise alone about one series in a hundred has a step", () => {
  let alarms = 0;
  const count = 600;
  for (let seed = 1; seed <= count; seed++) {
    // Noise far above the least step of interest, so that only the test keeps it quiet.
    alarms += findSteps(series(flat(16), { noise: 0.2, seed })).length > 0 ? 1 : 0;
  }
  // Binomial, 600 at 1 %: more than 14 happens once in a thousand times.
  assert.ok(alarms <= 14, `${alarms} of ${count}`);
});

Deno.test("findSteps: a step of three times the noise is found, in its place", () => {
  let hits = 0;
  let placed = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const levels = [...flat(9), ...flat(7, 1.1)];
    const steps = findSteps(series(levels, { noise: 0.03, seed }));
    if (steps.length === 0) continue;
    hits++;
    if (Math.abs(steps[0].at - 9) <= 1) placed++;
    assert.ok(Math.abs(steps[0].ratio - 1.1) < 0.06, `seed ${seed}: ${steps[0].ratio}`);
  }
  assert.ok(hits >= 51, `${hits} of 60 found`);
  assert.ok(placed >= 0.9 * hits, `${placed} of ${hits} within one point`);
});

Deno.test("findSteps: up and down again are two steps, with the levels between", () => {
  const levels = [...flat(12), ...flat(12, 1.3), ...flat(12)];
  const steps = findSteps(series(levels, { noise: 0.01, seed: 3 }));
  assert.deepEqual(steps.map(({ at }) => at), [12, 24]);
  assert.ok(Math.abs(steps[0].ratio - 1.3) < 0.02 && Math.abs(steps[1].ratio - 1 / 1.3) < 0.02);
  assert.ok(steps.every(({ probability }) => probability <= 0.01));
});

Deno.test("findSteps: a lone outlier, a small step and a short series are none", () => {
  const lone = series(flat(20), { noise: 0.005, seed: 5 });
  lone[9] *= 3;
  assert.deepEqual(findSteps(lone), []);
  const small = series([...flat(20), ...flat(20, 1.01)], { noise: 0.001, seed: 6 });
  assert.deepEqual(findSteps(small), []);
  assert.deepEqual(findSteps([...flat(4), ...flat(LEAST_POINTS - 5, 2)]), []);
  assert.deepEqual(findSteps(flat(30)), []);
  assert.deepEqual(findSteps([]), []);
});

Deno.test("findSteps: of a long series the newest points count, and indices are the series'", () => {
  const levels = [...flat(MOST_POINTS, 5), ...flat(60), ...flat(60, 1.2)];
  const steps = findSteps(series(levels, { noise: 0.01, seed: 7 }));
  assert.deepEqual(steps.map(({ at }) => at), [MOST_POINTS + 60]);
});

Deno.test("findSteps: refuses what is no time", () => {
  assert.throws(() => findSteps([1, 0]), /0 is not a positive number/);
  assert.throws(() => findSteps([NaN]), RangeError);
});
