import assert from "node:assert/strict";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { createTensor, readBuffer } from "../../gpu/buffers.ts";
import { fillSeeded } from "../../gpu/random.ts";
import { windowCount } from "./branch_walks.ts";
import { bindRanking } from "./nsa_ranking.ts";
import { whyNoMatrixRanking } from "./ranking_matrix_codegen.ts";

/** Blocks of 8, 4, 2 and 1 windows, which overlap the next block or not; groups of heads. */
const CASES = [
  { compression: { window: 16, stride: 8 }, block: 64, group: 1 },
  { compression: { window: 32, stride: 8 }, block: 32, group: 4 },
  { compression: { window: 16, stride: 16 }, block: 32, group: 2 },
  { compression: { window: 8, stride: 8 }, block: 8, group: 16 },
];

Deno.test("importances on emulated matrix units are those of the portable kernels", async (t) => {
  const gpu = await emulatingGpu(t);
  if (!gpu) return;
  const emulated = withEmulatedMatrices(gpu);
  for (const { compression, block, group } of CASES) {
    const rows = 300;
    const sizes = {
      heads: 2 * group,
      group,
      rows,
      headDim: 64,
      dtype: "f16",
      compression,
      block,
      count: 4,
      initial: 0,
      local: 1,
    } as const;
    assert.equal(whyNoMatrixRanking(emulated, sizes), undefined);
    const windows = windowCount(rows, compression);
    const blocks = Math.ceil(rows / block);
    const tokens = 384;
    const q = await createTensor(gpu, { heads: 2, rows: rows * group, dim: 64, dtype: "f16" });
    const k = await createTensor(gpu, { heads: 2, rows: windows, dim: 64, dtype: "f16" });
    await fillSeeded(gpu, q, 1);
    await fillSeeded(gpu, k, 2);
    // Close to the log-sum-exp of scores about zero.
    const lse = await upload(gpu, new Float32Array(2 * rows * group).fill(Math.log(windows)));
    const found: Float32Array[] = [];
    for (const kernel of ["portable", "matrix"] as const) {
      const importances = await uploadGarbage(gpu, 2 * blocks * tokens * 4);
      const owned: { destroy: () => void }[] = [q, k];
      const dispatches = await bindRanking(emulated, sizes, {
        kernel,
        columns: 32,
        range: { firstHead: 0, heads: 2 },
        tokens,
        queries: q.blocks[0].data,
        compressedKeys: k.blocks[0].data,
        lse,
        weights: await uploadGarbage(gpu, 2 * windows * tokens * group * 4),
        importances,
        lists: await uploadGarbage(gpu, 2 * rows * 4 * 4),
        own: (thing) => {
          owned.push(thing);
          return thing;
        },
      });
      await submit(emulated, dispatches);
      found.push(new Float32Array((await readBuffer(gpu, importances)).buffer));
      if (kernel === "matrix") owned.forEach((thing) => thing.destroy());
    }
    const [want, got] = found;
    for (let head = 0; head < 2; head++) {
      for (let t = 0; t < rows; t++) {
        // Of earlier blocks; others are not ranked.
        for (let b = 0; b < Math.floor(t / block); b++) {
          const at = (head * blocks + b) * tokens + t;
          const off = Math.abs(got[at] - want[at]);
          assert.ok(
            off <= 2e-6 * want[at],
            `head ${head}, query ${t}, block ${b}: ${got[at]}, not ${want[at]}`,
          );
        }
      }
    }
  }
  gpu.destroy();
});

Deno.test("whyNoMatrixRanking names what matrix units do not rank", async (t) => {
  const gpu = await emulatingGpu(t);
  if (!gpu) return;
  const sizes = {
    rows: 300,
    headDim: 64,
    dtype: "f16",
    group: 1,
    block: 64,
    compression: { window: 16, stride: 8 },
  } as const;
  const why = (more: object) =>
    whyNoMatrixRanking(withEmulatedMatrices(gpu), { ...sizes, ...more });
  assert.equal(why({}), undefined);
  assert.equal(why({ group: 3 }), "groups of 3 query heads do not divide the rows of a matrix");
  assert.equal(why({ block: 96 }), "12 windows of a block do not divide 8");
  assert.equal(why({ dtype: "f32" }), "storage f32 is not f16");
  assert.equal(whyNoMatrixRanking(gpu, sizes), "the device has no subgroup matrices");
  gpu.destroy();
});
