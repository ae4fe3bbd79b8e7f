import assert from "node:assert/strict";
import { DESK } from "../../../gpu/_desk_device.ts";
import { testGpu } from "../../../gpu/_test_gpu.ts";
import { createTensor, readTensor } from "../../../gpu/buffers.ts";
import { fillSeeded, seededRows } from "../../../gpu/random.ts";
import { readWords, submit, upload, uploadGarbage } from "../../../gpu/_test_buffers.ts";
import { seededGates } from "./gla_gates.ts";
import { glaScorer } from "./gla_scorer.ts";
import { glaFlops } from "./gla_scores.ts";
import { glaScoresReference } from "./gla_scores_reference.ts";
import { lighthouseImplementation } from "../../lighthouse_attention.ts";
import { planGeometry } from "../../lighthouse_geometry.ts";
import { maximaReference, selectReference } from "../../lighthouse_reference.ts";
import type { ScorerProblem } from "../scorer.ts";

const shape = { heads: 3, context: 512, headDim: 32, dtype: "f32" } as const;
const lighthouse = { levels: 3, pooling: 2, k: 128, dilation: 2 } as const;
const problem: ScorerProblem = {
  shape,
  options: lighthouse,
  geometry: planGeometry(shape.context, lighthouse),
  headsPerBlock: 2,
};
/** The minimum that WebGPU guarantees. */
const gpuRecord = {
  ...DESK,
  capabilities: { ...DESK.capabilities, maxWorkgroupBytes: 16384, maxBindingBytes: 128 * 2 ** 20 },
};

Deno.test("glaScorer scores every pyramid entry of every block as the reference does", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { heads, context, headDim, dtype } = shape;
  const { entries } = problem.geometry;
  const rowsOf = (seed: number, head: number) =>
    seededRows(seed, { head, heads, first: 0, count: context, dim: headDim, dtype });
  for (const [firstHead, count] of [[0, 2], [2, 1]]) {
    const scorer = await glaScorer({ seed: 21 }).pass!.create(gpu, problem, { heads: count });
    const block = Array.from({ length: count }, (_, n) => firstHead + n);
    const tensor = (seed: number) =>
      upload(gpu, Float32Array.from(block.flatMap((head) => [...rowsOf(seed, head)])));
    const slices = {
      q: await tensor(1),
      k: await tensor(2),
      v: await tensor(3),
      queryScores: await uploadGarbage(gpu, count * entries * 4),
      keyScores: await uploadGarbage(gpu, count * entries * 4),
    };
    assert.throws(
      () => scorer.bind({ ...slices, firstHead: firstHead + 1 }),
      /no block of . heads begins at head ./,
    );
    await submit(gpu, scorer.bind({ ...slices, firstHead }));
    for (const [n, head] of block.entries()) {
      const want = glaScoresReference({
        q: rowsOf(1, head),
        k: rowsOf(2, head),
        v: rowsOf(3, head),
        gates: seededGates(21, { head, heads, context }),
      }, { headDim, dilation: 2 });
      const found = new Map<string, Float32Array>();
      const wanted = new Map<string, Float64Array>();
      for (const name of ["queryScores", "keyScores"] as const) {
        const words = await readWords(gpu, slices[name], count * entries);
        const got = new Float32Array(words.buffer).subarray(n * entries, (n + 1) * entries);
        const scores = maximaReference(want[name], problem.geometry);
        const most = Math.max(...scores);
        // gla_scores_test.ts bounds the rounding; this test detects wrong heads and levels.
        found.set(name, got.slice());
        wanted.set(name, scores);
        got.forEach((score, i) => assert.ok(Math.abs(score - scores[i]) <= 1e-4 * most));
      }
      // Rounding may swap two neighbours of a ranking and, with them, their children, but no more.
      const select = (scores: Map<string, ArrayLike<number>>) =>
        selectReference(scores.get("queryScores")!, scores.get("keyScores")!, problem.geometry);
      const chosen = new Set(select(found));
      const recalled = select(wanted).filter((entry) => chosen.has(entry)).length;
      assert.ok(recalled >= 0.99 * chosen.size, `${recalled} of ${chosen.size} entries recalled`);
    }
    scorer.destroy();
    for (const { buffer } of Object.values(slices)) buffer.destroy();
  }
  gpu.destroy();
});

Deno.test("a layer with glaScorer selects by its scores and times scoring as a stage", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { heads, context: rows, headDim: dim, dtype } = shape;
  const { geometry } = problem;
  const layer = lighthouseImplementation({
    name: "lighthouse-gla",
    title: "Lighthouse attention, gla scorer",
    scorer: glaScorer({ seed: 21 }),
  });
  const seeded = async (seed: number) => {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
    await fillSeeded(gpu, tensor, seed);
    return tensor;
  };
  const inputs = { q: await seeded(1), k: await seeded(2), v: await seeded(3) };
  const prepared = await layer.prepare(gpu, { shape, options: lighthouse }, { inputs });
  assert.equal(prepared.stages[0], "score");
  const score = prepared.plan.stages.find(({ name }) => name === "score")!;
  assert.ok(score.flops >= glaFlops({ heads, context: rows, headDim: dim, chunkRows: 64 }));
  await prepared.execute();
  const selection = await prepared.outputs.readSelection!();
  const tensors = await Promise.all(
    [inputs.q, inputs.k, inputs.v].map((tensor) => readTensor(gpu, tensor)),
  );
  for (let head = 0; head < heads; head++) {
    const [q, k, v] = tensors.map((x) => x.subarray(head * rows * dim, (head + 1) * rows * dim));
    const gates = seededGates(21, { head, heads, context: rows });
    const scores = glaScoresReference({ q, k, v, gates }, { headDim: dim, dilation: 2 });
    const want = selectReference(
      maximaReference(scores.queryScores, geometry),
      maximaReference(scores.keyScores, geometry),
      geometry,
    );
    const { gathered } = geometry;
    const chosen = new Set(selection.subarray(head * gathered, (head + 1) * gathered));
    const recalled = want.filter((entry) => chosen.has(entry)).length;
    assert.ok(recalled >= 0.99 * gathered, `head ${head}: ${recalled} of ${gathered} recalled`);
  }
  prepared.destroy();
  gpu.destroy();
});

Deno.test("glaScorer plans all block sizes, and flops in proportion to heads", () => {
  const plan = (options: Partial<ScorerProblem>) =>
    glaScorer().pass!.plan(gpuRecord, { ...problem, ...options });
  const blocks = plan({});
  assert.equal(blocks.buffers.length, 6);
  assert.equal(blocks.flops, plan({ headsPerBlock: 3 }).flops);
  assert.equal(plan({ headsPerBlock: 3 }).buffers.length, 3);
  assert.ok(blocks.buffers.every(({ bytes }) => bytes > 0));
});

Deno.test("glaScorer refuses gates above zero and of the wrong length in one line", () => {
  const gates = new Float32Array(3 * 512).fill(-0.1);
  const plan = (given: Float32Array) => () =>
    glaScorer({ gates: given }).pass!.plan(gpuRecord, problem);
  assert.ok(plan(gates)().flops > 0);
  const bad = gates.slice();
  bad[5] = 0.5;
  bad[6] = NaN;
  bad[7] = -Infinity;
  assert.throws(plan(bad), {
    name: "RangeError",
    message: "plan gla scorer: 2 of 1536 log gates are NaN or above 0, the largest allowed",
  });
  assert.throws(plan(gates.subarray(1)), /1535 gates given, \[3, 512\] needs 1536$/);
});
