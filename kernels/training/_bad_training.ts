/**
 * Entries of the table of bad arguments (`kernels/refusals_test.ts`) for the public functions of
 * training.
 *
 * @module
 */
import { DESK } from "../gpu/_desk_device.ts";
import type { BufferSlice } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import * as kernels from "../mod.ts";
import { tinyWeights } from "./model/_tiny_model.ts";

// What a caller in plain JavaScript may give.
// deno-lint-ignore no-explicit-any
type Given = Record<string, any>;

/** One function, arguments that work, and values of each that must be refused. */
interface Entry {
  readonly name: string;
  readonly covers?: readonly string[];
  readonly good: Given;
  readonly bad: Record<string, readonly unknown[]>;
  readonly call: (given: Given) => unknown;
  readonly pure?: boolean;
}

/** What slices are made with. */
interface World {
  readonly gpu: Gpu;
  readonly slice: (bytes: number) => Promise<BufferSlice>;
  readonly badSlices: (bytes: number) => Promise<unknown[]>;
}

const NO_RECORD = [null, 7, "q", true];
const NO_COUNT = [0, -1, 1.5, NaN, Infinity, "4", null, {}, 2n];
const NO_WORD = ["sideways", "", null, 3, {}];
const NO_QUANTITY = [0, -1, NaN, "1", null, {}];
const NO_DTYPE = ["f64", "", null, 16, {}];

/** The smallest model. */
const SMALLEST = {
  layers: 1,
  width: 32,
  heads: 1,
  ffn: 8,
  vocabulary: 8,
  context: 8,
  batch: 1,
  accumulate: 1,
  dtype: "f32",
} as const;

const BAD_MODEL = {
  layers: NO_COUNT,
  width: [...NO_COUNT, 33],
  heads: [...NO_COUNT, 3],
  ffn: [...NO_COUNT, 12],
  vocabulary: [...NO_COUNT, 12],
  context: [...NO_COUNT, 2 ** 40],
  batch: NO_COUNT,
  accumulate: NO_COUNT,
  dtype: NO_DTYPE,
  recompute: NO_WORD,
  attention: [
    ...NO_RECORD,
    {},
    { kind: "sparse" },
    [],
    { kind: "lighthouse", scorer: "norm", options: { levels: 3 } },
    { kind: "lighthouse", scorer: "best", options: { levels: 2, pooling: 2, k: 128 } },
    { kind: "lighthouse", scorer: "norm", options: { levels: 2, pooling: 2, k: 128 } },
  ],
  ropeTheta: NO_QUANTITY,
  ropeScaling: [7, "llama", {}, { factor: 8, lowFactor: 1, highFactor: 4, originalLength: 0 }],
  normEpsilon: NO_QUANTITY,
  chunkRows: [0, 1.5, "4", 7],
  optimizer: [...NO_RECORD, { learningRate: -1 }, { firstDecay: 1 }, { lossScale: 3 }],
  products: ["tensor", 3, {}],
  flopsPerDispatch: NO_QUANTITY,
};

function planEntries(): Entry[] {
  const product = {
    form: "NT",
    rows: 8,
    columns: 8,
    depth: 8,
    dtype: "f32",
    result: { kind: "store", dtype: "f32" },
  };
  const inner = { kind: "dense" } as const;
  const { batch: _, accumulate: __, ...rest } = SMALLEST;
  const tokens = Uint32Array.from({ length: 8 }, (_, i) => i);
  const weights = tinyWeights(rest);
  const fewer = new Map(weights);
  fewer.delete("head");
  return [
    {
      name: "planTraining",
      good: { ...SMALLEST, memoryBytes: 2 ** 30, corpusBytes: 100 },
      bad: { ...BAD_MODEL, memoryBytes: [...NO_QUANTITY, 4096], corpusBytes: [-1, 0.5, "1", null] },
      call: ({ memoryBytes, corpusBytes, ...model }) =>
        kernels.planTraining(DESK, model as kernels.ModelOptions, { memoryBytes, corpusBytes }),
      pure: true,
    },
    {
      name: "describeTrainingPlan",
      good: { plan: kernels.planTraining(DESK, SMALLEST) },
      bad: { plan: [...NO_RECORD, undefined] },
      call: ({ plan }) => kernels.describeTrainingPlan(plan),
      pure: true,
    },
    {
      name: "paperModel",
      good: { options: { vocabulary: "bytes" } },
      bad: { options: [...NO_RECORD, undefined, {}, { vocabulary: "words" }] },
      call: ({ options }) => kernels.paperModel(options),
      pure: true,
    },
    {
      name: "endsDense",
      good: { layers: 4, inner, ends: 1 },
      bad: { layers: NO_COUNT, inner: [...NO_RECORD, undefined], ends: [-1, 0.5, "1", null] },
      call: ({ layers, inner, ends }) => kernels.endsDense(layers, inner, { ends }),
      pure: true,
    },
    {
      name: "planProduct",
      good: product,
      bad: {
        form: NO_WORD,
        rows: NO_COUNT,
        columns: [...NO_COUNT, 9],
        depth: [...NO_COUNT, 9],
        dtype: NO_DTYPE,
        result: [...NO_RECORD, {}, { kind: "store" }, { kind: "relu" }, { kind: "rope" }],
        leftHeads: [...NO_RECORD, {}],
        rightHeads: [...NO_RECORD, {}],
        kernel: NO_WORD,
        tiling: [...NO_RECORD, {}, { rows: 8, columns: 8, depth: 3, threadsY: 2 }],
        matrixTiling: [
          ...NO_RECORD,
          {},
          { rows: 8, columns: 8, depth: 16, subgroupsY: 1, subgroupsX: 1 },
        ],
        slices: [0, 65536, 1.5, "1", null],
      },
      call: (given) => kernels.planProduct(DESK, given as kernels.ProductOptions),
      pure: true,
    },
    {
      name: "blobSource",
      good: { blob: new Blob([]) },
      bad: { blob: [...NO_RECORD, undefined, {}] },
      call: ({ blob }) => kernels.blobSource(blob),
      pure: true,
    },
    {
      name: "modelReference",
      good: { model: rest, weights, batch: { tokens, targets: tokens } },
      bad: {
        model: [...NO_RECORD, undefined, {}, { ...rest, width: 40 }],
        weights: [...NO_RECORD, undefined, {}, new Map(), fewer],
        batch: [
          ...NO_RECORD,
          undefined,
          {},
          { tokens, targets: tokens.subarray(1) },
          { tokens: tokens.map((token) => token + 1), targets: tokens },
        ],
      },
      call: ({ model, weights, batch }) => kernels.modelReference(model, weights, batch),
      pure: true,
    },
  ];
}

