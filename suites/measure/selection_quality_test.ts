import assert from "node:assert/strict";
import fc from "fast-check";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import {
  scatterReference,
  selectReference,
  uncoveredReference,
} from "../../kernels/lighthouse/lighthouse_reference.ts";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import { compareSelections, describeSelection } from "./selection_quality.ts";

const SETTINGS = [
  { context: 2048, levels: 3, pooling: 4, k: 128 },
  { context: 2048, levels: 2, pooling: 8, k: 256 },
  { context: 4096, levels: 4, pooling: 2, k: 256 },
];

/** A selection by the reference cascade from seeded scores. */
function select(seed: number, setting: typeof SETTINGS[number], heads = 1) {
  const geometry = planGeometry(setting.context, setting);
  const scores = (at: number) =>
    Float64Array.from({ length: geometry.entries }, (_, i) => pcgSum4(seed + at, i));
  const parts = Array.from(
    { length: heads },
    (_, h) => [...selectReference(scores(2 * h), scores(2 * h + 1), geometry)],
  );
  return { geometry, selection: Int32Array.from(parts.flat()) };
}

Deno.test("describeSelection counts contributors as the reference scatters ones", () => {
  for (const setting of SETTINGS) {
    const { geometry, selection } = select(7, setting);
    const quality = describeSelection(selection, geometry);
    const counts = scatterReference(
      new Float64Array(selection.length).fill(1),
      selection,
      geometry,
    );
    const histogram = new Array(geometry.levels + 1).fill(0);
    for (const count of counts) histogram[count]++;
    assert.deepEqual(quality.fanIn, histogram);
    assert.equal(quality.uncoveredRows, uncoveredReference(selection, geometry).length);
    assert.equal(quality.rows, geometry.context);
  }
});

Deno.test("describeSelection: the geometry determines each level's share, over all heads", () => {
  const { geometry, selection } = select(3, SETTINGS[0], 2);
  const { levelShares, rows, fanIn } = describeSelection(selection, geometry);
  const fine = geometry.pooling * geometry.k / geometry.gathered;
  const coarsest = geometry.levelEntries[2] / geometry.gathered;
  assert.deepEqual(levelShares, [fine, fine, coarsest]);
  assert.equal(rows, 2 * geometry.context);
  assert.equal(fanIn.reduce((sum, count) => sum + count), rows);
});

Deno.test("compareSelections: 1 with itself, symmetric, and by hand where one entry differs", () => {
  const { geometry, selection } = select(3, SETTINGS[0]);
  const same = compareSelections(selection, selection, geometry);
  assert.deepEqual(same, { jaccard: 1, levels: [1, 1, 1] });
  const other = select(900, SETTINGS[0]).selection;
  const there = compareSelections(selection, other, geometry);
  assert.deepEqual(there, compareSelections(other, selection, geometry));
  assert.ok(there.jaccard > 0 && there.jaccard < 1);
  assert.equal(there.levels[2], 1, "the coarsest level is always whole");
  const changed = selection.slice();
  const finest = changed.findIndex((entry) => entry < geometry.context);
  const free = [...Array(geometry.context).keys()].find((row) => !selection.includes(row))!;
  changed[finest] = free;
  const [level0, level1] = [512, 512]; // p·k entries each
  const moved = compareSelections(selection, changed, geometry);
  assert.equal(moved.levels[0], (level0 - 1) / (level0 + 1));
  assert.equal(moved.jaccard, (level0 - 1 + level1) / (level0 + 1 + level1));
});

Deno.test("compareSelections agrees with sets of entries, for any seeds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 1e6 }), (a, b) => {
      const first = select(a, SETTINGS[0]);
      const second = select(b, SETTINGS[0]).selection;
      const { geometry } = first;
      const below = geometry.levelOffsets[geometry.levels - 1];
      const fine = (list: Int32Array) => new Set([...list].filter((entry) => entry < below));
      const [x, y] = [fine(first.selection), fine(second)];
      const { jaccard } = compareSelections(first.selection, second, geometry);
      assert.equal(jaccard, x.intersection(y).size / x.union(y).size);
    }),
    { numRuns: 10 },
  );
});

Deno.test("invalid selections are refused with the numbers", () => {
  const { geometry, selection } = select(3, SETTINGS[0]);
  assert.throws(() => describeSelection(selection.subarray(1), geometry), /1151 entries.*1152/);
  const wrong = selection.slice();
  wrong[5] = geometry.entries;
  assert.throws(() => describeSelection(wrong, geometry), /2688 is not one of 2688/);
  assert.throws(
    () => compareSelections(selection, selection.subarray(0, 0), geometry),
    /0 entries beside 1152/,
  );
});
