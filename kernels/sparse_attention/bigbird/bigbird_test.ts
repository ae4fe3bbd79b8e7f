import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chooseCases, chooseFew } from "../../../tools/_cases.ts";
import MANIFEST from "../../../fixtures/golden/manifest.json" with { type: "json" };
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { planDenseAttention } from "../../dense_attention/dense_attention.ts";
import { PORTABLE_TILINGS } from "../../dense_attention/tilings.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { Problem } from "../../implementation.ts";
import { blockPairs, blockWalk, tileLists } from "../tile_lists/block_walk.ts";
import { checkLayer } from "../tile_lists/_check_layer.ts";
import { bigBird } from "./bigbird.ts";
import { bigBirdLists } from "./bigbird_pattern.ts";

const SHAPE = { heads: 2, context: 150, headDim: 64, dtype: "f16" } as const;
const PUBLISHED = {
  block: 64,
  globalBlocks: 2,
  windowBlocks: 2,
  randomBlocks: 3,
  patternSeed: 1,
};

/**
 * Blocks smaller than tiles, as large, larger than the context; no global, no random ones, all of
 * them.
 */
const PATTERNS = [
  { block: 16, globalBlocks: 1, windowBlocks: 2, randomBlocks: 1, patternSeed: 7 },
  { block: 16, globalBlocks: 0, windowBlocks: 1, randomBlocks: 2, patternSeed: 4294967295 },
  { block: 32, globalBlocks: 1, windowBlocks: 1, randomBlocks: 0, patternSeed: 0 },
  { block: 64, globalBlocks: 0, windowBlocks: 2, randomBlocks: 1, patternSeed: 3 },
  { block: 256, globalBlocks: 2, windowBlocks: 2, randomBlocks: 3, patternSeed: 3 },
  { block: 16, globalBlocks: 3, windowBlocks: 40, randomBlocks: 32, patternSeed: 3 },
];

Deno.test("bigBirdLists draws the golden blocks", () => {
  const cases = MANIFEST.baselines.filter(({ method }) => method === "bigbird");
  assert.equal(cases.length, 2);
  for (const { H: heads, N: rows, options, idx_sha256, files, pairs } of cases) {
    const found = bigBirdLists({ heads, rows, ...options as unknown as typeof PUBLISHED });
    const digest = createHash("sha256").update(new Uint8Array(found.lists.buffer)).digest("hex");
    assert.equal(digest, idx_sha256);
    assert.equal(found.lists.length, files.idx!.shape.reduce((a, b) => a * b));
    assert.equal(blockPairs(found), pairs);
  }
});

Deno.test("bigBirdLists holds global, window and random blocks, each once, as many as there are", () => {
  const [heads, rows] = [3, 700];
  for (const options of PATTERNS) {
    const { block, globalBlocks: g, windowBlocks: w, randomBlocks: r } = options;
    const { lists, width } = bigBirdLists({ heads, rows, ...options });
    const blocks = Math.ceil(rows / block);
    for (let list = 0; list < heads * blocks; list++) {
      const i = list % blocks;
      const held = [...lists.subarray(list * width, (list + 1) * width)].filter((c) => c >= 0);
      assert.deepEqual(held, [...new Set(held)].sort((a, b) => a - b));
      for (let c = 0; c <= i; c++) if (c < g || c > i - w) assert.ok(held.includes(c));
      const others = held.filter((c) => c >= g && c <= i - w);
      assert.equal(others.length, Math.max(0, Math.min(r, i - w + 1 - g)));
      assert.equal(held.at(-1), i);
    }
  }
});

/** Pairs of a head as the mask says, `[rows, rows]`. */
function maskOf(problem: Problem, head: number): Uint8Array {
  const { context: rows } = problem.shape;
  const seen = new Uint8Array(rows * rows);
  for (let row = 0; row < rows; row++) {
    for (const { first, end } of bigBird.visible!(row, problem, head)) {
      seen.fill(1, row * rows + first, row * rows + end);
    }
  }
  return seen;
}

Deno.test("lists of tiles hold every pair once, for tiles of any size and both ways", () => {
  const rows = SHAPE.context;
  for (const options of PATTERNS) {
    const problem = { shape: SHAPE, options };
    const pattern = bigBirdLists({ heads: 2, rows, ...options });
    const walk = blockWalk(pattern, { name: "", kind: "" });
    const masks = [0, 1].map((head) => maskOf(problem, head));
    const pairs = masks.reduce((sum, mask) => sum + mask.reduce((a, b) => a + b), 0);
    assert.equal(walk.pairs, pairs);
    for (const [ownRows, columns] of [[64, 32], [32, 64], [16, 16], [128, 64], [256, 32]]) {
      for (const own of ["queries", "keys"] as const) {
        const tile = { ownRows, columns, own };
        if (!walk.fits(tile)) continue;
        const { starts, tiles, masks: bits } = tileLists(pattern, tile);
        const each = Math.ceil(rows / ownRows);
        const { block } = options;
        const blocksOfTile = Math.max(1, columns / block);
        for (let head = 0; head < 2; head++) {
          const seen = new Uint8Array(rows * rows);
          for (let t = 0; t < each; t++) {
            const [from, end] = [starts[head * each + t], starts[head * each + t + 1]];
            for (let at = from; at < end; at++) {
              if (at > from) assert.ok(tiles[at] > tiles[at - 1]);
              for (let i = 0; i < ownRows; i++) {
                for (let j = 0; j < columns; j++) {
                  const bit = Math.floor(i / block) * blocksOfTile + Math.floor(j / block);
                  if ((bits[at] >>> bit & 1) === 0) continue;
                  const [mine, other] = [t * ownRows + i, tiles[at] * columns + j];
                  const [query, key] = own === "queries" ? [mine, other] : [other, mine];
                  if (key <= query && query < rows) seen[query * rows + key]++;
                }
              }
            }
          }
          assert.deepEqual(seen, masks[head]);
        }
      }
    }
  }
});

