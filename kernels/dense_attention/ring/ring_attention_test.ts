import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { createTensor, readTensor, type Tensor } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { fillSeeded } from "../../gpu/random.ts";
import { Timer } from "../../gpu/timing.ts";
import { attendReference } from "../../lighthouse/lighthouse_reference.ts";
import {
  createRingAttention,
  piecePairs,
  planRingAttention,
  type RingPiece,
} from "./ring_attention.ts";

const run = (first: number, end: number) => ({ first, end });

async function attend(
  gpu: Gpu,
  tensors: { q: Tensor; k: Tensor; v: Tensor },
  options: { pieces: RingPiece[]; flopsPerDispatch?: number },
) {
  const { q, k, v } = tensors;
  const { heads, rows, dim, dtype } = q;
  const o = await createTensor(gpu, { heads, rows, dim, dtype: "f32" });
  const lse = await createTensor(gpu, { heads, rows, dim: 1, dtype: "f32" });
  // Fresh rows must ignore any earlier content.
  await fillSeeded(gpu, o, 77);
  await fillSeeded(gpu, lse, 78);
  const { flopsPerDispatch } = options;
  const ring = await createRingAttention(
    gpu,
    planRingAttention(gpu, { heads, rows, headDim: dim, dtype, flopsPerDispatch }),
  );
  const timer = new Timer(gpu);
  const at = (tensor: Tensor) => tensor.blocks[0].data;
  const buffers = { q: at(q), k: at(k), v: at(v), o: at(o), lse: at(lse) };
  const dispatches = options.pieces.flatMap((piece) => ring.bind(buffers, piece));
  await timer.run([{ name: "ring", dispatches }]);
  const result = { output: await readTensor(gpu, o), lse: await readTensor(gpu, lse) };
  [o, lse, ring, timer].forEach((thing) => thing.destroy());
  return { ...result, dispatches: dispatches.length };
}

/** Cuts at uneven rows, in an order in which some keys arrive before a row's own. */
const CUTS = [0, 70, 71, 200, 333];
const PIECES: RingPiece[] = [3, 1, 2, 0].flatMap((a) => {
  const order = a === 3 ? [1, 3, 0, 2] : [...Array(a + 1).keys()].reverse();
  return order.map((b, i) => ({
    queries: run(CUTS[a], CUTS[a + 1]),
    keys: run(CUTS[b], CUTS[b + 1]),
    fresh: i === 0,
  }));
});

for (const [dtype, headDim] of [["f32", 64], ["f16", 32], ["f16", 128]] as const) {
  Deno.test(`ring attention ${dtype} d=${headDim}: pieces in any order merge to causal attention`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const shape = { heads: 2, rows: 333, dim: headDim, dtype };
    const tensors: Tensor[] = [];
    try {
      for (let i = 0; i < 3; i++) {
        tensors.push(await createTensor(gpu, shape));
        await fillSeeded(gpu, tensors[i], 40 + i);
      }
      const [q, k, v] = tensors;
      const data = await Promise.all(tensors.map((tensor) => readTensor(gpu, tensor)));
      const whole = await attend(gpu, { q, k, v }, { pieces: PIECES });
      for (let head = 0; head < 2; head++) {
        const rows = (values: ArrayLike<number>, width: number) =>
          Array.from(values).slice(head * 333 * width, (head + 1) * 333 * width);
        const [hq, hk, hv] = data.map((values) => rows(values, headDim));
        const want = attendReference({ q: hq, k: hk, v: hv }, headDim);
        // f32 arithmetic on both sides of at most four merges; |v| is at most 4.
        const tolerance = 4e-5;
        rows(whole.output, headDim).forEach((x, i) =>
          assert.ok(Math.abs(x - want.output[i]) < tolerance, `${i}: ${x} ${want.output[i]}`)
        );
        rows(whole.lse, 1).forEach((x, i) =>
          assert.ok(Math.abs(x - want.lse[i]) < tolerance, `lse ${i}: ${x} ${want.lse[i]}`)
        );
      }
      const split = await attend(gpu, { q, k, v }, { pieces: PIECES, flopsPerDispatch: 1 });
      assert.ok(split.dispatches > whole.dispatches);
      assert.deepEqual(split.output, whole.output);
      // A missing piece is detected: the check above can fail.
      const lacking = await attend(gpu, { q, k, v }, { pieces: PIECES.slice(0, -3) });
      assert.notDeepEqual(lacking.output, whole.output);
    } finally {
      tensors.forEach((tensor) => tensor.destroy());
      gpu.destroy();
    }
  });
}

Deno.test("piecePairs: all pieces of a split sum to N²/2, and partly overlapping runs are refused", () => {
  assert.equal(PIECES.reduce((sum, piece) => sum + piecePairs(piece), 0), 333 * 333 / 2);
  assert.throws(
    () => piecePairs({ queries: run(4, 8), keys: run(6, 10), fresh: true }),
    /keys 6…9 neither are nor precede queries 4…7/,
  );
});