/** A model of each device, made once. */
const models = new WeakMap<Gpu, Promise<kernels.TrainingModel>>();

async function deviceEntries(world: World): Promise<Entry[]> {
  const { gpu } = world;
  if (!models.has(gpu)) models.set(gpu, kernels.createTrainingModel(gpu, SMALLEST));
  const model = await models.get(gpu)!;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of kernels.saveCheckpoint(gpu, model)) pieces.push(piece);
  const file = new Blob(pieces);
  const plan = kernels.planProduct(gpu, {
    form: "NT",
    rows: 8,
    columns: 8,
    depth: 16,
    dtype: "f32",
    result: { kind: "residual" },
  });
  const drain = async (given: Given) => {
    for await (const _ of kernels.saveCheckpoint(gpu, given.model, given.options)) continue;
  };
  return [
    {
      name: "createTrainingModel",
      good: { ...SMALLEST, seed: 1, sampler: { corpus: new Uint8Array(20) } },
      bad: {
        ...BAD_MODEL,
        seed: [-1, 0.5, NaN, "1", null, 2 ** 32],
        sampler: [
          ...NO_RECORD,
          {},
          { corpus: "text" },
          { corpus: new Uint8Array(8) },
          { corpus: new Uint8Array(20).fill(8) },
          { corpus: new Uint8Array(20), seed: -1 },
        ],
      },
      call: async ({ seed, sampler, ...options }) => {
        const made = await kernels.createTrainingModel(gpu, options as kernels.ModelOptions, {
          seed,
          sampler,
        });
        made.destroy();
      },
    },
    {
      name: "saveCheckpoint",
      good: { model, options: {} },
      bad: {
        model: [...NO_RECORD, undefined, {}],
        options: [{ metadata: 7 }, { metadata: { note: 7 } }, { metadata: { format: "mine" } }],
      },
      call: drain,
    },
    {
      name: "loadCheckpoint",
      good: { model, source: kernels.blobSource(file) },
      bad: {
        model: [...NO_RECORD, undefined, {}],
        source: [
          ...NO_RECORD,
          undefined,
          {},
          { size: -1, read: () => {} },
          kernels.blobSource(file.slice(0, 4)),
          kernels.blobSource(file.slice(0, 400)),
          kernels.blobSource(new Blob([file, "more"])),
        ],
      },
      call: ({ model, source }) => kernels.loadCheckpoint(gpu, model, source),
    },
    {
      name: "createProduct",
      good: {
        left: await world.slice(8 * 16 * 4),
        right: await world.slice(8 * 16 * 4),
        result: await world.slice(8 * 8 * 4),
        residual: await world.slice(8 * 8 * 4),
      },
      bad: {
        left: await world.badSlices(8 * 16 * 4),
        right: await world.badSlices(8 * 16 * 4),
        result: await world.badSlices(8 * 8 * 4),
        residual: await world.badSlices(8 * 8 * 4),
      },
      call: async (buffers) => {
        const product = await kernels.createProduct(gpu, plan);
        try {
          product.bind(buffers as kernels.ProductBuffers);
        } finally {
          product.destroy();
        }
      },
    },
  ];
}

/** The entries of all functions. */
export async function trainingEntries(world: World): Promise<Entry[]> {
  return [...planEntries(), ...await deviceEntries(world)];
}
