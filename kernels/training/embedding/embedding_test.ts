import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { createEmbedding, embeddingBytes, planEmbedding } from "./embedding.ts";
import {
  createEmbeddingBackward,
  embeddingBackwardBytes,
  planEmbeddingBackward,
} from "./embedding_backward.ts";
import { embeddingBackwardReference, embeddingReference } from "./embedding_reference.ts";

Deno.test("an embedding and its gradient, by hand", () => {
  assert.deepEqual([...embeddingReference([2, 0], [1, 2, 3, 4, 5, 6], 2)], [5, 6, 1, 2]);
  const { values } = embeddingBackwardReference([1, 1], [1, 2, 3, 4], [0, 0, 10, 0]);
  assert.deepEqual([...values], [0, 0, 14, 6]);
});

Deno.test("plans of an embedding: bytes and rounds by hand, refusals in one line", () => {
  const size = { rows: 98304, vocabulary: 128256, columns: 1024 };
  assert.equal(embeddingBytes(size), 98304 * 4 + 98304 * 1024 * 8);
  assert.equal(embeddingBackwardBytes(size), 98304 * 4 * 1025 + 128256 * 1024 * 8);
  const plan = planEmbeddingBackward(size);
  assert.equal(plan.rounds.length, 3);
  assert.deepEqual(plan.sum.workgroups, [49152, 2, 16]);
  assert.deepEqual(planEmbeddingBackward({ ...size, vocabulary: 256 }).scratch, {
    sorted: 98304 * 8,
    other: 0,
    counts: 96 * 1024,
  });
  assert.throws(() => planEmbedding({ ...size, columns: 100 }), {
    message: "plan embedding: columns 100 is not a multiple of 8",
  });
  assert.throws(() => planEmbedding({ ...size, vocabulary: 0 }), /vocabulary 0 is not a whole/);
});

Deno.test("an embedding copies rows, and its gradient matches float64 for many repeated tokens", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [rows, vocabulary, columns] of [[1, 3, 8], [2500, 256, 72], [1500, 70000, 8]]) {
    await t.step(`${rows} tokens of ${vocabulary}, ${columns} columns`, async () => {
      // Most tokens are few, as bytes of text are; some are far apart.
      const tokens = Uint32Array.from(
        seeded(1, rows),
        (value, i) =>
          i % 7 === 0 ? (i * 7919) % vocabulary : Math.floor(Math.abs(value)) % vocabulary,
      );
      const table = seeded(2, vocabulary * columns);
      const gradient = seeded(3, rows * columns);
      const plan = planEmbeddingBackward({ rows, vocabulary, columns });
      const words = (bytes: number) => upload(gpu, new Uint32Array(Math.max(4, bytes / 4)), "u32");
      const buffers = {
        tokens: await upload(gpu, tokens, "u32"),
        table: await upload(gpu, table),
        x: await upload(gpu, new Float32Array(rows * columns)),
        gradient: await upload(gpu, gradient),
        tableGradient: await upload(gpu, table),
        sorted: await words(plan.scratch.sorted),
        other: await words(plan.scratch.other),
        counts: await words(plan.scratch.counts),
      };
      const forward = await createEmbedding(gpu, planEmbedding({ rows, vocabulary, columns }));
      const backward = await createEmbeddingBackward(gpu, plan);
      await run(gpu, [...forward.bind(buffers), ...backward.bind(buffers)]);
      const x = await download(gpu, buffers.x, { count: rows * columns });
      assert.deepEqual(Float64Array.from(x), embeddingReference(tokens, table, columns));
      const sorted = await download(gpu, buffers.sorted, { count: 2 * rows, dtype: "u32" });
      const order = Array.from(tokens.keys()).sort((a, b) => tokens[a] - tokens[b] || a - b);
      assert.deepEqual([...sorted], order.flatMap((row) => [tokens[row], row]));
      const want = embeddingBackwardReference(tokens, gradient, table);
      const have = await download(gpu, buffers.tableGradient, { count: vocabulary * columns });
      assertClose(have, want, "gradient");
      forward.destroy();
      backward.destroy();
    });
  }
  gpu.destroy();
});
