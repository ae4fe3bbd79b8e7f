/**
 * Bad layers over every public function of the kernels: each is refused with one clear line, whatever
 * is wrong with it, and nothing gives numbers.
 *
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { testGpu } from "./gpu/_test_gpu.ts";
import { DESK } from "./gpu/_desk_device.ts";
import type { BufferSlice, DType, Tensor } from "./gpu/buffers.ts";
import type { Gpu } from "./gpu/device.ts";
import { perturbTensor } from "./gpu/noise.ts";
import { planSquaredNorms } from "./dense_attention/dense_squared_norms.ts";
import { createRingAttention, planRingAttention } from "./dense_attention/ring/ring_attention.ts";
import type { Problem } from "./implementation.ts";
import { IMPLEMENTATIONS } from "./implementations.ts";
import { createContextParallel, planContextParallel } from "./lighthouse/context_parallel.ts";
import * as kernels from "./mod.ts";
import { createLastRow, planLastRow } from "./retrieval/last_row.ts";
import { createLighthouseRows } from "./retrieval/lighthouse_last_row.ts";
import { scaleTensor } from "./retrieval/scale_tensor.ts";

// What a caller in plain JavaScript may give.
// deno-lint-ignore no-explicit-any
type Given = Record<string, any>;

/** One function, what it is called with, and what of that may be wrong in which ways. */
interface Entry {
  readonly name: string;
  /** Exports of `mod.ts` that it calls. Default: the name. */
  readonly covers?: readonly string[];
  /** Arguments that work, so that what is refused is refused for its fault. */
  readonly good: Given;
  /** Arguments by name, each with values that must be refused. */
  readonly bad: Record<string, readonly unknown[]>;
  readonly call: (given: Given) => unknown;
  /** It needs no device. Default false. */
  readonly pure?: boolean;
}

// Kinds of bad values.
const NO_RECORD = [null, 7, "q", true];
const NO_COUNT = [0, -1, 1.5, NaN, Infinity, -Infinity, "4", null, true, {}, [2], 2n, 2 ** 53];
const NO_INDEX = [-1, 0.5, NaN, Infinity, "0", null, {}, 2 ** 31];
const NO_WORD32 = [-1, 0.5, NaN, Infinity, "0", null, {}, 2 ** 32];
const NO_QUANTITY = [0, -1, NaN, -Infinity, "1", null, {}];
const NO_DTYPE = ["f64", "F16", "bf16", "", null, 16, {}, ["f16"]];
const NO_WORD = ["sideways", "", null, 3, {}];
const NO_NUMBERS = [null, 7, "abc", {}, { length: 1.5 }, { length: -1 }];

/** Elements that are numbers, but too few or too many, or not all of them numbers. */
function badElements(count: number): unknown[] {
  return [
    ...NO_NUMBERS,
    new Float32Array(count - 1),
    new Float32Array(count + 1),
    new Float32Array(0),
    [...Array(count - 1).fill(0), "1"],
    [...Array(count - 1).fill(0), undefined],
    new BigInt64Array(count),
  ];
}

type Shape = { heads: number; rows: number; dim: number; dtype: DType };

/** What the entries are made of: tensors of a device, good ones and all sorts of bad ones. */
class World {
  constructor(readonly gpu: Gpu, readonly other: Gpu) {}

  async tensor(shape: Shape, options: { headsPerBlock?: number; gpu?: Gpu } = {}) {
    const gpu = options.gpu ?? this.gpu;
    const tensor = await kernels.createTensor(gpu, shape, { ...options, label: "given" });
    await kernels.fillSeeded(gpu, tensor, 5);
    return tensor;
  }

  /** Tensors that a layer of a shape cannot take, beside others in one block. */
  async badTensors(shape: Shape): Promise<unknown[]> {
    const destroyed = await this.tensor(shape);
    destroyed.destroy();
    const other = (change: Partial<Shape>) => this.tensor({ ...shape, ...change });
    return [
      ...NO_RECORD,
      {},
      [],
      { ...destroyed, blocks: [] },
      destroyed,
      await this.tensor(shape, { gpu: this.other }),
      await this.tensor(shape, { headsPerBlock: 1 }),
      await other({ heads: shape.heads + 1 }),
      await other({ heads: 1 }),
      await other({ rows: shape.rows + 1 }),
      await other({ dim: shape.dim * 2 }),
      await other({ dtype: shape.dtype === "f32" ? "f16" : "f32" }),
    ];
  }

