/**
 * dQ, dK and dV as parts of a check: which rows are compared, and with which tolerances.
 *
 * @module
 */
import { planDenseBackward } from "../../kernels/dense_attention/dense_attention_backward.ts";
import type { DenseKernel } from "../../kernels/dense_attention/types.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import type { Problem } from "../../kernels/implementation.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import type { Layer } from "../plan/measurable.ts";
import { type CheckOptions, visibleOf, wholeGradients } from "./check_options.ts";
import { leewayOf, type Part, partOf } from "./check_parts.ts";
import { compareGradients } from "./gradient_check.ts";
import type { HeadSample } from "./head_samples.ts";

/** Half of the smallest step of f16 products in the backward pass, if there are any. */
function halfProductsOf(
  gpu: Gpu,
  { prepared, problem, rows, kernel: asked }: {
    prepared: Layer;
    problem: Problem;
    rows: number;
    kernel?: DenseKernel;
  },
): number | undefined {
  const { dtype, headDim } = problem.shape;
  if (dtype !== "f16") return undefined;
  if (prepared.peer) return 2 ** -25;
  // Our kernels scale them by 2^8; by less only next to numbers so large that the step does not
  // matter.
  const { kernel } = planDenseBackward(gpu, { heads: 1, rows, headDim, dtype, kernel: asked });
  return kernel === "matrix" ? 2 ** -33 : undefined;
}

/** Whether weights and gradients of scores are rounded to f16 for products. */
export function usesHalves(
  gpu: Gpu,
  prepared: Layer,
  { problem, kernel }: Pick<CheckOptions, "problem" | "kernel">,
): boolean {
  const { context: rows } = problem.shape;
  return halfProductsOf(gpu, { prepared, problem, rows, kernel }) !== undefined;
}

/** Gradients whose rows are compared at full size: each costs a pass over the sequence. */
const GRADIENT_EDGES: readonly number[] = [0, 127];

/** Rows at the end whose statistics are recomputed in float64. */
const EXACT_ROWS = 4;

/** dQ, dK and dV of sampled rows of one head, one part for each gradient. */
export async function checkGradients(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & {
    sample: HeadSample;
    geometry?: LighthouseGeometry;
    selection?: Int32Array;
  },
): Promise<Part[]> {
  const { problem, extent, sample, seed, geometry, selection } = options;
  const { context, heads } = problem.shape;
  const { head } = sample;
  const last = [context - 2, context - 1];
  const inner = [pcg((seed + 104729) >>> 0) % context];
  // All rows of a window get the same share of its gradient; a tail and a random row cover each
  // level.
  const chosen = head === heads - 1 ? [...GRADIENT_EDGES, ...inner, ...last] : last;
  // Heads run the same code, and so do scorers: one whole head is enough where each takes seconds.
  const whole = extent === "whole" && head === heads - 1 && wholeGradients(options.implementation);
  // Without a device's log-sum-exp, only the last rows of dK and dV are cheap enough.
  const { lse, gathered } = prepared.outputs;
  const told = lse !== undefined && (geometry === undefined || gathered !== undefined);
  const few = !told && !geometry ? range(EXACT_ROWS).map((i) => context - 1 - i) : chosen;
  const names = !told && !whole && geometry ? ["q"] as const : ["q", "k", "v"] as const;
  const rows = whole ? sample.rows : [...new Set(few)]
    .filter((row) => row >= 0 && row < context)
    .sort((a, b) => a - b);
  const comparisons = await compareGradients(gpu, prepared, {
    ...options,
    head,
    rows,
    names,
    exactFrom: (all) => whole ? 0 : head === heads - 1 || !told ? all - EXACT_ROWS : all,
    gathered: geometry && selection ? { geometry, selection } : undefined,
    visible: geometry ? undefined : (head) => visibleOf(options, head),
    leeway: leewayOf(prepared),
    gatheredType: prepared.peer ? problem.shape.dtype : "f32",
    halfProducts: halfProductsOf(gpu, {
      prepared,
      problem,
      rows: selection?.length ?? context,
      kernel: options.kernel,
    }),
  });
  return names.map((name) =>
    partOf(
      `gradient of ${{ q: "queries", k: "keys", v: "values" }[name]}`,
      comparisons.filter((comparison) => comparison.name === name)
        .map(({ row, ...rest }) => ({ label: `head ${head}, row ${row}`, ...rest })),
    )
  );
}
