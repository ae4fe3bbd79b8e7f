import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createTensor } from "../../kernels/gpu/buffers.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import { lighthouseImplementation } from "../../kernels/lighthouse/lighthouse_attention.ts";
import { randomScorer } from "../../kernels/lighthouse/scorers/random/random_scorer.ts";
import type { Scorer } from "../../kernels/lighthouse/scorers/scorer.ts";
import { checkOutputs, failureOf } from "../check/check.ts";
import { checkLighthouse } from "./reference_checks.ts";
import "../check/_shared_workers.ts";

/** A layer whose scorer no file names. Its reference reads inputs too, as most would. */
function layerOf({ off = 0, says = true } = {}) {
  const exact = randomScorer.reference!;
  const reference: Scorer["reference"] = async (given) => {
    const { problem: { shape: { headDim } }, rows, read } = given;
    for (const tensor of ["q", "k", "v"] as const) {
      const found = await read(tensor, { first: rows[0], count: 2 });
      assert.equal(found.length, 2 * headDim);
      assert.ok(Array.from(found).some((x) => x !== 0));
    }
    return (await exact(given)).map((one) => ({
      ...one,
      query: { ...one.query, score: one.query.score + off },
    }));
  };
  return lighthouseImplementation({
    scorer: { ...randomScorer, name: "made-up", reference: says ? reference : undefined },
  });
}

const PROBLEM = {
  shape: { heads: 2, context: 512, headDim: 32, dtype: "f32" },
  options: { levels: 2, pooling: 2, k: 128 },
} as const;

Deno.test("every case of a scorer that no other file names is held against its own reference", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { heads, context: rows, headDim: dim, dtype } = PROBLEM.shape;
  const [q, k, v] = await Promise.all([5, 6, 7].map(async (seed) => {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
    await fillSeeded(gpu, tensor, seed);
    return tensor;
  }));
  const prepared = await layerOf().prepare(gpu, PROBLEM, { inputs: { q, k, v } });
  await prepared.execute();
  const failure = async (implementation: ReturnType<typeof layerOf>) => {
    const options = { problem: PROBLEM, implementation, inputs: { q, k, v }, seed: 5 };
    const { check } = await checkOutputs(gpu, prepared, { ...options, extent: "sampled" });
    return failureOf(check);
  };
  assert.equal(await failure(layerOf()), undefined);
  assert.match((await failure(layerOf({ off: 1e-6 })))!, /check of scores failed: .*query score/);
  await assert.rejects(
    failure(layerOf({ says: false })),
    /^TypeError: check scores: the scorer made-up has no reference in float64$/,
  );
  prepared.destroy();
  [q, k, v].forEach((tensor) => tensor.destroy());
  gpu.destroy();
});

Deno.test("verify holds a scorer that no other file names against its own reference", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const statuses = async (off: number) => {
    const entry = { problem: PROBLEM, seed: 3 };
    const checks = await checkLighthouse(gpu, layerOf({ off }), { entry });
    return checks.map(({ name, status }) => `${name.split(" ").at(-1)} ${status}`);
  };
  assert.deepEqual(await statuses(0), ["scores passed", "selection passed", "output passed"]);
  assert.deepEqual(await statuses(1e-6), ["scores failed", "selection passed", "output passed"]);
  gpu.destroy();
});