  /** Tensors that a function on any tensor cannot take. */
  async noTensors(): Promise<unknown[]> {
    const shape = { heads: 1, rows: 4, dim: 8, dtype: "f32" } as const;
    const destroyed = await this.tensor(shape);
    destroyed.destroy();
    const good = await this.tensor(shape);
    return [
      ...NO_RECORD,
      undefined,
      {},
      { ...good, blocks: [] },
      { ...good, rows: 1.5 },
      { ...good, dtype: "f64" },
      destroyed,
      await this.tensor(shape, { gpu: this.other }),
    ];
  }

  async slice(bytes: number, gpu = this.gpu): Promise<BufferSlice> {
    return kernels.slice(await kernels.createStorageBuffer(gpu, bytes, { label: "given" }));
  }

  /** Slices that a kernel which needs so many bytes cannot bind. */
  async badSlices(bytes: number): Promise<unknown[]> {
    const destroyed = await this.slice(bytes);
    destroyed.buffer.destroy();
    const good = await this.slice(bytes);
    return [
      ...NO_RECORD,
      undefined,
      {},
      destroyed,
      await this.slice(bytes, this.other),
      { ...good, size: bytes - 4 },
      { ...good, size: bytes + 4096 },
      { ...good, offset: 4 },
      { ...good, offset: -4 },
      { ...good, size: NaN },
    ];
  }
}

const LIGHTHOUSE = { levels: 2, pooling: 2, k: 128 };
/** The same with another name for k, which is that of the keys too. */
const GOOD_LIGHTHOUSE = { levels: 2, pooling: 2, budget: 128 };
const BAD_LIGHTHOUSE = {
  levels: [...NO_COUNT, 1, 17],
  pooling: [...NO_COUNT, 1, 3],
  budget: [...NO_COUNT, 100, 128 * 1024],
};

function denseShape(heads: number, rows: number, dtype: DType): Shape {
  return { heads, rows, dim: 32, dtype };
}

async function attentionEntries(world: World, shape: Shape): Promise<Entry[]> {
  const { gpu } = world;
  const numbers = ({ heads, rows, dim, dtype }: Shape) => {
    const data = Array.from({ length: heads * rows * dim }, (_, i) => Math.sin(i));
    return dtype === "f16" ? Float16Array.from(data) : Float32Array.from(data);
  };
  const wide = { heads: 1, rows: 256, dim: 32, dtype: shape.dtype };
  const entry = (name: "denseAttention" | "lighthouseAttention", of: Shape, more: Given): Entry => {
    const count = of.heads * of.rows * of.dim;
    const mixed = numbers({ ...of, dtype: of.dtype === "f16" ? "f32" : "f16" });
    const elements = [...badElements(count), mixed];
    const data = numbers(of);
    const inputs = { q: data, k: data, v: data, outputGradient: data };
    return {
      name,
      good: { ...inputs, heads: of.heads, headDim: of.dim, ...more },
      bad: {
        q: [...elements, undefined],
        k: [...elements, undefined],
        v: [...elements, undefined],
        outputGradient: elements,
        heads: NO_COUNT.filter((value) => value !== null),
        headDim: [...NO_COUNT.filter((value) => value !== null), 24],
        dtype: NO_DTYPE.filter((value) => value !== null),
        flopsPerSecond: NO_QUANTITY,
        ...name === "lighthouseAttention" && {
          ...BAD_LIGHTHOUSE,
          scorer: NO_WORD,
          gates: badElements(of.heads * of.rows),
          dilation: [...NO_COUNT, 3].filter((value) => value !== null),
        },
      },
      call: ({ q, k, v, outputGradient, budget, ...options }) =>
        name === "denseAttention"
          ? kernels.denseAttention(gpu, { q, k, v, outputGradient }, options)
          : kernels.lighthouseAttention(
            gpu,
            { q, k, v, outputGradient },
            { ...options, k: budget },
          ),
    };
  };
  const tensors = async (of: Shape) => ({
    q: await world.tensor(of),
    k: await world.tensor(of),
    v: await world.tensor(of),
    outputGradient: await world.tensor(of),
  });
  const bad = await world.badTensors(shape);
  return [
    entry("denseAttention", shape, {}),
    entry("lighthouseAttention", wide, { ...GOOD_LIGHTHOUSE, scorer: "gla" }),
    {
      name: "denseAttention",
      good: await tensors(shape),
      bad: { q: bad, k: bad, v: bad, outputGradient: bad },
      call: (inputs) => kernels.denseAttention(gpu, inputs as kernels.AttentionGradientInputs),
    },
  ];
}

