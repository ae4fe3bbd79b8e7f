/**
 * Checks of dQ, dK and dV: against float64 on seeded inputs, and against golden gradients.
 *
 * @module
 */
import {
  denseBackwardReference,
  type GradientRow,
} from "../../kernels/dense_attention/dense_attention_backward_reference.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Implementation, Problem } from "../../kernels/implementation.ts";
import { lighthouseBackwardReference } from "../../kernels/lighthouse/lighthouse_backward_reference.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import { type Comparison, judge, skipped, type VerifyCheck } from "./check_line.ts";
import { exactHead, headOf, type LayerRun, runLayer } from "./layer_run.ts";
import { describeLayer } from "./reference_checks.ts";

/** Rows under one coarsest entry up to which seeded gradients sum exactly in f32. */
export const EXACT_GRADIENT_ROWS = 64;

const NAMES = ["q", "k", "v"] as const;

/** Gradients of one head in float64, for the selection that the device made. */
function headReference(
  run: LayerRun,
  problem: Problem,
  head: number,
): { q: GradientRow; k: GradientRow; v: GradientRow } {
  const { heads, headDim, dtype, context } = problem.shape;
  const of = { head, heads };
  const tensors = {
    q: exactHead(run.inputs.q, of),
    k: exactHead(run.inputs.k, of),
    v: exactHead(run.inputs.v, of),
    outputGradient: exactHead(run.inputs.outputGradient!, of),
  };
  if (!run.selection) return denseBackwardReference({ ...tensors, headDim }, { dtype });
  return lighthouseBackwardReference(tensors, planGeometry(context, lighthouseOptions(problem)), {
    headDim,
    selection: headOf(run.selection, of),
    store: dtype === "f16" ? Math.f16round : Math.fround,
    dtype,
  });
}

/** dQ, dK and dV of a seeded layer against float64. */
export async function checkGradients(
  gpu: Gpu,
  implementation: Implementation,
  options: { problem: Problem; seed: number },
): Promise<VerifyCheck> {
  const problem: Problem = { ...options.problem, direction: "forward-backward" };
  const { shape } = problem;
  const name = `${implementation.name} ${describeLayer(problem, implementation)} gradients`;
  if (implementation.scorer) {
    const { windowRows } = planGeometry(shape.context, lighthouseOptions(problem));
    if (windowRows > EXACT_GRADIENT_ROWS) {
      return skipped(name, `windows of ${windowRows} rows have no derived tolerance`);
    }
  }
  const run = await runLayer(gpu, implementation, { problem, source: { seed: options.seed } });
  const comparisons: Comparison[] = [];
  for (let head = 0; head < shape.heads; head++) {
    const want = headReference(run, problem, head);
    for (const tensor of NAMES) {
      comparisons.push({
        got: headOf(run.gradients![tensor], { head, heads: shape.heads }),
        want: want[tensor].gradient,
        tolerance: want[tensor].tolerance,
      });
    }
  }
  return judge(name, comparisons);
}

/**
 * Gradients of a run against golden ones, `[heads, N, d]` each. Golden gradients have f32 roundings
 * of their own, so both sides may take the tolerance.
 */
export function judgeGoldenGradients(
  name: string,
  options: {
    run: LayerRun;
    problem: Problem;
    golden: { readonly q: Float32Array; readonly k: Float32Array; readonly v: Float32Array };
  },
): VerifyCheck {
  const { run, problem, golden } = options;
  const { heads } = problem.shape;
  const comparisons: Comparison[] = [];
  for (let head = 0; head < heads; head++) {
    const reference = headReference(run, problem, head);
    for (const tensor of NAMES) {
      comparisons.push({
        got: headOf(run.gradients![tensor], { head, heads }),
        want: headOf(golden[tensor], { head, heads }),
        tolerance: reference[tensor].tolerance.map((x) => 2 * x),
      });
    }
  }
  return judge(name, comparisons, "dQ, dK, dV");
}
