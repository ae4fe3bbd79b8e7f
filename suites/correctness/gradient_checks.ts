/**
 * Checks of dQ, dK and dV: against float64 on seeded inputs, and against golden gradients.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { GatheredCuts, Implementation, Problem } from "../../kernels/implementation.ts";
import { groupOf, keyHeadOf, kvHeadsOf } from "../../kernels/key_heads.ts";
import type { ReferenceGradients } from "../check/reference_rows.ts";
import { checkOutputs, failureOf } from "../check/check.ts";
import { type Comparison, describeShape, exact, judge, type VerifyCheck } from "./check_line.ts";
import { exactHead, headOf, type LayerRun, runLayer, withLayer } from "./layer_run.ts";
import { attentionReference, gradientReference } from "./references.ts";

const NAMES = ["q", "k", "v"] as const;

/** Compares dQ, dK and dV of seeded dense attention with float64. */
export async function checkDenseGradients(
  gpu: Gpu,
  implementation: Implementation,
  options: { problem: Problem; seed: number },
): Promise<VerifyCheck> {
  const problem: Problem = { ...options.problem, direction: "forward-backward" };
  const { heads, headDim, dtype } = problem.shape;
  const name = `${implementation.name} ${describeShape(problem.shape)} gradients`;
  // The references are causal; the checks before each measurement handle any visible keys.
  const { visible, selector, tokens, reference } = implementation;
  if (visible || selector || tokens || reference) {
    return await checkVisible(gpu, implementation, { problem, seed: options.seed, name });
  }
  const run = await runLayer(gpu, implementation, { problem, source: { seed: options.seed } });
  const { weights, flushes } = run;
  const references = await Promise.all(
    Array.from({ length: heads }, async (_, head) => {
      const of = { head, heads };
      const ofKeys = { head: keyHeadOf(problem.shape, head), heads: kvHeadsOf(problem.shape) };
      const tensors = {
        q: exactHead(run.inputs.q, of),
        k: exactHead(run.inputs.k, ofKeys),
        v: exactHead(run.inputs.v, ofKeys),
      };
      const outputGradient = exactHead(run.inputs.outputGradient!, of);
      const forward = await attentionReference(tensors, { headDim, dtype, weights, flushes });
      return await gradientReference(
        { ...tensors, outputGradient },
        { forward, headDim, dtype, weights, flushes },
      );
    }),
  );
  return judgeGradients(name, { run, references: addGroups(references, problem.shape) });
}

/**
 * Gradients of each head, where dK and dV of a key head are the sums over its query heads; the
 * tolerances of a sum's terms add up.
 */
function addGroups(
  references: readonly ReferenceGradients[],
  shape: Problem["shape"],
): readonly (Pick<ReferenceGradients, "q"> & Partial<ReferenceGradients>)[] {
  const group = groupOf(shape);
  if (group === 1) return references;
  const sum = (rows: readonly Float64Array[]) =>
    rows[0].map((_, i) => rows.reduce((all, row) => all + row[i], 0));
  return references.map(({ q }, head) => {
    if (head >= kvHeadsOf(shape)) return { q };
    const members = references.slice(head * group, (head + 1) * group);
    const add = (name: "k" | "v") => ({
      gradient: sum(members.map((one) => one[name].gradient)),
      tolerance: sum(members.map((one) => one[name].tolerance)),
    });
    return { q, k: add("k"), v: add("v") };
  });
}

/** A seeded layer against float64 by the check that precedes measurements: all rows. */
export async function checkVisible(
  gpu: Gpu,
  implementation: Implementation,
  { problem, seed, name, cuts }: {
    readonly problem: Problem;
    readonly seed: number;
    readonly name: string;
    readonly cuts?: GatheredCuts;
  },
): Promise<VerifyCheck> {
  const { check } = await withLayer(gpu, implementation, {
    problem,
    cuts,
    source: { seed },
    use: async (prepared, inputs) => {
      await prepared.execute();
      const options = { problem, implementation, inputs, seed, extent: "whole" } as const;
      return await checkOutputs(gpu, prepared, options);
    },
  });
  return exact(name, check.passed, failureOf(check) ?? check.method);
}

/** Compares gradients of a run with those of each head in float64. */
export function judgeGradients(
  name: string,
  { run, references }: {
    run: LayerRun;
    /** Of each head; dK and dV of each key head. */
    references: readonly Partial<ReferenceGradients>[];
  },
): VerifyCheck {
  const comparisons = NAMES.flatMap((tensor) => {
    const known = references.flatMap((reference) => reference[tensor] ?? []);
    return known.map(({ gradient, tolerance }, head): Comparison => ({
      got: headOf(run.gradients![tensor], { head, heads: known.length }),
      want: gradient,
      tolerance,
    }));
  });
  return judge(name, comparisons);
}

/**
 * Compares gradients of a run with golden ones, `[heads, N, d]` each. Golden gradients have f32
 * roundings of their own, so each side may use the tolerance.
 */
export function judgeGoldenGradients(
  name: string,
  options: {
    run: LayerRun;
    references: readonly ReferenceGradients[];
    golden: { readonly q: Float32Array; readonly k: Float32Array; readonly v: Float32Array };
  },
): VerifyCheck {
  const { run, references, golden } = options;
  const heads = references.length;
  const comparisons = references.flatMap((reference, head) =>
    NAMES.map((tensor): Comparison => ({
      got: headOf(run.gradients![tensor], { head, heads }),
      want: headOf(golden[tensor], { head, heads }),
      tolerance: reference[tensor].tolerance.map((x) => 2 * x),
    }))
  );
  return judge(name, comparisons, "dQ, dK, dV");
}