async function implementationEntries(world: World, shape: Shape): Promise<Entry[]> {
  const { gpu } = world;
  const wide = { heads: 2, rows: 256, dim: 32, dtype: shape.dtype };
  const problemOf = (given: Given): Problem => {
    const { heads, context, headDim, dtype, direction, levels, pooling, budget: k } = given;
    return {
      shape: { heads, context, headDim, dtype },
      direction,
      options: "levels" in given ? { levels, pooling, k } : undefined,
    };
  };
  const entries: Entry[] = [];
  for (const implementation of IMPLEMENTATIONS) {
    const lighthouse = implementation.family === "lighthouse";
    const of = lighthouse ? wide : shape;
    const { name, directions } = implementation;
    const exported = Object.entries(kernels).filter(([, value]) =>
      (value as { name?: unknown }).name === name
    ).map(([name]) => name);
    const { heads, rows, dim, dtype } = of;
    const layer = {
      heads,
      context: rows,
      headDim: dim,
      dtype,
      direction: directions[directions.length - 1],
      ...lighthouse && GOOD_LIGHTHOUSE,
    };
    const bad = {
      heads: NO_COUNT,
      context: NO_COUNT,
      headDim: [...NO_COUNT, 24, 512],
      dtype: NO_DTYPE,
      direction: NO_WORD,
      ...lighthouse && BAD_LIGHTHOUSE,
    };
    const tensors = await world.badTensors(of);
    entries.push({
      name,
      covers: exported,
      good: layer,
      bad,
      call: (given) => implementation.plan(gpu, problemOf(given)),
      pure: true,
    }, {
      name: `${name} compile`,
      covers: [],
      good: layer,
      bad,
      call: async (given) => await implementation.compile?.(gpu, problemOf(given)),
    }, {
      name,
      covers: [...exported, "lighthouseImplementation"],
      good: {
        ...layer,
        q: await world.tensor(of),
        k: await world.tensor(of),
        v: await world.tensor(of),
        outputGradient: await world.tensor(of),
        flopsPerDispatch: 1e12,
      },
      bad: {
        ...bad,
        heads: [...NO_COUNT, heads + 1],
        context: [...NO_COUNT, 2 * rows],
        headDim: [...NO_COUNT, 24, 64, 512],
        dtype: [...NO_DTYPE, dtype === "f32" ? "f16" : "f32"],
        q: [...tensors, undefined],
        k: [...tensors, undefined],
        v: [...tensors, undefined],
        ...directions.length > 1 && { outputGradient: [...tensors, undefined] },
        flopsPerDispatch: NO_QUANTITY,
      },
      call: async ({ q, k, v, outputGradient, flopsPerDispatch, ...given }) => {
        const inputs = { q, k, v, outputGradient };
        const prepared = await implementation.prepare(gpu, problemOf(given), {
          inputs,
          flopsPerDispatch,
        });
        prepared.destroy();
      },
    });
  }
  const inputs = {
    q: await world.tensor(wide),
    k: await world.tensor(wide),
    v: await world.tensor(wide),
  };
  const bad = await world.badTensors(wide);
  const shapes = {
    heads: [...NO_COUNT, 3],
    context: [...NO_COUNT, 512],
    headDim: [...NO_COUNT, 64],
    dtype: NO_DTYPE,
  };
  const layer = { heads: 2, context: 256, headDim: 32, dtype: wide.dtype };
  const tensors = { q: [...bad, undefined], k: [...bad, undefined], v: [...bad, undefined] };
  entries.push({
    name: "createContextParallel",
    covers: [],
    good: {
      ...layer,
      ...inputs,
      ...GOOD_LIGHTHOUSE,
      shards: 1,
      partition: "contiguous",
      flopsPerDispatch: 1e12,
    },
    bad: {
      ...shapes,
      ...tensors,
      ...BAD_LIGHTHOUSE,
      shards: [...NO_COUNT, 3],
      partition: NO_WORD,
      flopsPerDispatch: NO_QUANTITY,
    },
    call: async ({ q, k, v, shards, partition, flopsPerDispatch, ...given }) => {
      const { levels, pooling, budget, heads, context, headDim, dtype } = given;
      const made = await createContextParallel(gpu, {
        shape: { heads, context, headDim, dtype },
        options: { levels, pooling, k: budget },
      }, {
        inputs: { q, k, v },
        scorer: kernels.normScorer,
        sharding: { shards, partition },
        flopsPerDispatch,
      });
      made.destroy();
    },
  }, {
    name: "createLighthouseRows",
    covers: [],
    good: { ...layer, ...inputs },
    bad: { ...shapes, ...tensors },
    call: ({ q, k, v, ...shape }) =>
      createLighthouseRows(gpu, { shape: shape as Problem["shape"], q, k, v }).destroy(),
  }, {
    name: "planContextParallel",
    covers: [],
    pure: true,
    good: { context: 1024, ...LIGHTHOUSE, shards: 1, partition: "head-tail", budget: 256 },
    bad: {
      context: [...NO_COUNT, 1025],
      ...BAD_LIGHTHOUSE,
      shards: [...NO_COUNT, 3],
      partition: NO_WORD,
    },
    call: ({ context, shards, partition, levels, pooling, budget: k }) =>
      planContextParallel(context, { levels, pooling, k }, { shards, partition }),
  });
  return entries;
}

