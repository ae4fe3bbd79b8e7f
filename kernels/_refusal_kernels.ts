/**
 * Bad arguments of single kernels and their plans.
 *
 * @module
 */
import * as kernels from "./mod.ts";
import {
  BAD_LIGHTHOUSE,
  badElements,
  type Entry,
  type Given,
  GOOD_LIGHTHOUSE,
  LIGHTHOUSE,
  NO_COUNT,
  NO_DTYPE,
  NO_QUANTITY,
  NO_WORD,
  type Shape,
  type World,
} from "./_refusal_world.ts";
import { planSquaredNorms } from "./dense_attention/dense_squared_norms.ts";
import { createRingAttention, planRingAttention } from "./dense_attention/ring/ring_attention.ts";
import type { BufferSlice } from "./gpu/buffers.ts";
import { createLastRow, planLastRow } from "./retrieval/last_row.ts";

export async function kernelEntries(world: World, shape: Shape): Promise<Entry[]> {
  const { gpu } = world;
  const { heads, rows, dim: headDim, dtype } = shape;
  const size = { heads, rows, headDim, dtype };
  const badSize = {
    heads: NO_COUNT,
    rows: NO_COUNT,
    headDim: [...NO_COUNT, 24, 512],
    dtype: NO_DTYPE,
    scale: [...NO_QUANTITY.filter((value) => value !== null), Infinity],
    flopsPerDispatch: NO_QUANTITY,
    kernel: ["fast", "", 3],
  };
  const row = heads * rows * headDim * kernels.bytesPerElement(dtype);
  const word = heads * rows * 4;
  const slices = async (bytes: Record<string, number>, names: Record<string, unknown[]>) => {
    const good: Given = {};
    const bad: Record<string, unknown[]> = {};
    for (const [name, count] of Object.entries(bytes)) {
      good[name] = await world.slice(count);
      bad[name] = [...await world.badSlices(count), ...names[name] ?? []];
    }
    return { good, bad };
  };
  const geometry = kernels.planGeometry(256, LIGHTHOUSE);
  const selection = kernels.planSelection(geometry, heads);
  const lastRow = planLastRow({ heads, context: rows, headDim, dtype });
  const plan = kernels.planDenseAttention(gpu, size);
  const backward = kernels.planDenseBackward(gpu, size);
  const entry = async (
    name: string,
    bytes: Record<string, number>,
    call: (slices: Given) => unknown,
    covers: string[] = [],
  ): Promise<Entry> => ({ name, covers, ...await slices(bytes, {}), call });
  const gates = await world.tensor({ heads, rows, dim: 1, dtype: "f32" });
  kernels.writeTensor(gpu, gates, new Float32Array(heads * rows).fill(-1));
  const schedule = {
    bytes: { scoreGradients: 512, exponents: 16, keyPartials: 1024, queryPartials: 1024 },
  } as kernels.MatrixBackwardSchedule;
  return [
    {
      name: "planDenseAttention",
      good: size,
      bad: badSize,
      call: (options) => kernels.planDenseAttention(gpu, options as never),
      pure: true,
    },
    {
      name: "planDenseBackward",
      good: size,
      bad: badSize,
      call: (options) => kernels.planDenseBackward(gpu, options as never),
      pure: true,
    },
    {
      name: "planSquaredNorms",
      covers: [],
      good: { ...size, dilation: 1 },
      bad: { ...badSize, dilation: [...NO_COUNT, 7].filter((value) => value !== null) },
      call: (options) => planSquaredNorms(gpu, options as never),
      pure: true,
    },
    {
      name: "planRingAttention",
      covers: [],
      good: size,
      bad: badSize,
      call: (options) => planRingAttention(gpu, options as never),
      pure: true,
    },
    {
      name: "planLastRow",
      covers: [],
      good: { heads, context: rows, headDim, dtype },
      bad: { heads: NO_COUNT, context: NO_COUNT, headDim: [...NO_COUNT, 24], dtype: NO_DTYPE },
      call: (options) => planLastRow(options as never),
      pure: true,
    },
    await entry(
      "createDenseAttention",
      { q: row, k: row, v: row, o: row, lse: word },
      async (given) => (await kernels.createDenseAttention(gpu, plan)).bind(given as never),
      ["createDenseAttention"],
    ),
    await entry(
      "createDenseBackward",
      {
        q: row,
        k: row,
        v: row,
        o: row,
        outputGradient: row,
        lse: word,
        delta: word,
        queryGradient: row,
        keyGradient: row,
        valueGradient: row,
      },
      async (given) => (await kernels.createDenseBackward(gpu, backward)).bind(given as never),
      ["createDenseBackward"],
    ),
    await entry(
      "createRingAttention",
      { q: row, k: row, v: row, o: heads * rows * headDim * 4, lse: word },
      async (given) => {
        const queries = { first: 0, end: rows };
        const ring = await createRingAttention(gpu, planRingAttention(gpu, size));
        ring.bind(given as never, { queries, keys: queries, fresh: true });
      },
    ),
    await entry(
      "createLastRow",
      { k: row, v: row },
      async (given) => (await createLastRow(gpu, lastRow)).bind(given as never),
    ),
    await entry(
      "createSelection",
      {
        queryScores: selection.scoreBytes,
        keyScores: selection.scoreBytes,
        indices: selection.indexBytes,
        slots: selection.slotBytes,
      },
      async (given) => (await kernels.createSelection(gpu, selection)).bind(given as never),
      ["createSelection"],
    ),
    {
      name: "planSelection",
      good: { heads },
      bad: { heads: [...NO_COUNT, 65536] },
      call: ({ heads }) => kernels.planSelection(geometry, heads),
      pure: true,
    },
    {
      name: "planGeometry",
      good: { context: 256, ...GOOD_LIGHTHOUSE },
      bad: {
        context: [...NO_COUNT, 257, 2 ** 25],
        ...BAD_LIGHTHOUSE,
        dilation: [...NO_COUNT, 3].filter((value) => value !== null),
      },
      call: ({ context, budget: k, ...options }) =>
        kernels.planGeometry(context, { ...options, k } as never),
      pure: true,
    },
    {
      name: "glaScorer",
      covers: ["glaScorer", "normScorer", "dilatedScorer"],
      good: { gates: new Float32Array(256).fill(-1) },
      bad: { gates: [...badElements(256), new Float32Array(256).fill(1)] },
      call: ({ gates }) =>
        kernels.glaScorer({ gates }).pass!.plan(gpu, {
          shape: { heads: 1, context: 256, headDim, dtype },
          options: LIGHTHOUSE,
          geometry,
          headsPerBlock: 1,
        }),
      pure: true,
    },
    {
      name: "findScorer",
      good: { name: "norm" },
      bad: { name: [...NO_WORD, undefined] },
      call: ({ name }) => kernels.findScorer(name),
      pure: true,
    },
    {
      name: "requireGates",
      good: { gates: gates.blocks[0].data },
      bad: {
        gates: (await world.badSlices(word)).filter((part) =>
          !(part as BufferSlice)?.buffer || (part as BufferSlice).size !== word - 4
        ),
      },
      call: ({ gates }) => kernels.requireGates(gpu, [gates]),
    },
    {
      name: "createMatrixScratch",
      good: { bytes: schedule.bytes },
      bad: {
        bytes: [{ ...schedule.bytes, exponents: NaN }, { ...schedule.bytes, keyPartials: -1 }],
      },
      call: async ({ bytes }) => {
        const scratch = await kernels.createMatrixScratch(gpu, { ...schedule, bytes });
        scratch.destroy();
      },
    },
  ];
}
