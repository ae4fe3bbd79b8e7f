/**
 * A Lighthouse layer within a training step: its plan, and its passes on buffers that the model
 * owns. `layer_attention.ts` says what is computed.
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
import { bytesPerElement } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
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
import {
  createSelection,
  fastestSelection,
  planSelection,
} from "../../lighthouse/passes/select.ts";
import type { Scorer } from "../../lighthouse/scorers/scorer.ts";
import { findScorer } from "../../lighthouse/scorers/scorers.ts";
import { requireOptions } from "../../options.ts";
import {
  type AttentionBindings,
  type AttentionPlan,
  type AttentionSize,
  type BoundAttention,
  type CompiledAttention,
  type LayerAttention,
  type Recompute,
  RECOMPUTE_MODES,
} from "./types.ts";

const ALWAYS = RECOMPUTE_MODES;
const DEAR: readonly Recompute[] = ["none", "light"];
const ALL: readonly Recompute[] = ["none"];
const NEVER: readonly Recompute[] = [];

/** Pooled rows are gone when gradients of gathered rows come. */
function sharedName(letter: string): string {
  return `pooled ${letter}, gathered ${letter} gradient`;
}

type LighthouseAttention = Extract<LayerAttention, { kind: "lighthouse" }>;

/** The scorer of a layer. */
function scorerOf({ scorer }: LighthouseAttention): Scorer {
  return typeof scorer === "string" ? findScorer(scorer) : scorer;
}

/** Plans a Lighthouse layer. */
export function planLighthouseLayer(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  attention: LighthouseAttention,
  size: AttentionSize,
): AttentionPlan {
  const scorer = scorerOf(attention);
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

/** Compiles the passes of Lighthouse layers. */
export async function compileLighthouse(
  gpu: Gpu,
  { size, scorer, attention }: AttentionPlan,
  geometry: LighthouseGeometry,
): Promise<CompiledAttention> {
  const { heads, context, headDim, dtype, flopsPerDispatch } = size;
  const { own, ownAll, destroy } = collectOwned();
  const { pass } = scorer!;
  const each = { heads, headDim, dtype };
  const rows = { ...each, rows: geometry.gathered, flopsPerDispatch };
  try {
    const [
      plain,
      selection,
      gather,
      scatter,
      dense,
      gatherGradient,
      backward,
      scatterGradient,
    ] = await ownAll(
      createPyramid(gpu, planPyramid(geometry, { ...each, scored: false })),
      createSelection(gpu, planSelection(geometry, heads, fastestSelection(gpu))),
      createGather(gpu, planGather(geometry, each)),
      createScatter(gpu, planScatter(geometry, each)),
      createDenseAttention(gpu, planDenseAttention(gpu, rows)),
      createGatherGradient(gpu, planGatherGradient(geometry, each)),
      createDenseBackward(gpu, planDenseBackward(gpu, { ...rows, gradientType: "f32" })),
      createScatter(gpu, planScatter(geometry, { ...each, gradient: true })),
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
