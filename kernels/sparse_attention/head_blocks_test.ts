import assert from "node:assert/strict";
import type { Tensor } from "../gpu/tensors.ts";
import { cutHeads, firstHeads, fittingHeads, headsOf } from "./head_blocks.ts";

Deno.test("cutHeads makes as few blocks as have room, about as long, in whole groups", () => {
  assert.deepEqual(cutHeads(8, { most: 8 }), [8]);
  assert.deepEqual(cutHeads(8, { most: 7 }), [4, 4]);
  assert.deepEqual(cutHeads(10, { most: 4 }), [4, 4, 2]);
  assert.deepEqual(cutHeads(12, { most: 11, group: 4 }), [8, 4]);
  assert.deepEqual(firstHeads([{ heads: 4 }, { heads: 4 }, { heads: 2 }]), [0, 4, 8]);
});

Deno.test("fittingHeads takes whole groups, and says why one does not fit", () => {
  const plan = (limit: number) => (heads: number) => {
    if (heads > limit) throw new RangeError(`${heads} heads do not fit`);
  };
  assert.equal(fittingHeads(plan(7), { most: 12, group: 4 }), 4);
  assert.throws(() => fittingHeads(plan(3), { most: 12, group: 4 }), /^RangeError: 4 heads do not/);
});

Deno.test("headsOf binds a part of a block where a device can", () => {
  const buffer = {} as GPUBuffer;
  const tensor = (rows: number): Tensor => ({
    heads: 3,
    rows,
    dim: 64,
    dtype: "f16",
    label: "keys",
    bytes: 3 * rows * 128,
    destroy: () => {},
    blocks: [
      { firstHead: 0, heads: 2, data: { buffer, offset: 0, size: 2 * rows * 128 } },
      { firstHead: 2, heads: 1, data: { buffer, offset: 512, size: rows * 128 } },
    ],
  });
  const part = (rows: number, firstHead: number, heads: number) =>
    headsOf("prepare", tensor(rows), { firstHead, heads });
  assert.deepEqual(part(6, 0, 2), { buffer, offset: 0, size: 1536 });
  assert.deepEqual(part(6, 1, 1), { buffer, offset: 768, size: 768 });
  assert.deepEqual(part(6, 2, 1), { buffer, offset: 512, size: 768 });
  assert.throws(() => part(5, 1, 1), {
    name: "RangeError",
    message:
      "prepare: keys has 2 heads in a block, the layer takes 1 at a time, and head 1 begins at " +
      "no multiple of 256 bytes",
  });
});
