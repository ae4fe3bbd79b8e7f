/**
 * Bad arguments of functions on devices, buffers and tensors.
 *
 * @module
 */
import assert from "node:assert/strict";
import * as kernels from "./mod.ts";
import {
  badElements,
  type Entry,
  NO_COUNT,
  NO_DTYPE,
  NO_INDEX,
  NO_NUMBERS,
  NO_QUANTITY,
  NO_RECORD,
  NO_WORD,
  NO_WORD32,
  type Shape,
  type World,
} from "./_refusal_world.ts";
import { DESK } from "./gpu/_desk_device.ts";
import type { BufferSlice } from "./gpu/buffers.ts";
import { perturbTensor } from "./gpu/noise.ts";
import { scaleTensor } from "./retrieval/scale_tensor.ts";

export async function deviceEntries(world: World): Promise<Entry[]> {
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
        // Each alone must be refused.
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
