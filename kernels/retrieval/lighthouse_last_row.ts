/**
 * The last rows of Lighthouse layers: the layers' own scoring, pooling and selection over the whole
 * context, then attention only for the rows that reach the last position.
 *
 * Base row N - 1 gets a contribution from the last entry of each level that was selected
 * (specification, section 5); the layer's output there is their sum.
 *
 * Layers over the same inputs share pooled rows if L and p are equal, and scores if the scorer is
 * also equal. Only selection and the attention of the last row run for each layer.
 *
 * @module
 */
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  encodeDispatches,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { Timer } from "../gpu/timing.ts";
import type { AttentionShape, LayerOptions, LighthouseOptions } from "../implementation.ts";
import { requireLayerInputs } from "../layer_inputs.ts";
import {
  type LighthouseGeometry,
  planGeometry,
  requireLayerShape,
} from "../lighthouse/lighthouse_geometry.ts";
import { createPyramid, planPyramid } from "../lighthouse/passes/pyramid.ts";
import { normScorer } from "../lighthouse/scorers/norm/norm_scorer.ts";
import { findScorer } from "../lighthouse/scorers/scorers.ts";
import { createSelection, fastestSelection, planSelection } from "../lighthouse/passes/select.ts";
import { createLastRow, type LastRow, planLastRow } from "./last_row.ts";
import { Readback } from "./readback.ts";
import { type LayerRows, readLayer, takeSlots } from "./layer_rows.ts";

/** FLOP of one dispatch of a scorer: a quarter of a second on a device of 0.4 TFLOP/s. */
const DISPATCH_FLOPS = 1e11;

/**
 * Longest submission: display drivers reset a device that does not respond for about two seconds.
 */
const MAX_SUBMISSION_SECONDS = 0.25;

/** Pyramids kept at a time: each holds pooled rows and scores of all heads. */
const MAX_PYRAMIDS = 3;

/** The highest FLOP per second observed on a device; grows as work is timed. */
export interface Pace {
  flopsPerSecond: number;
}

/** Options of a layer, and the name of its scorer. */
export type LighthouseLayer = LighthouseOptions & { readonly scorer: string };

/** Computes last rows of Lighthouse layers over the same inputs. */
export interface LighthouseRows {
  /**
   * Submits layers, each up to its last row. `watched` are base rows of each head, `[heads][…]`,
   * the same number for all. Work submitted later may change the inputs: the results belong to the
   * inputs at the time of the call.
   *
   * @returns a function that waits for the results, one per layer.
   * @throws {RangeError} one line, when a layer cannot run the problem.
   */
  readonly start: (
    layers: readonly LighthouseLayer[],
    watched: readonly (readonly number[])[],
    options?: { signal?: AbortSignal },
  ) => Promise<() => Promise<LayerRows[]>>;
  readonly destroy: () => void;
}

/** Pooled rows and scores of all layers with one L and p. */
interface SharedPyramid {
  readonly geometry: LighthouseGeometry;
  readonly pooledQ: BufferSlice;
  readonly pooledK: BufferSlice;
  readonly pooledV: BufferSlice;
  /** Pools Q, K and V, and also writes norm scores. */
  readonly pool: readonly Dispatch[];
  readonly scores: Map<string, SharedScores>;
  readonly layers: Map<string, PreparedLayer>;
  readonly own: <T extends { destroy: () => void }>(thing: T) => T;
  readonly destroy: () => void;
}

interface SharedScores {
  readonly queryScores: BufferSlice;
  readonly keyScores: BufferSlice;
  readonly dispatches: readonly Dispatch[];
}

interface PreparedLayer {
  readonly geometry: LighthouseGeometry;
  readonly select: readonly Dispatch[];
  readonly attend: Dispatch;
  readonly lastRow: LastRow;
  readonly slots: BufferSlice;
}

/**
 * Last rows for inputs in one block.
 *
 * @throws {RangeError} one line, when no layer can run the inputs.
 */
