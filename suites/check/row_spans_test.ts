import assert from "node:assert/strict";
import { causal, countRows, endOf, placesOf, seenBy, spansWithin, startOf } from "./row_spans.ts";

const spans = [{ first: 2, end: 5 }, { first: 9, end: 12 }];

Deno.test("spansWithin and placesOf count from a chunk's first row", () => {
  assert.deepEqual(spansWithin(spans, { first: 4, count: 6 }), [
    { first: 0, end: 1 },
    { first: 5, end: 6 },
  ]);
  assert.deepEqual([...placesOf(spans, { first: 4, count: 7 })], [0, 5, 6]);
  assert.deepEqual(spansWithin(spans, { first: 5, count: 4 }), []);
});

Deno.test("countRows, startOf and endOf", () => {
  assert.equal(countRows(spans), 6);
  assert.equal(countRows(spans, { first: 4, count: 6 }), 2);
  assert.equal(endOf([spans, causal(3)]), 12);
  assert.equal(endOf([]), 0);
  assert.equal(startOf([spans, [{ first: 1, end: 2 }]]), 1);
});

Deno.test("seenBy inverts which rows see which", () => {
  // Blocks of four, and every row sees the first one.
  const visible = (row: number) => {
    const own = { first: row - row % 4, end: row + 1 };
    return own.first === 0 ? [own] : [{ first: 0, end: 1 }, own];
  };
  const rows = 10;
  for (const [i, readers] of seenBy([...Array(rows).keys()], { visible, rows }).entries()) {
    for (let row = 0; row < rows; row++) {
      const sees = visible(row).some(({ first, end }) => first <= i && i < end);
      assert.equal(countRows(readers, { first: row, count: 1 }) === 1, sees, `${row} sees ${i}`);
    }
  }
  assert.deepEqual(seenBy([3], { visible: causal, rows }), [[{ first: 3, end: rows }]]);
  assert.deepEqual(seenBy([3], { visible: (row) => causal(row), rows }), [[{
    first: 3,
    end: rows,
  }]]);
});
