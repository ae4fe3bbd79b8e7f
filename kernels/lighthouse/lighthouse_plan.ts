/**
 * The plan of a Lighthouse layer: everything that is known without a device.
 *
 * @module
 */
import { planDenseAttention } from "../dense_attention/dense_attention.ts";
import { planDenseBackward } from "../dense_attention/dense_attention_backward.ts";
import { backwardScratch } from "../dense_attention/dense_layer.ts";
import { bytesPerElement, type DType, headsPerBlock } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import type { ImplementationPlan, LighthouseOptions, Problem } from "../implementation.ts";
import { directionParts, requireProblem } from "../layer_inputs.ts";
import { totalPlan } from "../layer_plan.ts";
import { lighthouseBackwardCost, lighthouseForwardCost } from "./lighthouse_cost.ts";
import { type LighthouseGeometry, planGeometry, requireLayerShape } from "./lighthouse_geometry.ts";
import { requireOptions } from "../options.ts";
import { layerOptions, lighthouseOptions } from "./lighthouse_options.ts";
import type { LighthouseTuning } from "./lighthouse_tuning.ts";
import { chooseSelection, type SelectionOptions } from "./passes/select.ts";
import type { Scorer } from "./scorers/scorer.ts";
import type { DenseKernel } from "../dense_attention/types.ts";

/** The plan of a layer. */
export interface LighthousePlan {
  readonly plan: ImplementationPlan;
  readonly geometry: LighthouseGeometry;
  readonly options: LighthouseOptions;
  /** Rows of the tensors that hold pooled rows. */
  readonly pooledRows: number;
  /** How parents are searched, and whether the selection gathers. */
  readonly selection: SelectionOptions;
  /** The variant of the backward kernels, if any run. */
  readonly backwardKernel?: DenseKernel;
}

/**
 * Rows of a tensor of pooled rows. The gather is their last reader, so the backward pass stores the
 * gathered gradient of the same tensor in their place; it is f32 and may need more rows.
 */
function pooledRows(
  geometry: LighthouseGeometry,
  { backward, dtype }: { backward: boolean; dtype: DType },
): number {
  if (!backward) return geometry.pooledEntries;
  return Math.max(geometry.pooledEntries, geometry.gathered * 4 / bytesPerElement(dtype));
}

/**
 * Plans a layer.
 *
 * @throws {RangeError} one line that names the value and the limit, when the layer cannot run it.
 */
export function planLighthouse(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  problem: Problem,
  options: { scorer: Scorer; tuning?: LighthouseTuning },
): LighthousePlan {
  requireProblem("plan lighthouse", problem);
  const { shape } = problem;
  const { scorer } = options;
  requireOptions(layerOptions(scorer), problem.options ?? {}, "plan lighthouse");
  const layer = lighthouseOptions(problem);
  requireLayerShape(shape);
  const parts = directionParts(problem.direction);
  const geometry = planGeometry(shape.context, layer);
  const { heads, headDim: dim, dtype } = shape;
  const { context, entries, gathered } = geometry;
  const pooled = pooledRows(geometry, { backward: parts.backward, dtype });
  const perBlock = headsPerBlock(gpu, [
    { heads, rows: context, dim, dtype },
    { heads, rows: gathered, dim, dtype },
    { heads, rows: pooled, dim, dtype },
    { heads, rows: entries, dim: 1, dtype: "f32" },
  ]);
  // These throw for shapes that their kernels cannot run.
  const block = { heads: perBlock, rows: gathered, headDim: dim, dtype };
  const { variant } = planDenseAttention(gpu, block);
  const backward = parts.backward
    ? planDenseBackward(gpu, { ...block, gradientType: "f32" })
    : undefined;
  const scores = scorer.pass?.plan(gpu, {
    shape,
    options: layer,
    geometry,
    headsPerBlock: perBlock,
  });
  const selection = chooseSelection(gpu, geometry, {
    heads: perBlock,
    headDim: dim,
    dtype,
    tuning: options.tuning?.selection,
  });
  const variants: Record<string, string | undefined> = {
    attention: variant,
    score: scores?.variant,
    "attention-backward": backward?.variant,
  };
  const stages = [
    ...(parts.forward
      ? lighthouseForwardCost(shape, geometry, { scores, gathers: selection.gathers !== undefined })
      : []),
    ...(parts.backward ? lighthouseBackwardCost(shape, geometry) : []),
  ].map((stage) => {
    const variant = variants[stage.name];
    return variant === undefined ? stage : { ...stage, variant };
  });
  const row = heads * dim * bytesPerElement(dtype);
  const rows = (count: number, ...names: string[]) =>
    names.map((name) => ({ name, bytes: count * row }));
  const words = (count: number, ...names: string[]) =>
    names.map((name) => ({ name, bytes: heads * count * 4 }));
  const buffers = [
    ...rows(context, "q", "k", "v", "output"),
    ...["q", "k", "v"].flatMap((name) =>
      rows(pooled, parts.backward ? `pooled ${name}, gathered ${name} gradient` : `pooled ${name}`)
    ),
    ...rows(gathered, "gathered q", "gathered k", "gathered v", "gathered output"),
    ...words(entries, "query scores", "key scores", "slots"),
    ...words(gathered, "indices", "log-sum-exp"),
    ...(backward
      ? [
        ...rows(context, "output gradient", "q gradient", "k gradient", "v gradient"),
        // On matrix units it shares the buffer of q's gathered gradient.
        ...(backward.kernel === "matrix" ? [] : words(gathered * dim, "gathered output gradient")),
        ...words(gathered, "delta"),
        ...backwardScratch(gpu, backward, heads),
      ]
      : []),
    ...(scores?.buffers ?? []),
  ];
  return {
    geometry,
    options: layer,
    pooledRows: pooled,
    selection,
    backwardKernel: backward?.kernel,
    plan: totalPlan({ stages, buffers, headsPerBlock: perBlock, gathered }),
  };
}
