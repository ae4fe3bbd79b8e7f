/**
 * Lighthouse attention with the context split into shards, as a simulation on one device.
 *
 * Each shard holds one or two contiguous parts of the context. Every part builds its own pyramid,
 * scores, selects with its share of the budget, k / parts, and gathers. The gathered rows of all
 * parts, in context order, form the sequence that ring attention processes in W steps: in step t
 * shard w holds the keys of shard w - t modulo W.
 *
 * Partitions: `contiguous`, as in the paper's text: W parts, shard w holds part w. `head-tail`, as
 * in the published code: 2W parts, shard w holds parts w and 2W - 1 - w, which balances the causal
 * work; each part selects k / 2W, so the budget of all shards is k.
 *
 * Since a head's rows are contiguous, a tensor `[H, N, d]` read as `[H·parts, N/parts, d]` is the
 * same memory with each part as a head. Parts select by running the layer's own passes on that
 * view; their gathered rows are `[H, S, d]` in context order.
 *
 * The simulation exchanges nothing between devices. It supports the scorers norm and dilated, but
 * not gla, because gates belong to the rows of a whole head and do not fit such a view.
 *
 * @module
 */
import { bindDenseTensors } from "../dense_attention/dense_attention.ts";
import {
  createRingAttention,
  piecePairs,
  planRingAttention,
  type RingAttention,
  type RingPiece,
  type RowRun,
} from "../dense_attention/ring/ring_attention.ts";
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  readBuffer,
  slice,
  type Tensor,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { collectOwned } from "../gpu/owned.ts";
import { requirePositive, requireWhole, show } from "../gpu/require.ts";
import { type RunOptions, type Stage, Timer, type Timing } from "../gpu/timing.ts";
import type { LayerInputs, LighthouseOptions, Problem } from "../implementation.ts";
import { requireLayerInputs } from "../layer_inputs.ts";
import { lighthouseOptions } from "./lighthouse_options.ts";
import { createGather, planGather } from "./passes/gather.ts";
import {
  type LighthouseGeometry,
  locateEntry,
  PARENTS,
  planGeometry,
  requireLayerShape,
} from "./lighthouse_geometry.ts";
import { createPyramid, planPyramid } from "./passes/pyramid.ts";
import type { Scorer } from "./scorers/scorer.ts";
import { createSelection, fastestSelection, planSelection } from "./passes/select.ts";

const PARTITIONS = ["contiguous", "head-tail"] as const;

/** How a context is split. */
export interface ShardOptions {
  /** W, at least 1. */
  readonly shards: number;
  readonly partition: typeof PARTITIONS[number];
}

/** Work of one shard in one ring step; no pieces if it has nothing to do. */
export interface RingShare {
  readonly shard: number;
  readonly pieces: readonly RingPiece[];
  /** Query-key pairs of one head. */
  readonly pairs: number;
}

/** The plan of a context that is split into shards. */
export interface ContextParallelPlan extends ShardOptions {
  /** Sizes of the layer over the whole context, without shards. */
  readonly geometry: LighthouseGeometry;
  /** Sizes of the layer over one part. */
  readonly part: LighthouseGeometry;
  readonly parts: number;
  /** Parts of each shard, ascending. */
  readonly shardParts: readonly (readonly number[])[];
  /** Ring steps, each with the share of every shard. */
  readonly steps: readonly (readonly RingShare[])[];
}

/**
 * Plans a split.
 *
 * @throws {RangeError} one line naming the value and the limit, when the context or the budget does
 * not divide into parts that can select.
 *
 * @example
 * ```ts
 * import { planContextParallel } from "./context_parallel.ts";
 * import assert from "node:assert/strict";
 * const plan = planContextParallel(98304, { levels: 3, pooling: 4, k: 2048 }, {
 *   shards: 4,
 *   partition: "head-tail",
 * });
 * assert.deepEqual([plan.parts, plan.part.k, plan.shardParts[1]], [8, 256, [1, 6]]);
 * assert.equal(plan.part.gathered * plan.parts, plan.geometry.gathered);
 * ```
 */
export function planContextParallel(
  context: number,
  options: LighthouseOptions,
  { shards, partition }: ShardOptions,
): ContextParallelPlan {
  const fail = (reason: string): never => {
    throw new RangeError(`plan context parallel: ${reason}`);
  };
  requireWhole("plan context parallel", "shards", shards, { most: PARENTS * PARENTS });
  if (!PARTITIONS.includes(partition)) {
    fail(`partition ${show(partition)} is not one of ${PARTITIONS.join(", ")}`);
  }
  const geometry = planGeometry(context, options);
  const parts = partition === "contiguous" ? shards : 2 * shards;
  if (context % parts !== 0) fail(`context ${context} does not divide into ${parts} parts`);
  if (options.k % (parts * PARENTS) !== 0) {
    fail(`k ${options.k} is not a multiple of ${PARENTS} for each of ${parts} parts`);
  }
  const part = planGeometry(context / parts, { ...options, k: options.k / parts });
  const shardParts = Array.from(
    { length: shards },
    (_, shard) => partition === "contiguous" ? [shard] : [shard, parts - 1 - shard],
  );
  const runOf = (index: number): RowRun => ({
    first: index * part.gathered,
    end: (index + 1) * part.gathered,
  });
  const met = new Set<number>();
  const steps = Array.from(
    { length: shards },
    (_, step) =>
      shardParts.map((own, shard): RingShare => {
        const source = shardParts[(shard - step + shards) % shards];
        const pieces = own.flatMap((query) =>
          source.filter((key) => key <= query).map((key): RingPiece => {
            const fresh = !met.has(query);
            met.add(query);
            return { queries: runOf(query), keys: runOf(key), fresh };
          })
        );
        return { shard, pieces, pairs: pieces.reduce((sum, piece) => sum + piecePairs(piece), 0) };
      }),
  );
  return { shards, partition, geometry, part, parts, shardParts, steps };
}

