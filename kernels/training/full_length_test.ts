/**
 * Each kernel alone over as many tokens as the paper's context has, where sums are longest: all
 * rows alike, which add up without end, and one token for all. Rows are narrow, so that a software
 * adapter takes seconds.
 *
 * @module
 */
import assert from "node:assert/strict";
import { testGpu } from "../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "./_device_run.ts";
import { createCrossEntropy, planCrossEntropy } from "./cross_entropy/cross_entropy.ts";
import { crossEntropyReference } from "./cross_entropy/cross_entropy_reference.ts";
import { createEmbeddingBackward, planEmbeddingBackward } from "./embedding/embedding_backward.ts";
import { embeddingBackwardReference } from "./embedding/embedding_reference.ts";
import { createProduct, planProduct } from "./matrix_product/matrix_product.ts";
import { productReference } from "./matrix_product/matrix_product_reference.ts";
import { initialState, packState, unpackState } from "./optimizer/step_state.ts";
import { createSumLosses, planSumLosses } from "./optimizer/sum_losses.ts";
import { createRmsNormBackward, planRmsNormBackward } from "./rms_norm/rms_norm_backward.ts";
import { rmsNormBackwardReference, rmsNormReference } from "./rms_norm/rms_norm_reference.ts";

const ROWS = 98_304;
const WIDTH = 8;

/** Rows of seeded numbers, or all of them like the first. */
function rowsOf(seed: number, equal: boolean, dtype: "f16" | "f32" = "f32") {
  const data = seeded(seed, ROWS * WIDTH, { dtype });
  if (equal) { for (let i = WIDTH; i < data.length; i++) data[i] = data[i % WIDTH]; }
  return data;
}

for (const equal of [false, true]) {
  const which = equal ? "rows that are all alike" : "seeded rows";
  Deno.test(`sums over 98,304 ${which} match float64`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;

    await t.step("gradient of weights", async () => {
      const [left, right] = [rowsOf(1, equal, "f16"), rowsOf(2, equal, "f16")];
      const options = {
        form: "TN",
        rows: WIDTH,
        columns: WIDTH,
        depth: ROWS,
        dtype: "f16",
        result: { kind: "accumulate" },
      } as const;
      const plan = planProduct(gpu, options);
      assert.ok(plan.slices > 100);
      const added = seeded(3, WIDTH * WIDTH);
      const buffers = {
        left: await upload(gpu, left, "f16"),
        right: await upload(gpu, right, "f16"),
        result: await upload(gpu, added),
        partials: await upload(gpu, new Float32Array(plan.partialBytes / 4)),
      };
      const product = await createProduct(gpu, plan);
      await run(gpu, product.bind(buffers));
      const want = productReference(options, { left, right, added });
      assertClose(await download(gpu, buffers.result, { count: 64 }), want.result, "dW");
      product.destroy();
    });

    await t.step("gradient of a norm's gain", async () => {
      const [x, gradient, stream] = [rowsOf(1, equal), rowsOf(2, equal), rowsOf(3, equal)];
      const gain = seeded(4, WIDTH);
      const options = { rows: ROWS, columns: WIDTH, dtype: "f16" } as const;
      const plan = planRmsNormBackward(options);
      const empty = new Float32Array(ROWS * WIDTH);
      const inverse = rmsNormReference({ x, gain }).inverse.values;
      const buffers = {
        x: await upload(gpu, x),
        gain: await upload(gpu, gain),
        inverse: await upload(gpu, inverse),
        gradient: await upload(gpu, gradient),
        stream: await upload(gpu, stream),
        copy: await upload(gpu, empty, "f16"),
        partials: await upload(gpu, new Float32Array(plan.partialBytes / 4)),
        gainGradient: await upload(gpu, new Float32Array(WIDTH)),
      };
      const norm = await createRmsNormBackward(gpu, plan);
      await run(gpu, norm.bind(buffers));
      const want = rmsNormBackwardReference({ x, gain, gradient, stream }, { dtype: "f16" });
      const have = await download(gpu, buffers.gainGradient, { count: WIDTH });
      assertClose(have, want.gainGradient, "dg");
      const dx = await download(gpu, buffers.stream, { count: ROWS * WIDTH });
      assertClose(dx, want.stream, "dx");
      norm.destroy();
    });

    await t.step("gradient of an embedding", async () => {
      const gradient = rowsOf(1, equal);
      const tokens = Uint32Array.from({ length: ROWS }, (_, i) => equal ? 3 : (i * 7919) % 251);
      const before = seeded(2, 256 * WIDTH);
      const plan = planEmbeddingBackward({ rows: ROWS, vocabulary: 256, columns: WIDTH });
      const words = (bytes: number) => upload(gpu, new Uint32Array(Math.max(4, bytes / 4)), "u32");
      const buffers = {
        tokens: await upload(gpu, tokens, "u32"),
        gradient: await upload(gpu, gradient),
        tableGradient: await upload(gpu, before),
        sorted: await words(plan.scratch.sorted),
        other: await words(plan.scratch.other),
        counts: await words(plan.scratch.counts),
      };
      const embedding = await createEmbeddingBackward(gpu, plan);
      await run(gpu, embedding.bind(buffers));
      const want = embeddingBackwardReference(tokens, gradient, before);
      const have = await download(gpu, buffers.tableGradient, { count: 256 * WIDTH });
      assertClose(have, want, "dE");
      embedding.destroy();
    });

    await t.step("losses, their sum, and gradients of logits", async () => {
      const logits = rowsOf(1, equal);
      const targets = Uint32Array.from({ length: ROWS }, (_, i) => equal ? 5 : i % WIDTH);
      const buffers = {
        logits: await upload(gpu, logits),
        targets: await upload(gpu, targets, "u32"),
        state: await upload(gpu, packState(initialState(1024)), "u32"),
        losses: await upload(gpu, new Float32Array(ROWS)),
        gradient: await upload(gpu, new Float32Array(ROWS * WIDTH), "f16"),
      };
      const size = { rows: ROWS, vocabulary: WIDTH, dtype: "f16" } as const;
      const loss = await createCrossEntropy(gpu, planCrossEntropy(size));
      const sum = await createSumLosses(gpu, planSumLosses({ rows: ROWS }));
      await run(gpu, [...loss.bind(buffers), ...sum.bind(buffers)]);
      const want = crossEntropyReference(logits, targets, { scale: 1024, dtype: "f16" });
      assertClose(await download(gpu, buffers.losses, { count: ROWS }), want.losses, "losses");
      const count = ROWS * WIDTH;
      const gradient = await download(gpu, buffers.gradient, { count, dtype: "f16" });
      assertClose(gradient, want.gradient, "gradient");
      const state = await download(gpu, buffers.state, { count: 12, dtype: "u32" });
      const { lossSum } = unpackState(state as Uint32Array);
      const total = want.losses.values.reduce((all, loss) => all + loss, 0);
      // 384 additions of a thread and 8 of the tree, each of half a unit in the last place; and
      // losses.
      const error = want.losses.tolerance.reduce((all, one) => all + one, 0);
      assert.ok(Math.abs(lossSum - total) <= 392 * 2 ** -24 * total + error);
      loss.destroy();
      sum.destroy();
    });
    gpu.destroy();
  });
}
