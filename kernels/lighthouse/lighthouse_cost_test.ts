import assert from "node:assert/strict";
import { lighthouseForwardCost, STAGES } from "./lighthouse_cost.ts";
import { planGeometry } from "./lighthouse_geometry.ts";

Deno.test("lighthouseForwardCost matches the specification's counts", () => {
  const shape = { heads: 8, context: 524288, headDim: 128, dtype: "f16" } as const;
  const geometry = planGeometry(524288, { levels: 3, pooling: 4, k: 8192 });
  const cost = lighthouseForwardCost(shape, geometry);
  assert.deepEqual(cost.map(({ name }) => name), [...STAGES]);
  const [pool, select, gather, attention, scatter] = cost;
  const row = 8 * 128 * 2;
  const scores = 2 * 8 * 4 * 524288 * (1 + 1 / 4 + 1 / 16);
  assert.equal(pool.bytes, 3 * row * 524288 * (1 + 1 / 4 + 1 / 16) + scores);
  // Coarsest level and 128·p entries per tile at level 1, two scores each; S indices.
  assert.equal(select.bytes, 2 * 8 * 4 * (32768 + 64 * 512) + 8 * 4 * 98304);
  assert.equal(gather.bytes, 6 * 98304 * row);
  assert.equal(attention.bytes, 4 * 98304 * row);
  assert.equal(attention.flops, 2 * 98304 ** 2 * 128 * 8);
  assert.equal(scatter.bytes, (98304 + 524288) * row);
  assert.equal(cost.reduce((sum, stage) => sum + stage.flops, 0), attention.flops);
});

Deno.test("lighthouseForwardCost takes a scorer's own cost as the first stage", () => {
  const shape = { heads: 2, context: 2048, headDim: 32, dtype: "f32" } as const;
  const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  const fused = lighthouseForwardCost(shape, geometry);
  const apart = lighthouseForwardCost(shape, geometry, { scores: { flops: 7, bytes: 11 } });
  assert.deepEqual(apart[0], { name: "score", flops: 7, bytes: 11 });
  assert.equal(apart[1].name, "pool");
  // Norm scores are two words per entry, written while pooling.
  assert.equal(fused[0].bytes - apart[1].bytes, 2 * 2 * 4 * geometry.entries);
  assert.deepEqual(apart.slice(2), fused.slice(1));
});

Deno.test("lighthouseForwardCost of a selection that gathers is that of both stages", () => {
  const shape = { heads: 2, context: 2048, headDim: 32, dtype: "f32" } as const;
  const geometry = planGeometry(2048, { levels: 3, pooling: 4, k: 128 });
  const [pool, select, gather, ...rest] = lighthouseForwardCost(shape, geometry);
  assert.deepEqual(lighthouseForwardCost(shape, geometry, { gathers: true }), [
    pool,
    { name: "select-and-gather", flops: 0, bytes: select.bytes + gather.bytes },
    ...rest,
  ]);
});