async function kernelEntries(world: World, shape: Shape): Promise<Entry[]> {
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

async function deviceEntries(world: World): Promise<Entry[]> {
  const { gpu } = world;
  const shape = { heads: 2, rows: 3, dim: 5, dtype: "f16" } as const;
  const tensor = await world.tensor(shape);
  const even = await world.tensor({ ...shape, dim: 4 });
  const none = await world.noTensors();
  const odd = await world.tensor({ heads: 1, rows: 3, dim: 1, dtype: "f16" });
  const slice = await world.slice(64);
  const pipeline = await kernels.createPipeline(gpu, {
    label: "nothing",
    code: `
      @group(0) @binding(0) var<storage, read_write> data: array<u32>;
      @compute @workgroup_size(1) fn main() { data[0] = 1u; }`,
    bindings: ["read-write"],
  });
  const dispatch = kernels.bindDispatch(gpu, pipeline, { slices: [slice], workgroups: [1, 1, 1] });
  const words = new Uint32Array(4);
  const badPlaces = { offset: [-4, 2, NaN, 68, "0", null], size: [-4, 2, NaN, 128, "4", null] };
  const gone = await world.slice(64);
  gone.buffer.destroy();
  const buffers = [
    ...NO_RECORD,
    undefined,
    gone.buffer,
    (await world.slice(64, world.other)).buffer,
  ];
  return [
    {
      name: "createTensor",
      good: { ...shape, headsPerBlock: 1 },
      bad: {
        heads: NO_COUNT,
        rows: NO_COUNT,
        dim: NO_COUNT,
        dtype: NO_DTYPE,
        headsPerBlock: NO_COUNT,
      },
      call: async ({ headsPerBlock, ...shape }) =>
        (await kernels.createTensor(gpu, shape as Shape, { headsPerBlock })).destroy(),
    },
    {
      name: "createStorageBuffer",
      good: { bytes: 16 },
      bad: { bytes: [-1, 1.5, NaN, Infinity, "16", null, {}] },
      call: async ({ bytes }) => (await kernels.createStorageBuffer(gpu, bytes)).destroy(),
    },
    {
      name: "bytesPerElement",
      good: { dtype: "f16" },
      bad: { dtype: NO_DTYPE },
      call: ({ dtype }) => kernels.bytesPerElement(dtype),
      pure: true,
    },
    {
      name: "bytesPerHead",
      covers: ["bytesPerHead", "headsPerBlock"],
      good: shape,
      bad: { heads: NO_COUNT, rows: NO_COUNT, dim: NO_COUNT, dtype: NO_DTYPE },
      call: (given) => {
        // Either alone must refuse.
        let refusals = 0;
        for (
          const call of [
            () => kernels.bytesPerHead(given as Shape),
            () => kernels.headsPerBlock(gpu, [shape, given as Shape]),
          ]
        ) {
          try {
            call();
          } catch (error) {
            refusals++;
            if (refusals === 2) throw error;
          }
        }
        assert.equal(refusals, 0);
      },
      pure: true,
    },
    {
      name: "createUniform",
      good: { words: [1, 2] },
      bad: { words: [[1.5], [-1], [NaN], [2 ** 32], ["1"], [undefined]] },
      call: ({ words }) => kernels.createUniform(gpu, words),
    },
    {
      name: "packUniform",
      good: { rows: 7, scale: 0.5 },
      bad: { rows: [...NO_WORD32, undefined], scale: [NaN, "1", null, {}, undefined] },
      call: ({ rows, scale }) =>
        kernels.packUniform({ rows: "u32", scale: "f32" }, { rows, scale }),
      pure: true,
    },
    {
      name: "createParams",
      good: { rows: 7 },
      bad: { rows: [...NO_WORD32, undefined] },
      call: ({ rows }) => kernels.createParams(gpu, { rows: "u32" }, { rows }),
    },
    {
      name: "createPipeline",
      good: { source: pipeline.source },
      bad: {
        source: [
          ...NO_RECORD,
          undefined,
          { ...pipeline.source, code: 7 },
          { ...pipeline.source, bindings: ["write"] },
          { ...pipeline.source, bindings: undefined },
          { ...pipeline.source, code: "fn main(" },
          { ...pipeline.source, entryPoint: "other" },
          { ...pipeline.source, constants: { missing: 1 } },
        ],
      },
      call: ({ source }) => kernels.createPipeline(gpu, source),
    },
    {
      name: "bindDispatch",
      covers: ["bindDispatch", "slice", "floatBits"],
      good: { slices: [slice], x: 1 },
      bad: {
        slices: [
          [],
          [slice, slice],
          ...(await world.badSlices(64)).filter((part) => (part as BufferSlice)?.size !== 60)
            .map((part) => [part]),
        ],
        x: [-1, 1.5, NaN, Infinity, "1", 2 ** 17],
      },
      call: ({ slices, x }) =>
        kernels.bindDispatch(gpu, pipeline, { slices, workgroups: [x, 1, 1] }),
    },
    {
      name: "runDispatches",
      covers: ["runDispatches", "encodeDispatches"],
      good: { dispatches: [dispatch] },
      bad: {},
      call: ({ dispatches }) => kernels.runDispatches(gpu, "nothing", dispatches),
    },
    {
      name: "Timer",
      good: { flopsPerSecond: 1e12, maxSubmissionSeconds: 1 },
      bad: { flopsPerSecond: NO_QUANTITY, maxSubmissionSeconds: NO_QUANTITY },
      call: async (options) => {
        const timer = new kernels.Timer(gpu);
        await timer.run([{ name: "nothing", dispatches: [dispatch] }], options);
        timer.destroy();
      },
    },
    {
      name: "readBuffer",
      good: { ...slice },
      bad: { ...badPlaces, buffer: buffers },
      call: (slice) => kernels.readBuffer(gpu, slice as BufferSlice),
    },
    {
      name: "writeBuffer",
      good: { ...slice, data: words },
      bad: {
        ...badPlaces,
        buffer: buffers,
        data: [...NO_RECORD, undefined, {}, [1], new Uint8Array(3), new Uint32Array(64)],
      },
      call: ({ data, ...slice }) => kernels.writeBuffer(gpu, slice as BufferSlice, data),
    },
    {
      name: "readTensor",
      good: { tensor },
      bad: { tensor: none },
      call: ({ tensor }) => kernels.readTensor(gpu, tensor),
    },
    {
      name: "readRows",
      good: { tensor, head: 1, first: 1, count: 2 },
      bad: {
        tensor: none,
        head: [...NO_INDEX, 2],
        first: [...NO_INDEX, 3],
        count: [...NO_INDEX, 3],
      },
      call: ({ tensor, ...range }) => kernels.readRows(gpu, tensor, range as never),
    },
    {
      name: "writeTensor",
      good: { tensor, data: new Float32Array(30) },
      bad: { tensor: none, data: badElements(30) },
      call: ({ tensor, data }) => kernels.writeTensor(gpu, tensor, data),
    },
    {
      name: "fillSeeded",
      good: { tensor, seed: 1 },
      bad: { tensor: none, seed: [0.5, NaN, Infinity, "1", null, {}] },
      call: ({ tensor, seed }) => kernels.fillSeeded(gpu, tensor, seed),
    },
    {
      name: "perturbTensor",
      covers: [],
      good: { tensor },
      bad: { tensor: none },
      call: ({ tensor }) => perturbTensor(gpu, tensor, { seed: 1, deviation: 0.1 }),
    },
    {
      name: "scaleTensor",
      covers: [],
      good: { tensor, factor: 2 },
      bad: { tensor: none, factor: [0, 3, NaN, Infinity, "2x"] },
      call: ({ tensor, factor }) => scaleTensor(gpu, tensor, factor),
    },
    {
      name: "inspectTensor",
      covers: ["inspectTensor", "requireFinite"],
      good: { tensor: even },
      bad: { tensor: [...none, odd] },
      call: async ({ tensor }) => {
        await assert.rejects(kernels.requireFinite(gpu, [tensor]), Error).catch(() => {});
        return kernels.inspectTensor(gpu, tensor);
      },
    },
    {
      name: "inspectSlices",
      good: { slice, kind: "integer" },
      bad: { slice: [{ ...slice, size: 6 }, { ...slice, offset: 12 }], kind: NO_WORD },
      call: ({ slice, kind }) => kernels.inspectSlices(gpu, [slice], kind),
    },
    {
      name: "seededRows",
      good: { seed: 1, head: 0, heads: 1, first: 0, count: 1, dim: 4, dtype: "f32" },
      bad: {
        seed: [0.5, NaN, "1", null],
        head: [...NO_INDEX, 1],
        heads: NO_COUNT,
        first: NO_INDEX.filter((value) => value !== 2 ** 31),
        count: NO_INDEX.filter((value) => value !== 2 ** 31),
        dim: NO_COUNT,
        dtype: NO_DTYPE,
      },
      call: ({ seed, ...options }) => kernels.seededRows(seed, options as never),
      pure: true,
    },
    {
      name: "openDevice",
      good: {},
      bad: { stack: ["cuda", "", 3, null].filter((value) => value !== null) },
      call: async (options) => (await kernels.openDevice(options)).destroy(),
      pure: true,
    },
    {
      name: "digestSelection",
      covers: ["digestSelection", "digestWords"],
      good: { selection: new Int32Array(3), words },
      bad: { selection: [...NO_NUMBERS, [1], undefined], words: [...NO_NUMBERS, [1], undefined] },
      call: async ({ selection, words }) => {
        kernels.digestWords(words);
        await kernels.digestSelection(selection);
      },
      pure: true,
    },
    {
      name: "withTuning",
      good: { tuning: [] },
      bad: { tuning: [null, 3, "x", {}] },
      call: ({ tuning }) => kernels.withTuning(DESK, tuning),
      pure: true,
    },
  ];
}

function referenceEntries(): Entry[] {
  const geometry = kernels.planGeometry(256, LIGHTHOUSE);
  const headDim = 4;
  const rows = Float32Array.from({ length: 256 * headDim }, (_, i) => Math.cos(i));
  const scores = new Float32Array(geometry.entries);
  const selection = kernels.selectReference(scores, scores, geometry);
  const few = rows.subarray(0, 6 * headDim);
  const bad = [...badElements(6 * headDim), undefined];
  const whole = [...badElements(256 * headDim), undefined];
  const dims = NO_COUNT;
  const badScores = badElements(geometry.entries);
  const badSelection = [
    ...NO_NUMBERS,
    new Int32Array(0),
    selection.map(() => -1),
    selection.map(() => geometry.entries),
  ];
  const entry = (name: string, good: Given, bad: Entry["bad"], call: Entry["call"]): Entry => ({
    name,
    good,
    bad,
    call,
    pure: true,
  });
  const types = { dtype: NO_DTYPE, weights: NO_DTYPE };
  const head = { q: few, k: few, v: few, headDim };
  const layer = { q: rows, k: rows, v: rows, headDim };
  return [
    entry(
      "denseAttentionReference",
      { ...head, dtype: "f32", weights: "f32" },
      { q: bad, k: bad, v: bad, headDim: dims, scale: NO_QUANTITY, ...types },
      ({ dtype, weights, ...inputs }) =>
        kernels.denseAttentionReference(inputs as never, { dtype, weights }),
    ),
    entry(
      "denseAttentionRow",
      { ...head, row: 2, dtype: "f32", weights: "f32" },
      {
        q: NO_NUMBERS,
        k: bad,
        v: bad,
        headDim: dims,
        row: [...NO_INDEX, 6],
        scale: NO_QUANTITY,
        ...types,
      },
      ({ row, dtype, weights, ...inputs }) =>
        kernels.denseAttentionRow(inputs as never, row, { dtype, weights }),
    ),
    entry(
      "denseBackwardReference",
      { ...head, outputGradient: few, dtype: "f32", weights: "f32" },
      {
        q: bad,
        k: bad,
        v: bad,
        outputGradient: bad,
        headDim: dims,
        scale: NO_QUANTITY,
        ...types,
      },
      ({ dtype, weights, ...inputs }) =>
        kernels.denseBackwardReference(inputs as never, { dtype, weights }),
    ),
    entry(
      "lighthouseReference",
      { ...layer, selection },
      { q: whole, k: whole, v: whole, headDim: dims, selection: badSelection },
      ({ q, k, v, ...options }) =>
        kernels.lighthouseReference({ q, k, v }, geometry, options as never),
    ),
    entry(
      "lighthouseBackwardReference",
      { ...layer, outputGradient: rows, selection, dtype: "f32" },
      {
        q: whole,
        k: whole,
        v: whole,
        outputGradient: whole,
        headDim: dims,
        selection: [...badSelection, undefined],
        dtype: NO_DTYPE.filter((value) => value !== null),
      },
      ({ q, k, v, outputGradient, ...options }) =>
        kernels.lighthouseBackwardReference(
          { q, k, v, outputGradient },
          geometry,
          options as never,
        ),
    ),
    entry(
      "selectReference",
      { queryScores: scores, keyScores: scores },
      { queryScores: [...badScores, undefined], keyScores: [...badScores, undefined] },
      ({ queryScores, keyScores }) => kernels.selectReference(queryScores, keyScores, geometry),
    ),
    entry(
      "maximaReference",
      { base: scores },
      { base: [...badScores, undefined] },
      ({ base }) => kernels.maximaReference(base, geometry),
    ),
    entry(
      "scatterReference",
      { gathered: new Float32Array(selection.length * headDim), selection },
      {
        gathered: [...NO_NUMBERS, undefined, new Float32Array(1), new Float32Array(0)],
        selection: [...badSelection, undefined],
      },
      ({ gathered, selection }) => kernels.scatterReference(gathered, selection, geometry),
    ),
    entry(
      "glaScoresReference",
      { q: few, k: few, v: few, gates: new Float32Array(6), headDim, dilation: 2 },
      {
        q: bad,
        k: bad,
        v: bad,
        gates: [...badElements(6), undefined],
        headDim: dims,
        dilation: NO_COUNT,
      },
      ({ headDim, dilation, ...tensors }) =>
        kernels.glaScoresReference(tensors as never, { headDim, dilation }),
    ),
    entry(
      "worstRatio",
      { got: few, want: few, tolerance: few },
      { got: bad, want: bad, tolerance: bad },
      ({ got, want, tolerance }) => kernels.worstRatio(got, want, tolerance),
    ),
  ];
}

async function allEntries(world: World, shape: Shape): Promise<Entry[]> {
  return [
    ...await attentionEntries(world, shape),
    ...await implementationEntries(world, shape),
    ...await kernelEntries(world, shape),
    ...await deviceEntries(world),
    ...referenceEntries(),
  ];
}

/** Refused in words of ours: the action first, one line, and no fault of the program behind it. */
function requireClear(error: unknown, what: string): void {
  assert.ok(error instanceof Error, `${what}: ${error}`);
  const { name, message } = error;
  const names = ["RangeError", "TypeError", "ShaderError"];
  assert.ok(names.includes(name), `${what}: ${name}: ${message}`);
  // The source of a shader's error is on a second line, which callers print with it.
  const first = name === "ShaderError" ? message.split("\n", 1)[0] : message;
  assert.match(first, /^[a-z][\w ,='().-]*: \S.*$/i, `${what}: ${message}`);
  assert.doesNotMatch(
    first,
    /Cannot|undefined \(|is not a function|not iterable|validation error|is not defined/,
    `${what}: ${message}`,
  );
}

function showGiven(name: string, value: unknown): string {
  const plain = (_: string, part: unknown) => typeof part === "bigint" ? `${part}n` : part;
  const text = typeof value === "number" ? `${value}` : JSON.stringify(value, plain);
  return `${name} = ${text?.slice(0, 80)}`;
}

Deno.test("every public function of the kernels is in the table of bad layers", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const entries = await allEntries(world, denseShape(2, 20, "f32"));
  const covered = new Set(entries.flatMap(({ name, covers }) => covers ?? [name]));
  // Arithmetic on 32-bit numbers, which has no wrong arguments that a kernel would not have; a reading
  // of a clock; and the check of options itself, which layers go through.
  const exempt = ["pcg", "pcgSum4", "compileSeconds", "requireOptions"];
  const functions = Object.entries(kernels).filter(([name, value]) =>
    typeof value === "function" && !name.endsWith("Error") ||
    typeof value === "object" && "prepare" in (value as object)
  ).map(([name]) => name);
  const missing = functions.filter((name) => !covered.has(name) && !exempt.includes(name));
  assert.deepEqual(missing, []);
  world.gpu.destroy();
  world.other.destroy();
});

Deno.test("each bad argument of each public function is refused in one clear line", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const unclear: string[] = [];
  for (const shape of [denseShape(2, 20, "f32"), denseShape(3, 33, "f16")]) {
    for (const { name, good, bad, call } of await allEntries(world, shape)) {
      await call(good);
      for (const [argument, values] of Object.entries(bad)) {
        for (const value of values) {
          const what = `${name} with ${showGiven(argument, value)}`;
          let told: unknown = "nothing was refused";
          try {
            await call({ ...good, [argument]: value });
          } catch (error) {
            told = error;
          }
          try {
            requireClear(told, what);
          } catch (error) {
            unclear.push((error as Error).message.split("\n", 1)[0]);
          }
        }
      }
    }
  }
  assert.deepEqual(unclear, []);
  world.gpu.destroy();
  world.other.destroy();
});

Deno.test("whatever is wrong together, and on layers of any size, is refused too", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const tables = new Map<string, Entry[]>();
  const layer = fc.record({
    heads: fc.integer({ min: 1, max: 3 }),
    rows: fc.integer({ min: 2, max: 40 }),
    dtype: fc.constantFrom<DType>("f16", "f32"),
  });
  await fc.assert(
    fc.asyncProperty(
      layer,
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 4 }),
      async ({ heads, rows, dtype }, which, faults) => {
        // Few sizes, each with many faults: a table of them takes a while to make.
        const key = `${heads} ${rows % 4} ${dtype}`;
        if (!tables.has(key)) {
          tables.set(key, await allEntries(world, denseShape(heads, 17 * (rows % 4 + 1), dtype)));
        }
        const entries = tables.get(key)!.filter(({ bad }) => Object.keys(bad).length > 0);
        const { name, good, bad, call } = entries[which % entries.length];
        const given = { ...good };
        const told: string[] = [];
        for (const [argument, value] of faults) {
          const names = Object.keys(bad);
          const chosen = names[argument % names.length];
          given[chosen] = bad[chosen][value % bad[chosen].length];
          told.push(showGiven(chosen, given[chosen]));
        }
        let error: unknown = "nothing was refused";
        try {
          await call(given);
        } catch (thrown) {
          error = thrown;
        }
        requireClear(error, `${name} with ${told.join(", ")}`);
      },
    ),
    { numRuns: 600, seed: 20261130 },
  );
  world.gpu.destroy();
  world.other.destroy();
});

