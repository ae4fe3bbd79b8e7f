import assert from "node:assert/strict";
import { seededRows } from "../gpu/random.ts";
import { geometryOf, golden, readFloats, readIndices, selectionScores, sha256 } from "./_golden.ts";
import { planGeometry } from "./lighthouse_geometry.ts";
import {
  lighthouseReference,
  maximaReference,
  poolReference,
  scatterReference,
  selectReference,
  uncoveredReference,
} from "./lighthouse_reference.ts";

const small = planGeometry(256, { levels: 2, pooling: 2, k: 128 });

Deno.test("poolReference averages windows", () => {
  const rows = Float64Array.from({ length: 256 }, (_, i) => i);
  const pooled = poolReference(rows, small, 1);
  assert.equal(pooled.length, 128);
  assert.deepEqual([...pooled.subarray(0, 3)], [0.5, 2.5, 4.5]);
});

Deno.test("selectReference emits everything if every coarsest entry is a parent", () => {
  // 128 coarsest entries, 128 parents: children 2i and 2i+1, then their parent.
  const scores = maximaReference(Float64Array.from({ length: 256 }, (_, i) => i % 7), small);
  const want = Array.from({ length: 128 }, (_, i) => [2 * i, 2 * i + 1, 256 + i]).flat();
  assert.deepEqual([...selectReference(scores, scores, small)], want);
});

Deno.test("selectReference breaks ties by index and ranks NaN last", () => {
  const geometry = planGeometry(512, { levels: 2, pooling: 2, k: 128 });
  const equal = new Float64Array(geometry.entries).fill(1);
  const selection = selectReference(equal, equal, geometry);
  // The first 128 of 256 coarsest entries are parents; the others have no selected children.
  const want = Array.from({ length: 256 }, (_, i) => {
    return i < 128 ? [2 * i, 2 * i + 1, 512 + i] : [512 + i];
  }).flat();
  assert.deepEqual([...selection], want);
  equal.fill(NaN, 512, 640);
  const last = selectReference(equal, equal, geometry);
  assert.ok(!last.includes(0) && last.includes(256));
});

Deno.test("scatterReference shifts each window by its length minus one and clips", () => {
  const selection = Int32Array.of(0, 256, 383);
  const output = scatterReference(Float64Array.of(1, 10, 100), selection, small);
  // Level 0 entry 0 → row 0. Level 1 entry 0 → rows 1 and 2. Level 1 entry 127 → row 255 alone.
  assert.deepEqual([...output.subarray(0, 4)], [1, 10, 10, 0]);
  assert.equal(output[255], 100);
  assert.equal(output.reduce((sum, value) => sum + value), 121);
});

for (const entry of golden.selection) {
  Deno.test(`selectReference matches golden ${entry.case}`, () => {
    const geometry = geometryOf(entry);
    const query = selectionScores(entry.seed, entry.H * geometry.entries);
    const key = selectionScores(entry.seed + 1, entry.H * geometry.entries);
    assert.equal(geometry.gathered, entry.S);
    const all = new Int32Array(entry.H * entry.S);
    for (let head = 0; head < entry.H; head++) {
      const range = [head * geometry.entries, (head + 1) * geometry.entries] as const;
      const part = selectReference(query.subarray(...range), key.subarray(...range), geometry);
      all.set(part, head * entry.S);
    }
    if (entry.indices) assert.deepEqual(all, readIndices(entry.indices));
    assert.equal(sha256(all), entry.sha256);
  });
}

for (const entry of golden.forward.filter(({ scorer }) => scorer === "norm")) {
  Deno.test(`lighthouseReference matches golden ${entry.case}`, () => {
    const geometry = geometryOf(entry);
    const want = readFloats(entry.files.out.file);
    const all = new Int32Array(entry.H * entry.S);
    let zeros = 0;
    let error = 0;
    for (let head = 0; head < entry.H; head++) {
      const rows = (seed: number) =>
        seededRows(seed, {
          head,
          heads: entry.H,
          first: 0,
          count: entry.N,
          dim: entry.D,
          dtype: "f32",
        });
      const { selection, output } = lighthouseReference(
        { q: rows(entry.seed), k: rows(entry.seed + 1), v: rows(entry.seed + 2) },
        geometry,
        { headDim: entry.D },
      );
      all.set(selection, head * entry.S);
      zeros = Math.max(zeros, uncoveredReference(selection, geometry).length);
      output.forEach((value, i) => {
        error = Math.max(error, Math.abs(value - want[head * output.length + i]));
      });
    }
    assert.equal(sha256(all), entry.idx_sha256);
    assert.deepEqual(all, readIndices(entry.files.idx.file));
    assert.equal(zeros, entry.zero_rows);
    // The golden layer rounds pooled rows and Õ to f32 (relative 2^-24). A logit moves by at most 2
    // · 16 · 2^-24 · |q||k|/√d with |q||k| ≤ 2d and 16 additions per mean, a softmax average by
    // twice that times max|v| = 4; sums over 3 levels.
    const logit = 2 * 16 * 2 ** -24 * 2 * Math.sqrt(entry.D);
    const bound = 3 * 4 * (2 * logit + 4 * 2 ** -24);
    assert.ok(error <= bound, `max error ${error} exceeds ${bound}`);
    assert.ok(want.some((value) => Math.abs(value) > 1));
  });
}
