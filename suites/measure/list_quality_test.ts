import assert from "node:assert/strict";
import { compareLists, describeLists } from "./list_quality.ts";

const SHAPE = { context: 4, width: 3, block: 1 };
const LISTS = Int32Array.of(0, -1, -1, 0, 1, -1, 0, 1, 2, 1, 2, 3);

Deno.test("describeLists counts blocks before the own one, of each head apart", () => {
  assert.deepEqual(describeLists(LISTS, SHAPE), {
    lists: 4,
    blocks: 4,
    earlier: 5,
    neighbours: 3,
    longest: 2,
    unused: 0,
  });
  const twice = Int32Array.of(...LISTS, ...LISTS);
  const { lists, earlier, longest } = describeLists(twice, SHAPE);
  assert.deepEqual([lists, earlier, longest], [8, 10, 2]);
});

Deno.test("compareLists is 1 for the same lists, and leaves the own blocks out", () => {
  assert.equal(compareLists(LISTS, LISTS, SHAPE), 1);
  const other = LISTS.slice();
  other[9] = 0; // the last query: blocks 0 and 2 in place of 1 and 2
  assert.equal(compareLists(LISTS, other, SHAPE), 4 / 6);
  const own = Int32Array.of(0, 1, 2, 3);
  assert.equal(compareLists(own, own, { ...SHAPE, width: 1 }), 1);
});