Deno.test("after destroy every public function that needs a device throws DeviceLostError", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const world = new World(gpu, (await testGpu(t))!);
  const entries = await allEntries(world, denseShape(2, 20, "f32"));
  const shape = { heads: 2, context: 20, headDim: 32, dtype: "f32" } as const;
  const inputs = { q: 1, k: 2, v: 3, outputGradient: 4 } as unknown as Record<string, Tensor>;
  for (const name of Object.keys(inputs)) {
    inputs[name] = await world.tensor(denseShape(2, 20, "f32"));
  }
  const layers = [];
  for (const direction of ["forward", "backward", "forward-backward"] as const) {
    const given = { inputs: inputs as never };
    layers.push(await kernels.dense.prepare(gpu, { shape, direction }, given));
  }
  gpu.destroy();
  assert.equal(gpu.lost(), "the device was destroyed");
  for (const { name, good, call, pure } of entries) {
    if (pure) {
      await call(good);
      continue;
    }
    // Some throw on the spot, which is a rejection here.
    await assert.rejects(async () => await call(good), (error) => {
      assert.ok(error instanceof kernels.DeviceLostError, `${name}: ${error}`);
      assert.match(error.message, /^[a-z].*: the device was destroyed$/, name);
      return true;
    });
  }
  for (const layer of layers) {
    await assert.rejects(layer.execute(), kernels.DeviceLostError);
    layer.destroy();
  }
  world.other.destroy();
});