/** Bytes of gathered K and V that each shard passes on between two ring steps, all heads. */
export function exchangedBytes(plan: ContextParallelPlan, shape: Problem["shape"]): number {
  const rows = plan.part.gathered * plan.parts / plan.shards;
  return 2 * rows * shape.heads * shape.headDim * bytesPerElement(shape.dtype);
}

/**
 * Converts the selections of parts, `[H·parts, S/parts]` indices into their own pyramids, to
 * indices into the whole pyramid in context order: `[H, S]`.
 */
export function wholeSelection(plan: ContextParallelPlan, selection: Int32Array): Int32Array {
  const { part, parts, geometry } = plan;
  return selection.map((entry, i) => {
    const { level, index } = locateEntry(part, entry);
    const owner = Math.floor(i / part.gathered) % parts;
    return geometry.levelOffsets[level] + owner * part.levelEntries[level] + index;
  });
}

/** A tensor `[H, N, d]` as `[H·parts, N/parts, d]`: the same buffers, destroyed with the first. */
export function viewAsParts(tensor: Tensor, parts: number): Tensor {
  return {
    ...tensor,
    heads: tensor.heads * parts,
    rows: tensor.rows / parts,
    blocks: tensor.blocks.map((block) => ({
      firstHead: block.firstHead * parts,
      heads: block.heads * parts,
      data: block.data,
    })),
    destroy: () => {},
  };
}

/** A simulation, ready to run. */
export interface ContextParallel {
  readonly plan: ContextParallelPlan;
  /** Pools, scores, selects and gathers in every part. Runs before the two below. */
  readonly select: (options?: RunOptions) => Promise<Timing>;
  /** One stage for each share with work, in order of steps: see `ringShares`. */
  readonly attend: (options?: RunOptions) => Promise<Timing>;
  /** The share that each stage of `attend` computes. */
  readonly ringShares: readonly { readonly step: number; readonly shard: number }[];
  /** Dense attention over the same gathered rows, unsplit. */
  readonly attendWhole: (options?: RunOptions) => Promise<Timing>;
  /** The selection of each part: indices into its own pyramid, `[H·parts, S/parts]`. */
  readonly readSelection: () => Promise<Int32Array>;
  /** `[H, S, d]` each. */
  readonly gathered: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };
  /** Results of the ring: f32 `[H, S, d]`, and log-sum-exp `[H, S, 1]`. */
  readonly output: Tensor;
  readonly lse: Tensor;
  /** Results of the unsplit attention, in the storage type. */
  readonly wholeOutput: Tensor;
  readonly wholeLse: Tensor;
  readonly destroy: () => void;
}

/**
 * Prepares a simulation: allocates, compiles and binds.
 *
 * @throws {RangeError} when the split, the shape or the scorer cannot be simulated.
 * @throws {MemoryError} when the device is out of memory; nothing stays allocated then.
 */
