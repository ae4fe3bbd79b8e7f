import assert from "node:assert/strict";
import { testGpu } from "../gpu/_test_gpu.ts";
import { createTensor, readTensor, type Tensor } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { fillSeeded } from "../gpu/random.ts";
import type { Problem } from "../implementation.ts";
import {
  createContextParallel,
  planContextParallel,
  type ShardOptions,
  wholeSelection,
} from "./context_parallel.ts";
import { dilatedScorer } from "./scorers/dilated/dilated_scorer.ts";
import { planGeometry } from "./lighthouse_geometry.ts";
import {
  attendReference,
  gatherReference,
  normScoresReference,
  poolReference,
  selectReference,
} from "./lighthouse_reference.ts";
import { normScorer } from "./scorers/norm/norm_scorer.ts";
import type { Scorer } from "./scorers/scorer.ts";

const OPTIONS = { levels: 2, pooling: 2, k: 512 };

Deno.test("planContextParallel: every causal pair is in one share, and each part starts fresh once", () => {
  for (const partition of ["contiguous", "head-tail"] as const) {
    for (const shards of [1, 2, 4]) {
      const plan = planContextParallel(4096, { ...OPTIONS, k: 1024 }, { shards, partition });
      const { gathered } = plan.geometry;
      const pieces = plan.steps.flat().flatMap(({ pieces }) => pieces);
      const pairs = plan.steps.flat().reduce((sum, share) => sum + share.pairs, 0);
      assert.equal(pairs, gathered * gathered / 2);
      assert.equal(pieces.filter(({ fresh }) => fresh).length, plan.parts);
      const keys = pieces.map(({ queries, keys }) => `${queries.first} ${keys.first}`);
      assert.equal(new Set(keys).size, plan.parts * (plan.parts + 1) / 2);
      assert.equal(pieces.length, keys.length);
    }
  }
});

Deno.test("planContextParallel: the head-tail partition balances the work, contiguous parts do not", () => {
  const work = (partition: ShardOptions["partition"]) => {
    const plan = planContextParallel(4096, { ...OPTIONS, k: 1024 }, { shards: 4, partition });
    return plan.steps.map((shares) => shares.map(({ pairs }) => pairs / plan.part.gathered ** 2));
  };
  assert.ok(work("head-tail").every((shares) => new Set(shares).size === 1));
  assert.deepEqual(work("contiguous"), [
    [0.5, 0.5, 0.5, 0.5],
    [0, 1, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 0, 1],
  ]);
});

Deno.test("planContextParallel refuses parts that cannot select, with the numbers", () => {
  const plan = (options: Partial<typeof OPTIONS>, sharding: ShardOptions) => () =>
    planContextParallel(4096, { ...OPTIONS, ...options }, sharding);
  assert.throws(plan({}, { shards: 3, partition: "contiguous" }), /4096 does not divide into 3/);
  assert.throws(
    plan({ k: 256 }, { shards: 2, partition: "head-tail" }),
    /k 256 is not a multiple of 128 for each of 4 parts/,
  );
  assert.throws(plan({}, { shards: 0, partition: "contiguous" }), /shards 0/);
});

async function withInputs(
  gpu: Gpu,
  shape: Problem["shape"],
  use: (inputs: { q: Tensor; k: Tensor; v: Tensor }) => Promise<void>,
) {
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const tensors: Tensor[] = [];
  try {
    for (let i = 0; i < 3; i++) {
      tensors.push(await createTensor(gpu, { heads, rows, dim, dtype }));
      await fillSeeded(gpu, tensors[i], 60 + i);
    }
    const [q, k, v] = tensors;
    await use({ q, k, v });
  } finally {
    tensors.forEach((tensor) => tensor.destroy());
  }
}

const SHAPE = { heads: 2, context: 1024, headDim: 32, dtype: "f32" } as const;

for (const partition of ["contiguous", "head-tail"] as const) {
  Deno.test(`context parallel, ${partition}: the ring is the unsharded attention on the rows it gathered`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const problem: Problem = { shape: SHAPE, options: { ...OPTIONS } };
    const sharding = { shards: 2, partition };
    await withInputs(gpu, SHAPE, async (inputs) => {
      const sharded = await createContextParallel(gpu, problem, {
        inputs,
        scorer: normScorer,
        sharding,
      });
      await sharded.select();
      await sharded.attend({ stages: true });
      await sharded.attendWhole();
      const selection = wholeSelection(sharded.plan, await sharded.readSelection());
      const [output, lse, whole] = [
        await readTensor(gpu, sharded.output),
        await readTensor(gpu, sharded.lse),
        await readTensor(gpu, sharded.wholeOutput),
      ];
      const base = await Promise.all([inputs.q, inputs.k, inputs.v].map((x) => readTensor(gpu, x)));
      const geometry = planGeometry(SHAPE.context, OPTIONS);
      const { context, headDim } = SHAPE;
      const rows = geometry.gathered;
      for (let head = 0; head < SHAPE.heads; head++) {
        const [q, k, v] = base.map((all) =>
          Float64Array.from(all.subarray(head * context * headDim, (head + 1) * context * headDim))
        );
        // Tiles are independent, so norm scores select the same in parts and unsplit.
        const want = selectReference(
          normScoresReference(q, geometry, headDim),
          normScoresReference(k, geometry, headDim),
          geometry,
        );
        const own = selection.subarray(head * rows, (head + 1) * rows);
        assert.deepEqual(own, want);
        const gather = (x: Float64Array) =>
          gatherReference(own, {
            rows: x,
            pooled: poolReference(x, geometry, headDim),
            context,
            headDim,
          });
        const reference = attendReference({ q: gather(q), k: gather(k), v: gather(v) }, headDim);
        for (let i = 0; i < rows * headDim; i++) {
          const at = head * rows * headDim + i;
          assert.ok(Math.abs(output[at] - reference.output[i]) < 4e-5, `output ${i}`);
          assert.ok(Math.abs(output[at] - whole[at]) < 4e-5, `whole ${i}`);
        }
        for (let i = 0; i < rows; i++) {
          assert.ok(Math.abs(lse[head * rows + i] - reference.lse[i]) < 4e-5, `lse ${i}`);
        }
      }
      sharded.destroy();
    });
    gpu.destroy();
  });
}

Deno.test("context parallel: scores that depend on other parts change the selection, norm scores do not", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { ...SHAPE, context: 2048 };
  await withInputs(gpu, shape, async (inputs) => {
    const select = async (scorer: Scorer, shards: number) => {
      const sharded = await createContextParallel(gpu, { shape, options: OPTIONS }, {
        inputs,
        scorer,
        sharding: { shards, partition: "contiguous" },
      });
      await sharded.select();
      const selection = [...wholeSelection(sharded.plan, await sharded.readSelection())];
      sharded.destroy();
      return selection;
    };
    assert.deepEqual(await select(normScorer, 4), await select(normScorer, 1));
    assert.notDeepEqual(await select(dilatedScorer, 4), await select(dilatedScorer, 1));
  });
  gpu.destroy();
});
