import assert from "node:assert/strict";
import { chooseCases } from "../../../tools/_cases.ts";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { AttentionShape } from "../../implementation.ts";
import { dsa } from "../dsa/dsa.ts";
import { checkLayer, seededInputs } from "../tile_lists/_check_layer.ts";
import { hisa } from "./hisa.ts";

const SHAPE: AttentionShape = { heads: 2, context: 193, headDim: 64, dtype: "f32" };
const OPTIONS = { indexHeads: 4, indexDim: 32, indexBlock: 16, indexBlocks: 4, topk: 40 };

Deno.test("hisa's index is cheaper than dsa's by the blocks that it leaves out", () => {
  const shape = { heads: 8, kvHeads: 1, context: 131072, headDim: 128, dtype: "f16" } as const;
  const index = { indexHeads: 4, indexDim: 128, topk: 2048 };
  const flat = dsa.plan(DESK, { shape, options: index });
  const options = { ...index, indexBlock: 128, indexBlocks: 64 };
  const { stages } = hisa.plan(DESK, { shape, options });
  assert.deepEqual(stages.map(({ name }) => name), ["blocks", "index", "select", "attention"]);
  const own = stages[0].flops + stages[1].flops;
  assert.ok(flat.stages[0].flops / own > 7 && flat.stages[0].flops / own < 8);
});

Deno.test("hisa refuses blocks that hold fewer tokens than it selects", () => {
  const options = { ...OPTIONS, indexBlocks: 2 };
  assert.throws(() => hisa.plan(DESK, { shape: SHAPE, options }), {
    name: "RangeError",
    message: "plan hisa: 2 blocks of 16 tokens hold fewer than topk 40",
  });
  assert.throws(() => hisa.plan(DESK, { shape: SHAPE, options: { ...OPTIONS, indexBlocks: 1 } }), {
    message: "plan hisa: indexBlocks 1 is not a whole number from 2",
  });
});

const { cases: LAYERS, note } = chooseCases(
  [
    { shape: SHAPE },
    { shape: { ...SHAPE, heads: 4, kvHeads: 1, dtype: "f16" } },
    // A block that does not divide the context, and lists as long as what is kept.
    { shape: SHAPE, options: { ...OPTIONS, indexBlock: 13, topk: 52 } },
    { shape: { ...SHAPE, context: 7 } },
  ] as const,
  (_, i) => i === 1 || i === 2,
);

Deno.test({
  name: `hisa matches float64 in both passes, twice the same${note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const { shape, ...rest } of LAYERS) {
      const options = "options" in rest ? rest.options : OPTIONS;
      await checkLayer(gpu, hisa, { problem: { shape, options } });
    }
    gpu.destroy();
  },
});

Deno.test("hisa keeps its own block, the first and the best, and with all blocks selects as dsa", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const inputs = await seededInputs(gpu, { shape: SHAPE }, 5);
  const read = async (implementation: typeof hisa, options: Record<string, number>) => {
    const layer = await implementation.prepare(gpu, { shape: SHAPE, options }, { inputs });
    await layer.execute();
    const tokens = await layer.outputs.readSelection!();
    const blocks = await layer.outputs.readBlocks?.();
    layer.destroy();
    return { tokens, blocks };
  };
  const { blocks } = await read(hisa, OPTIONS);
  for (const row of [0, 15, 16, 63, 64, 192]) {
    const kept = [...blocks!.subarray(row * 4, row * 4 + 4)].filter((block) => block >= 0);
    const own = Math.floor(row / 16);
    assert.equal(kept.length, Math.min(4, own + 1));
    assert.deepEqual([kept[0], kept.at(-1)], [0, own]);
  }
  const { indexHeads, indexDim, topk } = OPTIONS;
  const flat = await read(dsa, { indexHeads, indexDim, topk });
  const all = await read(hisa, { ...OPTIONS, indexBlocks: 13 });
  assert.deepEqual(all.tokens, flat.tokens);
  inputs.destroy();
  gpu.destroy();
});

Deno.test("hisa on emulated matrix units gives the lists of float64 scores", async (t) => {
  const gpu = await emulatingGpu(t);
  if (!gpu) return;
  const emulated = withEmulatedMatrices(gpu);
  const shape = { ...SHAPE, dtype: "f16" } as const;
  for (const indexBlock of [16, 48]) {
    const problem = { shape, options: { ...OPTIONS, indexBlock } };
    const { stages } = hisa.plan(emulated, problem);
    assert.equal(stages.find(({ name }) => name === "index")!.variant, "matrix units, by blocks");
    await checkLayer(emulated, hisa, { problem });
  }
  // Blocks that are no rows of whole matrices.
  const { stages } = hisa.plan(emulated, { shape, options: { ...OPTIONS, indexBlock: 20 } });
  assert.equal(stages.find(({ name }) => name === "index")!.variant, "a candidate a thread");
  gpu.destroy();
});