export async function createContextParallel(
  gpu: Gpu,
  problem: Problem,
  options: {
    inputs: LayerInputs;
    scorer: Scorer;
    sharding: ShardOptions;
    flopsPerDispatch?: number;
  },
): Promise<ContextParallel> {
  const { inputs, scorer, sharding, flopsPerDispatch } = options;
  requireLayerInputs(gpu, "prepare context parallel", { problem, inputs });
  requirePositive("prepare context parallel", "flopsPerDispatch", flopsPerDispatch);
  const { shape } = problem;
  const layer = lighthouseOptions(problem);
  if (scorer.wholeHeads !== undefined) {
    throw new RangeError(`plan context parallel: scorer ${scorer.name} ${scorer.wholeHeads}`);
  }
  requireLayerShape(shape);
  const plan = planContextParallel(shape.context, layer, sharding);
  const { geometry, part, parts } = plan;
  const { own, destroy } = collectOwned();
  const { heads, headDim: dim, dtype } = shape;
  const { blocks } = inputs.q;
  const tensor = async (label: string, rows: number, other: { dim?: number; dtype?: "f32" } = {}) =>
    own(
      await createTensor(gpu, { heads, rows, dim, dtype, ...other }, {
        label,
        headsPerBlock: blocks[0].heads,
      }),
    );
  try {
    const rows = geometry.gathered;
    const gathered = {
      q: await tensor("gathered q", rows),
      k: await tensor("gathered k", rows),
      v: await tensor("gathered v", rows),
    };
    const output = await tensor("ring output", rows, { dtype: "f32" });
    const lse = await tensor("ring log-sum-exp", rows, { dim: 1, dtype: "f32" });
    const wholeOutput = await tensor("whole output", rows);
    const wholeLse = await tensor("whole log-sum-exp", rows, { dim: 1, dtype: "f32" });
    const pooled = await tensor("pooled rows", geometry.pooledEntries);
    const select: Dispatch[] = [];
    const indices: BufferSlice[] = [];
    const rings: RingAttention[] = [];
    for (const [b, block] of blocks.entries()) {
      const viewed = { heads: block.heads * parts, headDim: dim, dtype };
      const buffer = async (label: string, count: number) =>
        slice(own(await createStorageBuffer(gpu, viewed.heads * count * 4, { label })));
      const queryScores = await buffer("query scores", part.entries);
      const keyScores = await buffer("key scores", part.entries);
      const slots = await buffer("slots", part.entries);
      indices.push(await buffer("indices", part.gathered));
      const pyramid = async (scored: boolean) =>
        own(await createPyramid(gpu, planPyramid(part, { ...viewed, scored })));
      const plain = await pyramid(false);
      const ranked = scorer.pass ? plain : await pyramid(true);
      const at = (tensor: Tensor) => tensor.blocks[b].data;
      const [q, k, v] = [inputs.q, inputs.k, inputs.v].map(at);
      if (scorer.pass) {
        const view = { ...shape, heads: heads * parts, context: part.context };
        const scored = own(
          await scorer.pass.create(gpu, {
            shape: view,
            options: { ...layer, k: part.k },
            geometry: part,
            headsPerBlock: viewed.heads,
          }, { heads: viewed.heads, flopsPerDispatch }),
        );
        const firstHead = block.firstHead * parts;
        select.push(...scored.bind({ firstHead, q, k, v, queryScores, keyScores }));
      }
      const selection = own(
        await createSelection(gpu, planSelection(part, viewed.heads, fastestSelection(gpu))),
      );
      const gather = own(await createGather(gpu, planGather(part, viewed)));
      const take = (rows: BufferSlice, into: BufferSlice) =>
        gather.bind({ rows, pooled: at(pooled), indices: indices[b], gathered: into });
      // One tensor of pooled rows serves Q, K and V in turn; selection needs the scores of Q and K.
      const scores = (slices: BufferSlice) => scorer.pass ? undefined : slices;
      select.push(
        ...ranked.bind({ rows: k, pooled: at(pooled), scores: scores(keyScores) }),
        ...ranked.bind({ rows: q, pooled: at(pooled), scores: scores(queryScores) }),
        ...selection.bind({ queryScores, keyScores, indices: indices[b], slots }),
        ...take(q, at(gathered.q)),
        ...plain.bind({ rows: k, pooled: at(pooled) }),
        ...take(k, at(gathered.k)),
        ...plain.bind({ rows: v, pooled: at(pooled) }),
        ...take(v, at(gathered.v)),
      );
      rings.push(own(
        await createRingAttention(
          gpu,
          planRingAttention(gpu, {
            heads: block.heads,
            rows,
            headDim: dim,
            dtype,
            flopsPerDispatch,
          }),
        ),
      ));
    }
    const stages: Stage[] = [];
    const ringShares: { step: number; shard: number }[] = [];
    for (const [step, shares] of plan.steps.entries()) {
      for (const { shard, pieces } of shares) {
        if (pieces.length === 0) continue;
        const dispatches = rings.flatMap((ring, b) => {
          const at = (tensor: Tensor) => tensor.blocks[b].data;
          const buffers = {
            q: at(gathered.q),
            k: at(gathered.k),
            v: at(gathered.v),
            o: at(output),
            lse: at(lse),
          };
          return pieces.flatMap((piece) => ring.bind(buffers, piece));
        });
        stages.push({ name: `step ${step}, shard ${shard}`, dispatches });
        ringShares.push({ step, shard });
      }
    }
    const whole = own(
      await bindDenseTensors(gpu, { ...gathered, o: wholeOutput, lse: wholeLse }, {
        flopsPerDispatch,
        // Split like the ring, so that the costs of steps are comparable.
        kernel: "portable",
      }),
    );
    const timer = own(new Timer(gpu));
    return {
      plan,
      select: (run) => timer.run([{ name: "select", dispatches: select }], run),
      attend: (run) => timer.run(stages, run),
      ringShares,
      attendWhole: (run) => timer.run([{ name: "attention", dispatches: whole.dispatches }], run),
      readSelection: async () => {
        const all = new Int32Array(heads * rows);
        for (const [b, block] of blocks.entries()) {
          const size = block.heads * rows * 4;
          const bytes = await readBuffer(gpu, { ...indices[b], size });
          all.set(new Int32Array(bytes.buffer), block.firstHead * rows);
        }
        return all;
      },
      gathered,
      output,
      lse,
      wholeOutput,
      wholeLse,
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
