import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { readWords, submit, upload, uploadGarbage } from "../../gpu/_test_buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createTopTokens, type TopTokensOptions } from "./top_tokens.ts";

/** Scores by row and position: what a bound from a sample meets. */
const SCORES: Readonly<Record<string, (row: number, at: number) => number>> = {
  "of no order": (row, at) => Math.fround(Math.sin(row * 77 + at * at)),
  "mostly zero, of both signs": (row, at) => (row * 7 + at * 5) % 16 === 0 ? 1 : at % 2 ? 0 : -0,
  "at most zero": (row, at) => (row + at * 3) % 11 < 4 ? 0 : -at,
  "ascending": (_, at) => at,
  "descending": (_, at) => -at,
  "all alike": () => 3,
  "large where the sample is not": (_, at) => at % 128 < 8 ? 0 : 1 + at,
  "large where the sample is": (_, at) => at % 128 < 8 ? 1 + at : -at,
  // NaN passes for a score that reaches the bound of the sample.
  "NaN where the sample is not": (_, at) => at % 128 < 8 ? -at : at % 16 === 0 ? NaN : -1000 - at,
  "with NaN and infinities": (row, at) => [NaN, Infinity, -Infinity, 1e-40, at][(row + at * 3) % 5],
};

/** The list of a query, by sorting. */
function reference(
  scores: (at: number) => number,
  count: number,
  { width, forced }: Pick<TopTokensOptions, "width" | "forced">,
): number[] {
  const rank = (at: number) => {
    if (forced && (at === 0 || at === count - 1)) return [2, 0];
    const score = scores(at);
    return Number.isNaN(score) ? [0, 0] : [1, score];
  };
  const order = Array.from({ length: count }, (_, at) => at).sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    // Infinities differ by no number.
    return x[0] !== y[0] ? y[0] - x[0] : x[1] === y[1] ? a - b : x[1] < y[1] ? 1 : -1;
  });
  const kept = order.slice(0, width).sort((a, b) => a - b);
  return [...kept, ...Array(width - kept.length).fill(-1)];
}

for (const without of [[], ["subgroups"]]) {
  const note = without.map((feature) => `, without ${feature}`).join("");
  Deno.test(`createTopTokens finds the k largest whatever a sample says, ties by position${note}`, async (t) => {
    const gpu = await testGpu(t, { without });
    if (!gpu) return;
    const all = Object.entries(SCORES);
    // Subgroups change sums of counts only.
    for (const [name, score] of without.length > 0 ? all.slice(0, 2) : all) {
      await checkScores(gpu, name, score);
    }
    gpu.destroy();
  });
}

/** Holds lists of eight queries of 881 to 888 scores against a sort. */
async function checkScores(gpu: Gpu, name: string, score: (row: number, at: number) => number) {
  const stride = 900;
  const queries = 8;
  const strip = { firstRow: 880, endRow: 880 + queries };
  const data = Float32Array.from(
    { length: queries * stride },
    // Past the end of a list lies what would be selected first.
    (_, i) =>
      i % stride > 880 + Math.floor(i / stride) ? Infinity : score(i / stride | 0, i % stride),
  );
  const scores = await upload(gpu, data);
  for (
    const options of [
      { width: 40, held: 128 }, // sampled
      { width: 90, held: 128 }, // too long for a sample
      { width: 40 }, // everything is held
      { width: 1, held: 64 },
      { width: 30, held: 64, forced: true },
    ]
  ) {
    const kernel = await createTopTokens(gpu, { rows: 888, ...options });
    const lists = await uploadGarbage(gpu, queries * options.width * 4);
    await submit(gpu, [kernel.bind({ scores, stride, lists }, strip)]);
    const got: Int32Array = new Int32Array(
      (await readWords(gpu, lists, queries * options.width)).buffer,
    );
    for (let row = 0; row < queries; row++) {
      const count = 881 + row;
      const want = reference((at) => data[row * stride + at], count, options);
      const own: number[] = [...got.subarray(row * options.width, (row + 1) * options.width)];
      assert.deepEqual(own, want, `${name}, row ${row}, ${JSON.stringify(options)}`);
    }
    kernel.destroy();
    lists.buffer.destroy();
  }
  scores.buffer.destroy();
}

Deno.test("createTopTokens names the tokens of a query's blocks", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const candidates = { blockRows: 40, blockCount: 5 };
  const strip = { firstRow: 500, endRow: 508 };
  const kept = [0, 3, 7, 9, 12]; // block 12 is the queries' own
  const stride = 200;
  const data = Float32Array.from({ length: 8 * stride }, (_, i) => Math.cos(i * i));
  const scores = await upload(gpu, data);
  const blocks = await upload(gpu, Uint32Array.from({ length: 8 * 5 }, (_, i) => kept[i % 5]));
  for (const held of [64, 128, 4096]) {
    const width = 24;
    const kernel = await createTopTokens(gpu, { rows: 508, width, candidates, held });
    const lists = await uploadGarbage(gpu, 8 * width * 4);
    await submit(gpu, [kernel.bind({ scores, stride, blocks, lists }, strip)]);
    const got: Int32Array = new Int32Array((await readWords(gpu, lists, 8 * width)).buffer);
    for (let row = 0; row < 8; row++) {
      const count = 4 * 40 + (500 + row) % 40 + 1;
      const want = reference((at) => data[row * stride + at], count, { width })
        .map((at) => kept[Math.floor(at / 40)] * 40 + at % 40);
      assert.deepEqual([...got.subarray(row * width, (row + 1) * width)], want);
    }
    kernel.destroy();
    lists.buffer.destroy();
  }
  gpu.destroy();
});
