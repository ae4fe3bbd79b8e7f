/**
 * Attention of one layer within a training step, dense or Lighthouse, on buffers that the model owns.
 *
 * The layers of `Implementation` allocate for themselves; a model of many layers shares scratch among
 * them and keeps for the backward pass only what its recompute mode says. So this composes the same
 * kernels, compiled once for all layers of a kind and bound layer by layer. A batch is more heads.
 *
 * Shapes: q, k, v, o and their gradients `[heads, N, d]`, heads those of all sequences.
 *
 * @module
 */
import { createDenseAttention, planDenseAttention } from "../../dense_attention/dense_attention.ts";
import {
  createDenseBackward,
  planDenseBackward,
} from "../../dense_attention/dense_attention_backward.ts";
import {
  denseBackwardFlops,
  denseForwardFlops,
} from "../../dense_attention/dense_attention_cost.ts";
import { HEAD_DIMS } from "../../dense_attention/types.ts";
import { type BufferSlice, bytesPerElement, type Dispatch, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireRecord, show } from "../../gpu/require.ts";
import type { LayerOptions } from "../../implementation.ts";
import {
  type LighthouseGeometry,
  planGeometry,
  requireLayerShape,
} from "../../lighthouse/lighthouse_geometry.ts";
import { layerOptions, lighthouseOptions } from "../../lighthouse/lighthouse_options.ts";
import { createGather, planGather } from "../../lighthouse/passes/gather.ts";
import {
  createGatherGradient,
  planGatherGradient,
} from "../../lighthouse/passes/gather_gradient.ts";
import { createPyramid, planPyramid } from "../../lighthouse/passes/pyramid.ts";
import { createScatter, planScatter } from "../../lighthouse/passes/scatter.ts";
import { createSelection, planSelection } from "../../lighthouse/passes/select.ts";
import type { Scorer } from "../../lighthouse/scorers/scorer.ts";
import { findScorer } from "../../lighthouse/scorers/scorers.ts";
import { requireOptions } from "../../options.ts";

/** What is kept between the passes: all, what is dear to compute again, or the least. */
export type Recompute = "none" | "light" | "least";

/** All modes. */
export const RECOMPUTE_MODES: readonly Recompute[] = ["none", "light", "least"];

/** How a layer attends. */
export type LayerAttention =
  | { readonly kind: "dense" }
  | {
    readonly kind: "lighthouse";
    /** Name of the scorer, or one of your own. */
    readonly scorer: string | Scorer;
    /** `levels`, `pooling`, `k`, and what the scorer adds. */
    readonly options: LayerOptions;
  };

/** Sizes of the attention of a layer. */
export interface AttentionSize {
  /** Heads of all sequences. */
  readonly heads: number;
  /** N. */
  readonly context: number;
  /** d. */
  readonly headDim: number;
  /** Storage of everything but statistics. */
  readonly dtype: DType;
  /** Most FLOP of one dispatch. Default: never cut. */
  readonly flopsPerDispatch?: number;
}

/** A buffer of a layer, and in which modes each layer has its own; else all layers share it. */
export interface AttentionBuffer {
  /** Unique in the plan. */
  readonly name: string;
  /** Its size. */
  readonly bytes: number;
  /** Modes in which each layer has its own. */
  readonly keptIn: readonly Recompute[];
}

/** What is known without a device. */
export interface AttentionPlan {
  /** `dense`, or `lighthouse-` and the scorer's name. */
  readonly name: string;
  /** Options of a Lighthouse layer in words; empty for a dense one. */
  readonly detail: string;
  /** How the layer attends. */
  readonly attention: LayerAttention;
  /** Sizes of the layer. */
  readonly size: AttentionSize;
  /** Buffers beside q, k, v, o and their gradients. */
  readonly buffers: readonly AttentionBuffer[];
  /** Bytes that kernels and the scorer allocate for themselves, once for all layers. */
  readonly scratchBytes: number;
  /** Modes in which q, k and v of a layer are kept, and o. */
  readonly keeps: { readonly qkv: readonly Recompute[]; readonly o: readonly Recompute[] };
  /** FLOP of attention forward, of its backward pass, and of the scorer. */
  readonly flops: { readonly forward: number; readonly backward: number; readonly scorer: number };
  /** Present for Lighthouse. */
  readonly geometry?: LighthouseGeometry;
  /** Present for Lighthouse. */
  readonly scorer?: Scorer;
}