export function createLighthouseRows(
  gpu: Gpu,
  inputs: { shape: AttentionShape; q: Tensor; k: Tensor; v: Tensor },
  options: { pace?: Pace } = {},
): LighthouseRows {
  const { shape } = inputs;
  requireLayerInputs(gpu, "prepare last rows", { problem: { shape }, inputs });
  requireLayerShape(shape);
  if (inputs.q.blocks.length !== 1) {
    throw new RangeError(
      `prepare last rows: inputs have ${inputs.q.blocks.length} blocks; 1 is needed`,
    );
  }
  const pace = options.pace ?? { flopsPerSecond: DISPATCH_FLOPS / MAX_SUBMISSION_SECONDS };
  const { heads, context, headDim, dtype } = shape;
  const size = { heads, headDim, dtype };
  const rowBytes = headDim * bytesPerElement(dtype);
  const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((tensor) => tensor.blocks[0].data);
  const timer = new Timer(gpu);
  const pyramids = new Map<string, SharedPyramid>();

  async function sharedPyramid({ levels, pooling, k: budget }: LighthouseOptions) {
    const key = `${levels} ${pooling}`;
    const known = pyramids.get(key);
    if (known) return known;
    if (pyramids.size >= MAX_PYRAMIDS) {
      const [[oldest, first]] = pyramids;
      first.destroy();
      pyramids.delete(oldest);
    }
    const geometry = planGeometry(context, { levels, pooling, k: budget });
    const { own, destroy } = collectOwned();
    try {
      const plain = own(
        await createPyramid(gpu, planPyramid(geometry, { ...size, scored: false })),
      );
      const scored = own(
        await createPyramid(gpu, planPyramid(geometry, { ...size, scored: true })),
      );
      const pooled = async (label: string) =>
        own(
          await createTensor(gpu, { heads, rows: geometry.pooledEntries, dim: headDim, dtype }, {
            label,
            headsPerBlock: heads,
          }),
        ).blocks[0].data;
      const [pooledQ, pooledK, pooledV] = [
        await pooled("pooled q"),
        await pooled("pooled k"),
        await pooled("pooled v"),
      ];
      const norms = {
        queryScores: await scoreWords(own, geometry),
        keyScores: await scoreWords(own, geometry),
        dispatches: [],
      };
      const made: SharedPyramid = {
        geometry,
        pooledQ,
        pooledK,
        pooledV,
        pool: [
          ...scored.bind({ rows: q, pooled: pooledQ, scores: norms.queryScores }),
          ...scored.bind({ rows: k, pooled: pooledK, scores: norms.keyScores }),
          ...plain.bind({ rows: v, pooled: pooledV }),
        ],
        scores: new Map([[JSON.stringify([normScorer.name]), norms]]),
        layers: new Map(),
        own,
        destroy,
      };
      pyramids.set(key, made);
      return made;
    } catch (error) {
      destroy();
      throw error;
    }
  }

  async function scoreWords(own: SharedPyramid["own"], { entries }: LighthouseGeometry) {
    return slice(own(await createStorageBuffer(gpu, heads * entries * 4, { label: "scores" })));
  }

  async function sharedScores(pyramid: SharedPyramid, layer: LighthouseLayer) {
    const scorer = findScorer(layer.scorer);
    const plain: LighthouseOptions = layer;
    const options: LayerOptions = plain;
    const values = scorer.options?.map(({ name }) => options[name] ?? null) ?? [];
    const key = JSON.stringify([scorer.name, ...values]);
    let scores = pyramid.scores.get(key);
    if (!scores) {
      const { geometry, own } = pyramid;
      const pass = scorer.pass!;
      const scoring = { shape, options: layer, geometry, headsPerBlock: heads };
      pass.plan(gpu, scoring);
      const created = own(
        await pass.create(gpu, scoring, { heads, flopsPerDispatch: DISPATCH_FLOPS }),
      );
      const queryScores = await scoreWords(own, geometry);
      const keyScores = await scoreWords(own, geometry);
      const dispatches = created.bind({ firstHead: 0, q, k, v, queryScores, keyScores });
      pyramid.scores.set(key, scores = { queryScores, keyScores, dispatches });
    }
    return scores;
  }

  async function preparedLayer(pyramid: SharedPyramid, options: LighthouseLayer) {
    const key = JSON.stringify(options);
    let layer = pyramid.layers.get(key);
    if (!layer) {
      const { own, pooledK, pooledV } = pyramid;
      const geometry = planGeometry(context, options);
      const { queryScores, keyScores } = await sharedScores(pyramid, options);
      const words = async (label: string, count: number) =>
        slice(own(await createStorageBuffer(gpu, heads * count * 4, { label })));
      const selection = own(
        await createSelection(gpu, planSelection(geometry, heads, fastestSelection(gpu))),
      );
      const slots = await words("slots", geometry.entries);
      const indices = await words("indices", geometry.gathered);
      const lastRow = own(await createLastRow(gpu, planLastRow({ ...size, context, geometry })));
      const gathered = { pooledK, pooledV, indices, slots };
      pyramid.layers.set(
        key,
        layer = {
          geometry,
          select: selection.bind({ queryScores, keyScores, indices, slots }),
          attend: lastRow.bind({ k, v, gathered }),
          lastRow,
          slots,
        },
      );
    }
    return layer;
  }

  /** Runs the passes up to the selections of layers that share a pyramid. */
  async function select(
    dispatches: readonly Dispatch[],
    { encoder, signal }: { encoder: GPUCommandEncoder; signal?: AbortSignal },
  ): Promise<void> {
    const flops = dispatches.reduce((sum, one) => sum + one.flops, 0);
    if (flops <= pace.flopsPerSecond * MAX_SUBMISSION_SECONDS) {
      const pass = encoder.beginComputePass();
      encodeDispatches(pass, dispatches);
      pass.end();
      return;
    }
    const { gpuSeconds, wallSeconds } = await timer.run([{ name: "select", dispatches }], {
      signal,
      flopsPerSecond: pace.flopsPerSecond,
      maxSubmissionSeconds: MAX_SUBMISSION_SECONDS,
    });
    // Half of the measured rate, because other shapes may run slower.
    const seen = 0.5 * flops / Math.max(gpuSeconds ?? wallSeconds, 1e-4);
    pace.flopsPerSecond = Math.max(pace.flopsPerSecond, seen);
  }

  /** Copies the last query of each level to the attention's input, and runs the attention. */
  function attend(
    pyramid: SharedPyramid,
    { geometry, lastRow, attend }: PreparedLayer,
    encoder: GPUCommandEncoder,
  ): void {
    const { levels, levelEntries, levelOffsets, pooledEntries } = geometry;
    for (let head = 0; head < heads; head++) {
      for (let level = 0; level < levels; level++) {
        const last = levelEntries[level] - 1;
        const [source, at] = level === 0
          ? [q, head * context + last]
          : [pyramid.pooledQ, head * pooledEntries + levelOffsets[level] - context + last];
        encoder.copyBufferToBuffer(
          source.buffer,
          source.offset + at * rowBytes,
          lastRow.queries.buffer,
          lastRow.queries.offset + (head * levels + level) * rowBytes,
          rowBytes,
        );
      }
    }
    const pass = encoder.beginComputePass();
    encodeDispatches(pass, [attend]);
    pass.end();
  }

  return {
    start: async (layers, watched, { signal } = {}) => {
      const bases = Array.from(
        { length: heads },
        (_, head) => [context - 1, ...watched[head] ?? []],
      );
      const groups = Map.groupBy(layers, ({ levels, pooling }) => `${levels} ${pooling}`);
      const results = new Map<LighthouseOptions, () => Promise<LayerRows>>();
      for (const group of groups.values()) {
        signal?.throwIfAborted();
        const pyramid = await sharedPyramid(group[0]);
        const prepared: PreparedLayer[] = [];
        for (const lighthouse of group) prepared.push(await preparedLayer(pyramid, lighthouse));
        const scores = new Set<SharedScores>();
        for (const lighthouse of group) scores.add(await sharedScores(pyramid, lighthouse));
        const encoder = gpu.device.createCommandEncoder({ label: "last rows" });
        await select([
          ...pyramid.pool,
          ...[...scores].flatMap(({ dispatches }) => dispatches),
          ...prepared.flatMap((layer) => layer.select),
        ], { encoder, signal });
        const { levels } = pyramid.geometry;
        const slotBytes = heads * bases[0].length * levels * 4;
        const readback = new Readback(
          gpu,
          prepared.reduce((sum, { lastRow }) => sum + lastRow.partials.size + slotBytes, 0),
        );
        const places = prepared.map((layer) => {
          attend(pyramid, layer, encoder);
          const partials = readback.take(encoder, layer.lastRow.partials);
          const slots = takeSlots(layer, { readback, encoder, bases });
          return { partials, slots };
        });
        readback.submit(encoder, "last rows");
        const read = readback.read();
        // Awaited later, where loss of the device is reported.
        read.catch(() => {});
        for (const [i, lighthouse] of group.entries()) {
          const { geometry, lastRow } = prepared[i];
          results.set(
            lighthouse,
            async () => readLayer(await read, { geometry, lastRow, bases, at: places[i] }),
          );
        }
      }
      return async () => {
        const found: LayerRows[] = [];
        for (const lighthouse of layers) found.push(await results.get(lighthouse)!());
        return found;
      };
    },
    destroy: () => {
      pyramids.forEach((pyramid) => pyramid.destroy());
      pyramids.clear();
      timer.destroy();
    },
  };
}
