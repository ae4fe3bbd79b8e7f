/**
 * Checks of scorers with scores of their own. Where these are sums, the order of float sums decides
 * their last bits, so a selection cannot be compared with float64 scores entry by entry. Instead
 * sampled scores are compared with float64 by an error bound, the selection must be exactly what the
 * device's own scores choose, and its recall of what float64 scores choose is reported.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type {
  CheckedScores,
  LayerInputs,
  Prepared,
  Problem,
  ScorerDescriptor,
} from "../../kernels/implementation.ts";
import { dilationOf } from "../../kernels/lighthouse/scorers/dilation.ts";
import { seededGates } from "../../kernels/lighthouse/scorers/gla/gla_gates.ts";
import { glaScoresReference } from "../../kernels/lighthouse/scorers/gla/gla_scores_reference.ts";
import type { LighthouseGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { maximaReference, selectReference } from "../../kernels/lighthouse/lighthouse_reference.ts";
import { GATE_SEED } from "../../kernels/lighthouse/scorers/gla/gla_scorer.ts";
import { scoreCheckOf } from "../check/score_check.ts";
import { exact, judge, type VerifyCheck } from "./check_line.ts";
import { attentionOutputs } from "./references.ts";

/** Scores of the last head: all that the device ranked by, and some rows of them in float64. */
export interface ScoredHead {
  readonly head: number;
  readonly scorer: ScorerDescriptor;
  /** Of base rows, `[N]`. */
  readonly query: Float32Array;
  /** Of base rows, `[N]`. */
  readonly key: Float32Array;
  readonly checked: readonly CheckedScores[];
}

/** Rows whose scores are computed in float64 independently of the kernels' references. */
const SAMPLED_ROWS = 24;

/** Minimum recall of what float64 scores choose: anything below is not explained by rounding. */
const LEAST_RECALL = 0.95;

/**
 * Reads the scores of a layer that has run; undefined for the norm scorer, which does not need
 * them.
 */
export async function readScored(
  gpu: Gpu,
  prepared: Prepared,
  { problem, inputs, scorer }: {
    problem: Problem;
    inputs: LayerInputs;
    scorer: ScorerDescriptor | undefined;
  },
): Promise<ScoredHead | undefined> {
  const { shape: { heads, context } } = problem;
  const { readScores } = prepared.outputs;
  if (!scorer || scorer.name === "norm" || !readScores) return undefined;
  const head = heads - 1;
  const random = Array.from({ length: SAMPLED_ROWS }, (_, i) => pcg(i) % context);
  const rows = [...new Set([0, 1, context - 1, ...random])].sort((a, b) => a - b);
  const checked = await scoreCheckOf(scorer)(gpu, { problem, inputs, head, rows });
  return { head, scorer, ...await readScores(head), checked };
}

/** Compares the scores with float64, and the selection with both. */
export async function checkScored(
  name: string,
  options: {
    problem: Problem;
    geometry: LighthouseGeometry;
    scored: ScoredHead;
    /** Of the scored head. */
    selection: Int32Array;
    /** Of the scored head. */
    inputs: { q: Float64Array; k: Float64Array; v: Float64Array };
  },
): Promise<VerifyCheck[]> {
  const { geometry, scored, selection } = options;
  const { query, key, checked, head } = scored;
  const scores = judge(
    `${name} scores`,
    (["query", "key"] as const).map((which) => ({
      got: checked.map(({ row }) => scored[which][row]),
      want: checked.map((one) => one[which].score),
      tolerance: checked.map((one) => one[which].tolerance),
    })),
    `${checked.length} rows of head ${head}`,
  );
  const select = (base: { query: ArrayLike<number>; key: ArrayLike<number> }) =>
    selectReference(
      maximaReference(base.query, geometry),
      maximaReference(base.key, geometry),
      geometry,
    );
  const own = select({ query, key });
  const differ = own.reduce((sum, entry, i) => sum + Number(entry !== selection[i]), 0);
  const chosen = new Set(selection);
  const found = select(await referenceScores(options)).filter((entry) => chosen.has(entry)).length;
  const recall = found / selection.length;
  const detail = differ === 0
    ? `${selection.length} entries of head ${head} as its own scores choose, recall ${
      recall.toFixed(4)
    } of what float64 scores choose`
    : `head ${head}: ${differ} of ${selection.length} entries are not what its own scores choose`;
  return [scores, exact(`${name} selection`, differ === 0 && recall >= LEAST_RECALL, detail)];
}

/** Both scores of every base row of a head in float64. */
async function referenceScores(
  { problem, inputs, scored }: {
    problem: Problem;
    inputs: { q: Float64Array; k: Float64Array; v: Float64Array };
    scored: ScoredHead;
  },
): Promise<{ query: Float64Array; key: Float64Array }> {
  const { heads, context, headDim } = problem.shape;
  const { head, scorer } = scored;
  if (scorer.reference) {
    const rows = await scorer.reference({
      problem,
      head,
      rows: range(context),
      read: (tensor, { first, count }) =>
        Promise.resolve(inputs[tensor].subarray(first * headDim, (first + count) * headDim)),
    });
    return {
      query: Float64Array.from(rows, ({ query }) => query.score),
      key: Float64Array.from(rows, ({ key }) => key.score),
    };
  }
  const dilation = dilationOf(problem.options!);
  if (scorer.name === "gla") {
    const gates = seededGates(GATE_SEED, { head, heads, context });
    const found = glaScoresReference({ ...inputs, gates }, { headDim, dilation });
    return { query: found.queryScores, key: found.keyScores };
  }
  const residues = range(dilation);
  const classes = residues.map((residue) => {
    const every = (rows: Float64Array) =>
      Float64Array.from(
        { length: rows.length / dilation },
        (_, i) => rows[(Math.floor(i / headDim) * dilation + residue) * headDim + i % headDim],
      );
    return { q: every(inputs.q), k: every(inputs.k), v: every(inputs.v) };
  });
  const sequences = [...classes, ...classes.map(({ q, k, v }) => ({ q: k, k: q, v }))];
  const outputs = await attentionOutputs(sequences, { headDim });
  const norms = (first: number) => {
    const scores = new Float64Array(context);
    for (const residue of residues) {
      outputs[first + residue].output.forEach((x, i) =>
        scores[Math.floor(i / headDim) * dilation + residue] += x * x
      );
    }
    return scores;
  };
  return { query: norms(0), key: norms(dilation) };
}