/** Buffers of one layer: q, k, v, o, their gradients, and those of the plan by name. */
export interface AttentionBindings {
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  readonly o: BufferSlice;
  readonly outputGradient: BufferSlice;
  readonly queryGradient: BufferSlice;
  readonly keyGradient: BufferSlice;
  readonly valueGradient: BufferSlice;
  /** By the name that the plan gives. */
  readonly own: (name: string) => BufferSlice;
}

/** The dispatches of one layer. */
export interface BoundAttention {
  readonly forward: readonly Dispatch[];
  /** What must run again before the backward pass in each mode, after q, k and v are there. */
  readonly rebuild: Readonly<Record<Recompute, readonly Dispatch[]>>;
  readonly backward: readonly Dispatch[];
}

/** Attention compiled for all layers of a kind. */
export interface CompiledAttention {
  readonly bind: (buffers: AttentionBindings) => BoundAttention;
  readonly destroy: () => void;
}

const ALWAYS = RECOMPUTE_MODES;
const DEAR: readonly Recompute[] = ["none", "light"];
const ALL: readonly Recompute[] = ["none"];
const NEVER: readonly Recompute[] = [];

/** Pooled rows are gone when gradients of gathered rows come. */
function sharedName(letter: string): string {
  return `pooled ${letter}, gathered ${letter} gradient`;
}

/** The scorer of a layer. */
function scorerOf(attention: LayerAttention): Scorer | undefined {
  if (attention.kind === "dense") return undefined;
  const { scorer } = attention;
  return typeof scorer === "string" ? findScorer(scorer) : scorer;
}

/**
 * Plans the attention of a layer.
 *
 * @throws {TypeError} when the kind of attention is unknown.
 * @throws {RangeError} one line that names the value and the limit, when the layer cannot run it.
 */
export function planLayerAttention(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: LayerAttention,
  size: AttentionSize,
): AttentionPlan {
  requireRecord("plan attention", "the layer's attention", attention);
  if (attention.kind !== "dense" && attention.kind !== "lighthouse") {
    const { kind } = attention as { kind: unknown };
    throw new TypeError(`plan attention: kind ${show(kind)} is not one of dense, lighthouse`);
  }
  const { headDim } = size;
  if (!HEAD_DIMS.includes(headDim)) {
    throw new RangeError(
      `plan attention: head dimension ${headDim} is not one of ${HEAD_DIMS.join(", ")}`,
    );
  }
  return attention.kind === "dense"
    ? planDenseLayer(gpu, attention, size)
    : planLighthouseLayer(gpu, attention, size);
}

function planDenseLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: LayerAttention,
  size: AttentionSize,
): AttentionPlan {
  const { heads, context: rows, headDim, dtype } = size;
  planDenseAttention(gpu, { heads, rows, headDim, dtype });
  const { scratchBytes } = planDenseBackward(gpu, { heads, rows, headDim, dtype });
  const statistic = heads * rows * 4;
  return {
    name: "dense",
    detail: "",
    attention,
    size,
    buffers: [
      { name: "log-sum-exp", bytes: statistic, keptIn: DEAR },
      { name: "delta", bytes: statistic, keptIn: NEVER },
    ],
    scratchBytes,
    keeps: { qkv: ALL, o: DEAR },
    flops: {
      forward: denseForwardFlops({ heads, rows, headDim }),
      backward: denseBackwardFlops({ heads, rows, headDim }),
      scorer: 0,
    },
  };
}

function planLighthouseLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: Extract<LayerAttention, { kind: "lighthouse" }>,
  size: AttentionSize,
): AttentionPlan {
  const scorer = scorerOf(attention)!;
  requireOptions(layerOptions(scorer), attention.options, "plan attention");
  const options = lighthouseOptions(attention);
  const { heads, context, headDim, dtype } = size;
  const shape = { heads, context, headDim, dtype };
  requireLayerShape(shape);
  const geometry = planGeometry(context, options);
  const rows = geometry.gathered;
  planDenseAttention(gpu, { heads, rows, headDim, dtype });
  const backward = planDenseBackward(gpu, { heads, rows, headDim, dtype, gradientType: "f32" });
  const scoring = scorer.pass?.plan(gpu, { shape, options, geometry, headsPerBlock: heads });
  const stored = (count: number) => heads * count * headDim * bytesPerElement(dtype);
  const floats = (count: number) => heads * count * headDim * 4;
  const words = (count: number) => heads * count * 4;
  const triple = (name: (letter: string) => string, bytes: number, keptIn: readonly Recompute[]) =>
    ["q", "k", "v"].map((letter) => ({ name: name(letter), bytes, keptIn }));
  return {
    name: `lighthouse-${scorer.name}`,
    detail: Object.entries(attention.options).map(([name, value]) => `${name} ${value}`).join(", "),
    attention,
    size,
    geometry,
    scorer,
    buffers: [
      { name: "indices", bytes: words(rows), keptIn: ALWAYS },
      { name: "slots", bytes: words(geometry.entries), keptIn: ALWAYS },
      { name: "attended", bytes: stored(rows), keptIn: DEAR },
      { name: "log-sum-exp", bytes: words(rows), keptIn: DEAR },
      ...triple((letter) => `gathered ${letter}`, stored(rows), ALL),
      ...triple(
        sharedName,
        Math.max(stored(geometry.pooledEntries), floats(rows)),
        NEVER,
      ),
      { name: "query scores", bytes: words(geometry.entries), keptIn: NEVER },
      { name: "key scores", bytes: words(geometry.entries), keptIn: NEVER },
      { name: "delta", bytes: words(rows), keptIn: NEVER },
      { name: "gathered output gradient", bytes: floats(rows), keptIn: NEVER },
    ],
    scratchBytes: backward.scratchBytes +
      (scoring?.buffers ?? []).reduce((sum, { bytes }) => sum + bytes, 0),
    // The backward pass reads gathered rows, never the whole of q, k and v; o is a scatter away.
    keeps: { qkv: NEVER, o: ALL },
    flops: {
      forward: denseForwardFlops({ heads, rows, headDim }),
      backward: denseBackwardFlops({ heads, rows, headDim }),
      scorer: scoring?.flops ?? 0,
    },
  };
}

/** Compiles the attention of all layers of a plan. */
export function compileLayerAttention(gpu: Gpu, plan: AttentionPlan): Promise<CompiledAttention> {
  return plan.geometry ? compileLighthouse(gpu, plan, plan.geometry) : compileDense(gpu, plan);
}

async function compileDense(gpu: Gpu, { size }: AttentionPlan): Promise<CompiledAttention> {
  const { heads, context: rows, headDim, dtype, flopsPerDispatch } = size;
  const options = { heads, rows, headDim, dtype, flopsPerDispatch };
  const forward = await createDenseAttention(gpu, planDenseAttention(gpu, options));
  const backward = await createDenseBackward(gpu, planDenseBackward(gpu, options));
  return {
    bind(buffers) {
      const { q, k, v, o, own } = buffers;
      const lse = own("log-sum-exp");
      const attend = forward.bind({ q, k, v, o, lse });
      return {
        forward: attend,
        rebuild: { none: [], light: [], least: attend },
        backward: backward.bind({ ...buffers, lse, delta: own("delta") }),
      };
    },
    destroy: () => {
      forward.destroy();
      backward.destroy();
    },
  };
}

