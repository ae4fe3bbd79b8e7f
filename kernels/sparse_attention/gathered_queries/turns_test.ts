import assert from "node:assert/strict";
import { chooseCases, long } from "../../../tools/_cases.ts";
import {
  emulatingGpu,
  MATRIX_UNITS,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { readTensor } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Implementation, Problem } from "../../implementation.ts";
import type { ApartBackward } from "../apart/apart_plan.ts";
import { moba } from "../moba/moba.ts";
import { planBlockLayer } from "../moba/moba_layer.ts";
import { nsa } from "../nsa/nsa.ts";
import { planNsaLayer } from "../nsa/nsa_layer.ts";
import { nsaOptions } from "../nsa/nsa_options.ts";
import { checkLayer, seededInputs } from "../tile_lists/_check_layer.ts";
import { listSizes } from "./list_sizes.ts";

/** The device with a smaller limit of bindings. */
function narrowed<Device extends Pick<Gpu, "capabilities">>(gpu: Device, bytes: number): Device {
  return { ...gpu, capabilities: { ...gpu.capabilities, maxBindingBytes: bytes } };
}

const NSA = {
  compressBlock: 16,
  compressStride: 8,
  block: 32,
  count: 4,
  initBlocks: 1,
  localBlocks: 2,
  window: 40,
};

/** Sizes of which all must be cut into turns. */
interface Case {
  readonly layer: Implementation;
  readonly problem: Problem;
  /** Limit of bindings. */
  readonly limit: number;
  readonly turns: string;
}

const SHAPE = { heads: 4, context: 277, headDim: 32, dtype: "f16" } as const;
const MOBA = { ...SHAPE, heads: 2, headDim: 64 } as const;

/** Turns of one unit; a short last turn; two key heads; a type that is not rounded. */
const PORTABLE = chooseCases<Case>(
  [
    {
      layer: nsa,
      problem: { shape: { ...SHAPE, kvHeads: 1 }, options: NSA },
      limit: 280_000,
      turns: "5 turns of 64 queries",
    },
    {
      layer: moba,
      problem: { shape: MOBA, options: { block: 32, topk: 4 } },
      limit: 230_000,
      turns: "2 turns of 192 queries",
    },
    {
      layer: nsa,
      problem: { shape: { ...SHAPE, kvHeads: 2, dtype: "f32" }, options: NSA },
      limit: 150_000,
      turns: "5 turns of 64 queries",
    },
    {
      layer: moba,
      problem: { shape: { ...MOBA, dtype: "f32" }, options: { block: 32, topk: 4 } },
      limit: 200_000,
      turns: "5 turns of 64 queries",
    },
  ],
  (_, i) => i === 1,
  (_, i) => i % 2 === 1,
);

/** All results of a layer. */
async function resultsOf(gpu: Gpu, { layer, problem }: Case) {
  const inputs = await seededInputs(gpu, problem, 31);
  const prepared = await layer.prepare(gpu, problem, { inputs });
  await prepared.execute();
  const { output, lse, gradients, readSelection } = prepared.outputs;
  const found = {
    variant: prepared.plan.stages[1].variant!,
    output: await readTensor(gpu, output),
    lse: await readTensor(gpu, lse),
    lists: await readSelection!(),
    q: await readTensor(gpu, gradients!.q),
    k: await readTensor(gpu, gradients!.k),
    v: await readTensor(gpu, gradients!.v),
  };
  prepared.destroy();
  inputs.destroy();
  return found;
}

/** Largest difference, as a part of the largest entry. */
function differenceOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, largest] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]));
    difference = Math.max(difference, Math.abs(a[i] - b[i]));
  }
  return difference / largest;
}

