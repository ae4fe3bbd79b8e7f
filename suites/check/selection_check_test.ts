import assert from "node:assert/strict";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import {
  maximaReference,
  selectReference,
  uncoveredReference,
} from "../../kernels/lighthouse/lighthouse_reference.ts";
import { checkTile, tileRows, uncoveredRows } from "./selection_check.ts";

const geometry = planGeometry(8192, { levels: 3, pooling: 4, k: 256 });
const query = Float64Array.from({ length: 8192 }, (_, i) => pcgSum4(1, i) ** 2);
const key = Float64Array.from({ length: 8192 }, (_, i) => pcgSum4(2, i) ** 2);
const selection = selectReference(
  maximaReference(query, geometry),
  maximaReference(key, geometry),
  geometry,
);

function check(
  entries: Int32Array,
  tile: number,
  options: { tolerance?: number; query?: Float64Array } = {},
) {
  const scores = options.query ?? query;
  const { first, rows } = tileRows(geometry, tile);
  const each = geometry.gatheredPerTile;
  return checkTile(entries.subarray(tile * each, (tile + 1) * each), {
    geometry,
    tile,
    tolerance: options.tolerance ?? 1e-9,
    scores: { query: scores.slice(first, first + rows), key: key.slice(first, first + rows) },
  });
}

Deno.test("checkTile agrees with the reference selection, tile by tile", () => {
  for (let tile = 0; tile < geometry.tiles; tile++) {
    assert.deepEqual(check(selection, tile), { passed: true, ties: 0 });
  }
});

Deno.test("checkTile finds two entries in the wrong order", () => {
  const wrong = selection.slice();
  [wrong[100], wrong[101]] = [wrong[101], wrong[100]];
  assert.match(check(wrong, 0).detail!, /out of causal order/);
});

Deno.test("checkTile finds a repeated entry and an invalid index", () => {
  const twice = selection.slice();
  twice[5] = twice[6];
  assert.match(check(twice, 0).detail!, /appears twice/);
  const none = selection.slice();
  none[5] = geometry.entries;
  assert.match(check(none, 0).detail!, /not a pyramid index/);
});

Deno.test("checkTile finds a choice that contradicts the scores, unless it is a tie", () => {
  // Scores for which one tile's 64th and 65th largest differ by one part in a million.
  const other = query.slice();
  const { levels, levelOffsets, tileEntries, pooling } = geometry;
  const coarse = maximaReference(query, geometry).subarray(levelOffsets[levels - 1]);
  const ranked = Array.from({ length: tileEntries }, (_, i) => i)
    .sort((a, b) => coarse[b] - coarse[a]);
  const window = pooling ** (levels - 1);
  const [inside, outside] = [ranked[63], ranked[64]];
  const raised = coarse[inside] * (1 + 1e-6);
  for (let r = outside * window; r < (outside + 1) * window; r++) {
    if (other[r] === coarse[outside]) other[r] = raised;
  }
  const swapped = selectReference(
    maximaReference(other, geometry),
    maximaReference(key, geometry),
    geometry,
  );
  assert.ok(new Set(selection).difference(new Set(swapped)).size > 0);
  // The selection by the earlier scores, judged by the later: correct only if 1e-6 is a tie.
  assert.match(check(selection, 0, { query: other }).detail!, /against thresholds/);
  const tied = check(selection, 0, { query: other, tolerance: 1e-5 });
  assert.ok(tied.passed && tied.ties > 0, tied.detail);
});

Deno.test("checkTile finds parents that are simply wrong", () => {
  const reversed = query.map((score) => 20 - score);
  const wrong = selectReference(
    maximaReference(reversed, geometry),
    maximaReference(key, geometry),
    geometry,
  );
  assert.match(check(wrong, 0).detail!, /level 2: entry \d+ with scores .* against thresholds/);
});

Deno.test("uncoveredRows agrees with the reference", () => {
  assert.deepEqual(uncoveredRows(selection, geometry), uncoveredReference(selection, geometry));
  const deep = planGeometry(4096, { levels: 5, pooling: 2, k: 128 });
  const scores = Float64Array.from({ length: 4096 }, (_, i) => i);
  const late = selectReference(
    maximaReference(scores, deep),
    maximaReference(scores, deep),
    deep,
  );
  assert.deepEqual(uncoveredRows(late, deep), uncoveredReference(late, deep));
  assert.equal(uncoveredRows(late, deep).length, 15);
});
