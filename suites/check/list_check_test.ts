import assert from "node:assert/strict";
import { compareList, rankBlocks } from "./list_check.ts";

const RANKED = { scores: [1, 5, 3, 3, -2], tolerance: 0.01, forced: [5] };

Deno.test("rankBlocks takes forced blocks, then the best; of equal ones the smaller", () => {
  assert.deepEqual(rankBlocks(RANKED, 3), [5, 1, 2]);
  assert.deepEqual(rankBlocks(RANKED, 4), [5, 1, 2, 3]);
  assert.deepEqual(rankBlocks(RANKED, 9), [5, 1, 2, 3, 0, 4]);
  assert.deepEqual(rankBlocks({ ...RANKED, forced: [0, 5] }, 3), [0, 5, 1]);
  assert.deepEqual(rankBlocks({ ...RANKED, scores: [], forced: [0] }, 3), [0]);
});

Deno.test("compareList measures a swap, and refuses lists that no scores explain", () => {
  const error = (list: number[], ranked = RANKED) => compareList(list, ranked).error;
  assert.equal(error([1, 2, 5]), 0);
  assert.equal(error([1, 3, 5]), 0, "equal scores");
  assert.equal(error([0, 1, 5]), 2);
  assert.equal(error([2, 3, 5]), 2);
  assert.equal(error([0, 1, 2, 3, 4, 5, -1]), 0);
  assert.equal(compareList([1, 2, 5], RANKED).tolerance, 0.02);
  for (
    const list of [[1, 5, 2], [1, 1, 5], [1, 5, -1], [1, 2, 3], [-1, 1, 5], [1, 5, 6], [
      1,
      2,
      5,
      -1,
    ]]
  ) {
    assert.equal(error(list), Infinity, list.join());
  }
});