Deno.test(`queries in turns give what all at once give, and match float64${PORTABLE.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const { problem, ...entry } of PORTABLE.cases) {
    const both = { ...entry, problem: { ...problem, direction: "forward-backward" } } as const;
    const narrow = narrowed(gpu, entry.limit);
    const whole = await resultsOf(gpu, both);
    const turned = await resultsOf(narrow, both);
    assert.ok(!whole.variant.includes("turns"), whole.variant);
    assert.ok(turned.variant.endsWith(entry.turns), turned.variant);
    // A query's entries are all in one turn: only dK, dV and delta are added in another order.
    for (const name of ["lists", "output", "lse"] as const) {
      assert.deepEqual(turned[name], whole[name], `${entry.layer.name}: ${name}`);
    }
    const rounding = problem.shape.dtype === "f16" ? 2 ** -10 : 1e-6;
    for (const name of ["q", "k", "v"] as const) {
      const difference = differenceOf(turned[name], whole[name]);
      assert.ok(difference <= rounding, `${entry.layer.name}: ${name} differs by ${difference}`);
    }
    await checkLayer(narrow, entry.layer, { problem });
  }
  gpu.destroy();
});

/** A software adapter takes a minute to compile NSA's kernels for the first time. */
const EMULATED: readonly Case[] = [
  {
    layer: nsa,
    problem: {
      shape: { ...SHAPE, heads: 2, kvHeads: 1, headDim: 64 },
      options: { ...NSA, block: 64 },
    },
    limit: 300_000,
    turns: "2 turns of 192 queries",
  },
  {
    layer: moba,
    problem: { shape: MOBA, options: { block: 64, topk: 4 } },
    limit: 270_000,
    turns: "2 turns of 192 queries",
  },
];

Deno.test({
  ...long("queries in turns on emulated matrix units match float64, twice the same"),
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (!gpu) return;
    for (const { layer, problem, limit, turns } of EMULATED) {
      const emulated = narrowed(withEmulatedMatrices(gpu), limit);
      const both = { ...problem, direction: "forward-backward" } as const;
      const { variant } = layer.plan(emulated, both).stages[1];
      assert.ok(variant!.endsWith(turns), variant);
      await checkLayer(emulated, layer, { problem, kernel: "matrix units" });
      // Lists that no entry of a range belongs to, and lists without entries.
      await checkLayer(emulated, layer, {
        problem,
        kernel: "matrix units",
        flopsPerDispatch: 64 * 64 * 8 * 64 * 2,
      });
    }
    gpu.destroy();
  },
});

Deno.test("layers of long contexts fit bindings of 2 GiB in turns", () => {
  const gpu = { ...DESK, capabilities: MATRIX_UNITS };
  const limit = gpu.capabilities.maxBindingBytes;
  const options = nsa.presets![0].options as Record<string, number>;
  for (const kvHeads of [1, 2, 8]) {
    for (const context of [16384, 32768, 131072, 524288]) {
      for (const direction of ["forward", "forward-backward"] as const) {
        const shape = { heads: 8, kvHeads, context, headDim: 128, dtype: "f16" } as const;
        const problem = { shape, direction, options };
        const { plan, blocks } = planNsaLayer(gpu, problem, nsaOptions("plan nsa", problem));
        assert.equal(plan.peakBytes, plan.buffers.reduce((sum, { bytes }) => sum + bytes, 0));
        for (const { bytes, scratchBytes, gathered, sweeps, groupHeads } of blocks) {
          const own = { ...bytes, ...scratchBytes, ...gathered.listBytes };
          for (const [name, size] of Object.entries(own)) assert.ok(size <= limit, name);
          const { turns, count, group, pairs, turnPairs } = gathered.sizes;
          // Entries of a key head, of f32 rows, in one binding or not; lists are padded.
          const rows = context * count * group * 128 * 4;
          assert.ok(rows <= limit ? rows > 0.8 * limit || turns.length === 1 : turns.length > 1);
          assert.deepEqual([turns[0].first, turns.at(-1)!.end], [0, context]);
          for (const [i, { end }] of turns.entries()) {
            if (i + 1 < turns.length) assert.equal(end, turns[i + 1].first);
          }
          assert.ok(turnPairs <= pairs && turnPairs * turns.length >= pairs);
          assert.equal(plan.stages[1].variant!.includes("turns"), turns.length > 1);
          // Whole turns, in order, and as few sweeps as have room for their results.
          assert.deepEqual(sweeps.flatMap((sweep) => sweep.turns), turns.map((_, turn) => turn));
          const most = groupHeads * group * sweeps[0].end * 128 * 4;
          assert.ok(most <= 2 ** 30 && (sweeps.length === 1 || most > 2 ** 29), `${most}`);
          for (const { first, end, turns: own } of sweeps) {
            assert.deepEqual([first, end], [turns[own[0]].first, turns[own.at(-1)!].end]);
          }
        }
      }
    }
  }
});

Deno.test("layers that do not fit in the fewest queries are refused in one line", () => {
  const shape = { heads: 1, context: 8192, headDim: 64, dtype: "f16" } as const;
  const problem = { shape, options: { ...NSA, block: 4096, count: 4 } };
  assert.throws(
    () => nsa.plan(narrowed(DESK, 2 ** 21), problem),
    /^RangeError: plan attention over gathered queries: results of entries for 4096 queries at a time need a binding of [\d.]+ MiB; the limit is [\d.]+ MiB$/,
  );
});

Deno.test("listSizes counts the entries of each turn", () => {
  const selection = { rows: 500, block: 32, count: 3, group: 2 };
  const whole = listSizes(selection, { least: 32 });
  const { turns, entries, turnPairs, pairs } = listSizes(selection, { least: 32, turnRows: 192 });
  assert.deepEqual(turns, [{ first: 0, end: 192 }, { first: 192, end: 384 }, {
    first: 384,
    end: 500,
  }]);
  let longest = [0, 0];
  for (const { first, end } of turns) {
    let [own, seen] = [0, 0];
    for (let t = first; t < end; t++) {
      const earlier = Math.min(2, Math.floor(t / 32));
      own += earlier + 1;
      seen += 2 * (32 * earlier + t % 32 + 1);
    }
    longest = [Math.max(longest[0], own), Math.max(longest[1], seen)];
  }
  assert.deepEqual([entries, turnPairs, pairs], [...longest, whole.pairs]);
});

Deno.test("queries of long lists are cut into parts, others into even ranges", () => {
  const gpu = { ...DESK, capabilities: MATRIX_UNITS };
  const shape = { heads: 8, context: 131072, headDim: 128, dtype: "f16" } as const;
  const problem = {
    shape,
    direction: "forward-backward",
    options: nsa.presets![0].options as Record<string, number>,
  } as const;
  const [{ gathered, compressed, sliding }] =
    planNsaLayer(gpu, problem, nsaOptions("plan nsa", problem)).blocks;
  const matrix = (plan: ApartBackward | undefined) => {
    assert.equal(plan?.kernel, "matrix");
    return plan as ApartBackward & { kernel: "matrix" };
  };
  // All queries select the first block; of most lists less than two parts.
  const selected = matrix(gathered.gradients);
  const { packed, blocks } = gathered.sizes;
  assert.ok(selected.packed && selected.sums);
  assert.equal(selected.slots, blocks + Math.ceil(packed / selected.partQueries));
  assert.ok(Math.abs(selected.partQueries - 2 * packed / blocks) <= gathered.sizes.tileRows);
  // Compressed keys alone are fewer workgroups than some devices have processors.
  const parts = matrix(compressed.gradients![0]);
  assert.ok(parts.sums && !parts.packed);
  assert.ok(parts.slots * Math.ceil(8191 / parts.tiles.keyValue.ownRows) >= 1024);
  for (const { first } of parts.ranges) assert.equal(first % parts.partQueries, 0);
  assert.equal(matrix(sliding.gradients![0]).sums, false);
  const [block] = planBlockLayer(gpu, { shape, direction: "forward-backward" }, {
    block: 2048,
    count: 3,
  }).blocks;
  const { ranges, sums } = matrix(block.gathered.gradients);
  assert.equal(sums, false);
  const lengths = ranges.map(({ first, end }) => end - first);
  assert.ok(lengths.length > 1 && lengths.at(-1)! > 0.9 * lengths[0], lengths.join(", "));
});