Deno.test("bigbird plans its pairs and its lists, and refuses what it cannot run, in one line", () => {
  const shape = { ...SHAPE, context: 32768, heads: 8, headDim: 128 };
  const plan = (options: Record<string, number>) =>
    bigBird.plan(DESK, {
      shape,
      direction: "forward-backward",
      options: { ...PUBLISHED, ...options },
    });
  const { stages, buffers, peakBytes } = plan({});
  const pairs = blockPairs(bigBirdLists({ heads: 8, rows: 32768, ...PUBLISHED }));
  assert.deepEqual(stages.map(({ flops }) => flops), [4 * 128 * pairs, 10 * 128 * pairs]);
  const lists = buffers.find(({ name }) => name === "lists of tiles")!;
  assert.ok(lists.bytes > 3 * 8 * 512 * 7 * 4);
  assert.equal(peakBytes, buffers.reduce((sum, { bytes }) => sum + bytes, 0));
  const refused = [
    [{ block: 48 }, "plan bigbird: block 48 is not a power of two"],
    [{ block: 8 }, "plan bigbird: block 8 is not a whole number from 16"],
    [{ windowBlocks: 0 }, "plan bigbird: windowBlocks 0 is not a whole number from 1"],
    [{ globalBlocks: -1 }, "plan bigbird: globalBlocks -1 is not a whole number from 0"],
    [{ randomBlocks: 33 }, "plan bigbird: randomBlocks 33 exceeds the limit of 32"],
    [{ patternSeed: 2 ** 32 }, "plan bigbird: patternSeed 4294967296 exceeds 4294967295"],
    [
      { globalBlocks: 40000 },
      "plan bigbird: lists of 40005 blocks need 625 MiB; the limit is 512 MiB",
    ],
  ] as const;
  for (const [options, message] of refused) {
    assert.throws(() => plan(options), { name: "RangeError", message });
  }
  const walk = blockWalk(bigBirdLists({ heads: 1, rows: 300, ...PUBLISHED, block: 16 }), {
    name: "blocks of 16",
    kind: "",
  });
  const size = { heads: 1, rows: 300, headDim: 64, dtype: "f32", walk } as const;
  assert.throws(
    () => planDenseAttention(DESK, { ...size, tiling: PORTABLE_TILINGS[0] }),
    /^RangeError: plan attention: blocks of 16 cannot be walked in tiles of 128 × 128 rows$/,
  );
  assert.ok(planDenseAttention(DESK, size).variant.startsWith("portable "));
  const small = { ...DESK, capabilities: { ...DESK.capabilities, maxBindingBytes: 2 ** 21 } };
  assert.throws(
    () =>
      bigBird.plan(small, {
        shape: { ...shape, headDim: 32 },
        options: { ...PUBLISHED, globalBlocks: 200 },
      }),
    /^RangeError: plan attention over blocks of 64: .*: lists of tiles need a binding of [\d.]+ MiB; the limit is 2 MiB$/,
  );
});

const PORTABLE = chooseCases(
  PATTERNS.flatMap((options) =>
    (["f16", "f32"] as const).map((dtype) => ({ options, shape: { ...SHAPE, dtype } }))
  ),
  (_, i) => i === 0,
);

Deno.test({
  name: `bigbird matches float64 in both passes, twice the same${PORTABLE.note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const problem of PORTABLE.cases) await checkLayer(gpu, bigBird, { problem });
    const [problem] = PORTABLE.cases;
    await checkLayer(gpu, bigBird, { problem, flopsPerDispatch: 1e6 });
    gpu.destroy();
  },
});

Deno.test("bigbird on matrix units matches float64, twice the same", async () => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const headDim of [64, 128]) {
    for (const options of PATTERNS) {
      for (const context of [150, 1021]) {
        const problem = { shape: { ...SHAPE, context, headDim }, options };
        await checkLayer(gpu, bigBird, { problem, kernel: "matrix units" });
      }
    }
    const problem = { shape: { ...SHAPE, context: 1021, headDim }, options: PATTERNS[0] };
    const flopsPerDispatch = 256 * 256 * 8 * headDim * 2;
    await checkLayer(gpu, bigBird, { problem, kernel: "matrix units", flopsPerDispatch });
  }
  gpu.destroy();
});

const EMULATED = chooseFew(
  PATTERNS.map((options, i) => ({ options, cut: [64 * 384, undefined, 64 * 64][i % 3] })),
  (_, i) => i === 0,
);

Deno.test({
  name: `bigbird on emulated matrix units matches float64, twice the same${EMULATED.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    const emulated = withEmulatedMatrices(gpu);
    for (const { cut, options } of EMULATED.cases) {
      const problem = { shape: { ...SHAPE, context: 277 }, options };
      await checkLayer(emulated, bigBird, {
        problem,
        kernel: "matrix units",
        // Pairs of a rectangle of both heads.
        ...cut !== undefined && { flopsPerDispatch: cut * 8 * 64 * 2 },
      });
    }
    const problem = { shape: SHAPE, options: PATTERNS[0] };
    // Workgroups that start over, and some that take the careful pass.
    for (const size of [64, 4096]) {
      await checkLayer(emulated, bigBird, { problem, kernel: "matrix units", size });
    }
    gpu.destroy();
  },
});
