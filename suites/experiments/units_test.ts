import assert from "node:assert/strict";
import { tinyExperiment } from "./_tiny_experiment.ts";
import { chooseUnits, describeChoice, unitsOfShard } from "./units.ts";

const tiny = tinyExperiment();
const names = (units: ReturnType<typeof chooseUnits>) =>
  units.map(({ arm, seed }) => `${arm.name} ${seed}`);

Deno.test("units come seed by seed, primary arms unless others are named", () => {
  const all = chooseUnits(tiny, {});
  assert.deepEqual(names(all), ["dense 1", "norm 1", "dense 2", "norm 2", "dense 5", "norm 5"]);
  assert.equal(all[1].id, "experiments/tiny/norm/seed-1");
  assert.deepEqual(names(chooseUnits(tiny, { arms: ["other"], seeds: [5] })), ["other 5"]);
});

Deno.test("what is left out is a deviation, what is added is none", () => {
  assert.deepEqual(describeChoice(tiny, {}), []);
  assert.deepEqual(describeChoice(tiny, { arms: ["dense", "norm", "other"] }), []);
  assert.deepEqual(describeChoice(tiny, { arms: ["dense"], seeds: [1, 5] }), [
    "without the arms norm",
    "without the seeds 2",
  ]);
});

Deno.test("an unknown arm or seed is refused in one line", () => {
  assert.throws(() => chooseUnits(tiny, { arms: ["gla"] }), {
    message: "arm gla is not one of dense, norm, other",
  });
  for (const choice of [{ seeds: [] }, { arms: [] }]) {
    assert.throws(() => chooseUnits(tiny, choice), { message: /^(arms|seeds): none is chosen/ });
  }
  assert.throws(() => chooseUnits(tiny, { seeds: [3] }), {
    message: "seed 3 is not one of 1, 2, 5",
  });
});

Deno.test("shards hold every unit once, whole seeds where there are enough", () => {
  const all = chooseUnits(tiny, {});
  for (const count of [1, 2, 3, 4, 6, 8]) {
    const shards = Array.from(
      { length: count },
      (_, i) => unitsOfShard(all, { index: i + 1, count }),
    );
    assert.deepEqual(names(shards.flat()).sort(), names(all).sort());
    if (count > 3) continue;
    const seeds = shards.flatMap((units) => [...new Set(units.map(({ seed }) => seed))]);
    assert.equal(seeds.length, 3);
  }
});
