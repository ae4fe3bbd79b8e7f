import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { readWords, submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import { slice } from "../../gpu/buffers.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { bindTop, type SelectedBlocks, topSource } from "./block_selection.ts";

/** Scores by query and block: what the queue of a thread meets. */
const SCORES: Readonly<Record<string, (row: number, block: number) => number>> = {
  "of no order": (row, block) => Math.fround(Math.sin(row * 77 + block * block)),
  "ascending": (_, block) => block,
  "descending": (_, block) => -block,
  "mostly equal": (row, block) => (row + block * 7) % 9 === 0 ? 1 : block % 2 ? 0 : -0,
  "with NaN and infinities": (row, block) =>
    [NaN, Infinity, -Infinity, 1e-40, block][(row + block * 3) % 5],
};

function reference(
  score: (block: number) => number,
  own: number,
  { initial, free, local }: SelectedBlocks,
): number[] {
  const local0 = Math.max(own + 1 - local, 0);
  const between = Array.from({ length: Math.max(0, local0 - initial) }, (_, i) => initial + i);
  const rank = (block: number) => Number.isNaN(score(block)) ? [0, 0] : [1, score(block)];
  between.sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    return x[0] !== y[0] ? y[0] - x[0] : x[1] === y[1] ? a - b : x[1] < y[1] ? 1 : -1;
  });
  const forced = Array.from({ length: own + 1 }, (_, block) => block)
    .filter((block) => block < initial || block >= local0);
  const kept = [...forced, ...between.slice(0, free)].sort((a, b) => a - b);
  return [...kept, ...Array(initial + free + local - kept.length).fill(-1)];
}

Deno.test("the best blocks of a query are those of a sort, ties by number, whatever the order", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [rows, strip, blocks] = [300, 128, 300];
  for (const [name, score] of Object.entries(SCORES)) {
    for (
      const selected of [
        { initial: 1, free: 13, local: 2 },
        { initial: 0, free: 1, local: 1 },
        { initial: 3, free: 32, local: 1 }, // no room for a queue
        { initial: 2, free: 0, local: 3 },
      ]
    ) {
      const width = selected.initial + selected.free + selected.local;
      const pipeline = await createPipeline(gpu, topSource(selected));
      const lists = await uploadGarbage(gpu, rows * width * 4);
      const buffers: GPUBuffer[] = [lists.buffer];
      for (const firstRow of [0, 128, 256]) {
        const data = new Float32Array(blocks * strip);
        for (let block = 0; block < blocks; block++) {
          for (let i = 0; i < strip; i++) data[block * strip + i] = score(firstRow + i, block);
        }
        const scores = await upload(gpu, data);
        buffers.push(scores.buffer);
        const dispatch = bindTop(gpu, pipeline, {
          // Blocks of one key: a query's own block is its number.
          sizes: { rows, firstRow, strip, block: 1, blocks, firstHead: 0 },
          heads: 1,
          scores,
          lists,
          keep: (uniform) => {
            buffers.push(uniform);
            return slice(uniform);
          },
        });
        await submit(gpu, [dispatch]);
      }
      const got: Int32Array = new Int32Array((await readWords(gpu, lists, rows * width)).buffer);
      for (let row = 0; row < rows; row++) {
        const want = reference((block) => Math.fround(score(row, block)), row, selected);
        const own: number[] = [...got.subarray(row * width, (row + 1) * width)];
        assert.deepEqual(own, want, `${name}, row ${row}, ${JSON.stringify(selected)}`);
      }
      buffers.forEach((buffer) => buffer.destroy());
    }
  }
  gpu.destroy();
});
