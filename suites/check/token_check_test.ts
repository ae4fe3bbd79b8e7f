import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { dsa } from "../../kernels/sparse_attention/dsa/dsa.ts";
import { hisa } from "../../kernels/sparse_attention/hisa/hisa.ts";
import { seededInputs } from "../../kernels/sparse_attention/tile_lists/_check_layer.ts";
import { checkOutputs, failureOf } from "./check.ts";
import { type Ranked, whyNotTop } from "./token_check.ts";
import "./_shared_workers.ts";

Deno.test("whyNotTop accepts the best, and others only where rounding may bring them", () => {
  const ranked = new Map<number, Ranked>(
    [5, 3, 9, 3, 8.999].map((score, at) => [at, { score, tolerance: 1e-4 }]),
  );
  const why = (list: number[], options: { width: number; forced?: number[] } = { width: 3 }) =>
    whyNotTop(list, { ranked, ...options });
  assert.equal(why([0, 2, 4]), undefined);
  assert.equal(why([0, 2, 3]), "it lacks 4 and has 3");
  assert.equal(why([2, 0, 4]), "it is not ascending");
  assert.equal(why([0, 2]), "it has 2 entries, not 3");
  assert.equal(why([0, 2, 7]), "7 may not be listed");
  // Of equal scores the smaller is first; a swap of equals is rounding's.
  assert.equal(why([0, 1, 2, 4], { width: 4 }), undefined);
  assert.equal(why([0, 2, 3, 4], { width: 4 }), undefined);
  assert.equal(why([2, 3], { width: 2, forced: [3] }), undefined);
  assert.equal(why([2, 4], { width: 2, forced: [3] }), "3 is not listed");
  assert.equal(why([0, 3], { width: 2, forced: [3] }), "it lacks 2 and has 0");
});

Deno.test("a layer that lists another token fails its check", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 2, context: 193, headDim: 64, dtype: "f32" } as const;
  const problem = { shape, options: { indexHeads: 4, indexDim: 32, topk: 40 } };
  const inputs = await seededInputs(gpu, problem, 70);
  const layer = await dsa.prepare(gpu, problem, { inputs });
  await layer.execute();
  const options = { problem, implementation: dsa, inputs, seed: 70, extent: "whole" } as const;
  const lists = await layer.outputs.readSelection!();
  const failure = async (change: (own: Int32Array) => void) => {
    const wrong = lists.slice();
    change(wrong.subarray(150 * 40, 151 * 40));
    const outputs = { ...layer.outputs, readSelection: () => Promise.resolve(wrong) };
    const { check } = await checkOutputs(gpu, { ...layer, outputs }, options);
    return failureOf(check);
  };
  assert.equal(await failure(() => {}), undefined);
  const missing = Array.from({ length: 151 }, (_, i) => i).find((token) =>
    !lists.subarray(150 * 40, 151 * 40).includes(token)
  )!;
  const found = await failure((own) => {
    own[0] = missing;
    own.sort();
  });
  assert.match(found!, /check of selected tokens failed .*row 150: it lacks \d+ and has \d+/);
  layer.destroy();
  inputs.destroy();
  gpu.destroy();
});

Deno.test("a check describes the tokens that an index selects, and what ranking blocks first loses", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 1, context: 193, headDim: 64, dtype: "f32" } as const;
  const index = { indexHeads: 2, indexDim: 32, topk: 20 };
  const blocks = { indexBlock: 16, indexBlocks: 4 };
  for (
    const [implementation, options] of [[dsa, index], [hisa, { ...index, ...blocks }]] as const
  ) {
    const problem = { shape, options };
    const inputs = await seededInputs(gpu, problem, 71);
    const layer = await implementation.prepare(gpu, problem, { inputs });
    await layer.execute();
    const checked = { problem, implementation, inputs, seed: 71, extent: "whole" } as const;
    const { tokenSelection: found } = await checkOutputs(gpu, layer, checked);
    // Rows 20 to 192 have more than 20 tokens up to themselves.
    assert.equal(found!.queries, 173);
    assert.equal(found!.tokens, 173 * 20);
    assert.ok(found!.near >= 173 * 0.5 && found!.near < found!.tokens);
    const expected = Array.from({ length: 173 }, (_, i) => 400 / (21 + i)).reduce((a, b) => a + b);
    assert.ok(Math.abs(found!.expected - expected) < 1e-6);
    if (implementation === dsa) assert.equal(found!.whole, undefined);
    else {
      const lists = await layer.outputs.readSelection!();
      const other = await dsa.prepare(gpu, { shape, options: index }, {
        inputs,
        index: layer.outputs.index,
      });
      await other.execute();
      const all = await other.outputs.readSelection!();
      const rows = [189, 190, 191, 192];
      const same = rows.reduce((sum, row) => {
        const whole = new Set(all.subarray(row * 20, row * 20 + 20));
        return sum + lists.subarray(row * 20, row * 20 + 20).filter((x) => whole.has(x)).length;
      }, 0);
      assert.deepEqual(found!.whole, { queries: 4, tokens: 80, same });
      assert.ok(same > 0 && same < 80);
      other.destroy();
    }
    layer.destroy();
    inputs.destroy();
  }
  gpu.destroy();
});