async function compileLighthouse(
  gpu: Gpu,
  { size, scorer, attention }: AttentionPlan,
  geometry: LighthouseGeometry,
): Promise<CompiledAttention> {
  const { heads, context, headDim, dtype, flopsPerDispatch } = size;
  const owned: { destroy: () => void }[] = [];
  const own = <T extends { destroy: () => void }>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const destroy = () => owned.splice(0).reverse().forEach((thing) => thing.destroy());
  const { pass } = scorer!;
  const each = { heads, headDim, dtype };
  const rows = { ...each, rows: geometry.gathered, flopsPerDispatch };
  try {
    const plain = own(
      await createPyramid(gpu, planPyramid(geometry, { ...each, scored: false })),
    );
    // Without a pass of its own the scorer's numbers come from the pyramid of q and k.
    const ranked = pass
      ? plain
      : own(await createPyramid(gpu, planPyramid(geometry, { ...each, scored: true })));
    const scoring = pass && own(
      await pass.create(gpu, {
        shape: { heads, context, headDim, dtype },
        options: lighthouseOptions(attention as { options: LayerOptions }),
        geometry,
        headsPerBlock: heads,
      }, { heads, flopsPerDispatch }),
    );
    const selection = own(await createSelection(gpu, planSelection(geometry, heads)));
    const gather = own(await createGather(gpu, planGather(geometry, each)));
    const scatter = own(await createScatter(gpu, planScatter(geometry, each)));
    const dense = own(await createDenseAttention(gpu, planDenseAttention(gpu, rows)));
    const gatherGradient = own(
      await createGatherGradient(gpu, planGatherGradient(geometry, each)),
    );
    const backward = own(
      await createDenseBackward(gpu, planDenseBackward(gpu, { ...rows, gradientType: "f32" })),
    );
    const scatterGradient = own(
      await createScatter(gpu, planScatter(geometry, { ...each, gradient: true })),
    );
    return {
      bind: (buffers) =>
        bindLighthouse(buffers, {
          plain,
          ranked,
          scoring,
          selection,
          gather,
          scatter,
          dense,
          gatherGradient,
          backward,
          scatterGradient,
        }),
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** The compiled passes of Lighthouse layers. */
interface LighthouseKernels {
  readonly plain: Awaited<ReturnType<typeof createPyramid>>;
  readonly ranked: Awaited<ReturnType<typeof createPyramid>>;
  readonly scoring?: Awaited<ReturnType<NonNullable<Scorer["pass"]>["create"]>>;
  readonly selection: Awaited<ReturnType<typeof createSelection>>;
  readonly gather: Awaited<ReturnType<typeof createGather>>;
  readonly scatter: Awaited<ReturnType<typeof createScatter>>;
  readonly dense: Awaited<ReturnType<typeof createDenseAttention>>;
  readonly gatherGradient: Awaited<ReturnType<typeof createGatherGradient>>;
  readonly backward: Awaited<ReturnType<typeof createDenseBackward>>;
  readonly scatterGradient: Awaited<ReturnType<typeof createScatter>>;
}

function bindLighthouse(buffers: AttentionBindings, kernels: LighthouseKernels): BoundAttention {
  const { q, k, v, o, own } = buffers;
  const [indices, slots, lse] = [own("indices"), own("slots"), own("log-sum-exp")];
  const [queryScores, keyScores] = [own("query scores"), own("key scores")];
  const attended = own("attended");
  const gathered = { q: own("gathered q"), k: own("gathered k"), v: own("gathered v") };
  const score = kernels.scoring?.bind({ firstHead: 0, q, k, v, queryScores, keyScores }) ?? [];
  // The same kernels as in the forward pass when it is computed again: the same bits.
  const pool = [
    ...kernels.ranked.bind({ rows: q, pooled: own(sharedName("q")), scores: queryScores }),
    ...kernels.ranked.bind({ rows: k, pooled: own(sharedName("k")), scores: keyScores }),
    ...kernels.plain.bind({ rows: v, pooled: own(sharedName("v")) }),
  ];
  const select = kernels.selection.bind({ queryScores, keyScores, indices, slots });
  const gather = (["q", "k", "v"] as const).flatMap((letter) =>
    kernels.gather.bind({
      rows: buffers[letter],
      pooled: own(sharedName(letter)),
      indices,
      gathered: gathered[letter],
    })
  );
  const attend = kernels.dense.bind({ ...gathered, o: attended, lse });
  const scatter = kernels.scatter.bind({ gathered: attended, slots, output: o });
  const gradients = {
    queryGradient: own(sharedName("q")),
    keyGradient: own(sharedName("k")),
    valueGradient: own(sharedName("v")),
  };
  const outputGradient = own("gathered output gradient");
  const backward = [
    ...kernels.gatherGradient.bind({
      outputGradient: buffers.outputGradient,
      indices,
      gathered: outputGradient,
    }),
    ...kernels.backward.bind({
      ...gathered,
      ...gradients,
      o: attended,
      outputGradient,
      lse,
      delta: own("delta"),
    }),
    ...(["queryGradient", "keyGradient", "valueGradient"] as const).flatMap((name) =>
      kernels.scatterGradient.bind({ gathered: gradients[name], slots, output: buffers[name] })
    ),
  ];
  return {
    forward: [...score, ...pool, ...select, ...gather, ...attend, ...scatter],
    rebuild: {
      none: [],
      light: [...pool, ...gather, ...scatter],
      least: [...pool, ...gather, ...attend, ...scatter],
    },
    backward,
  };
}
