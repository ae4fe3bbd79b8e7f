/**
 * Checks against the float64 references on seeded and on deliberately difficult inputs.
 *
 * @module
 */
import { HEAD_DIMS } from "../../kernels/dense_attention/types.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { pcg, pcgSum4 } from "../../kernels/gpu/random.ts";
import type { AttentionShape, Implementation, Problem } from "../../kernels/implementation.ts";
import { inputShapes, keyHeadOf, kvHeadsOf } from "../../kernels/key_heads.ts";
import {
  type LighthouseGeometry,
  planGeometry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import { visibleOf } from "../check/check_options.ts";
import { checkTile, tieTolerance, tileRows } from "../check/selection_check.ts";
import { describeShape, exact, judge, skipped, type VerifyCheck } from "./check_line.ts";
import type { ReferenceRows } from "../check/reference_rows.ts";
import { errorLine } from "../errors.ts";
import { checkVisible, judgeGradients } from "./gradient_checks.ts";
import { gradientHeads, layerHeads } from "./layer_reference.ts";
import { exactHead, headOf, type HostInputs, type LayerSource, runLayer } from "./layer_run.ts";
import { attentionReference, maskedReference } from "./references.ts";
import { checkScored } from "./scorer_checks.ts";

/** Kinds of inputs, each difficult in its own way. */
export type InputKind = "seeded" | "extreme" | "equal rows" | "repeated keys" | "tiny";

/** One shape and the kind of numbers in it. */
export interface DenseCase {
  readonly shape: AttentionShape;
  readonly kind: InputKind;
  readonly seed: number;
}

/** Storage types that the device has. */
export function dtypesOf(gpu: Pick<Gpu, "capabilities">): DType[] {
  return gpu.capabilities.f16 ? ["f32", "f16"] : ["f32"];
}

/** Fixed and seeded random cases for a dense implementation. */
export function denseCases(
  gpu: Pick<Gpu, "capabilities">,
  options: { seed: number; quick: boolean },
): DenseCase[] {
  const { seed, quick } = options;
  const cases: DenseCase[] = [];
  const add = (shape: AttentionShape, kind: InputKind = "seeded") =>
    cases.push({ shape, kind, seed: (seed + 10 * cases.length) >>> 0 });
  for (const dtype of dtypesOf(gpu)) {
    for (const headDim of quick ? [64] : HEAD_DIMS) {
      add({ heads: 2, context: 141, headDim, dtype }); // not a multiple of any tile
    }
  }
  add({ heads: 1, context: 1, headDim: 64, dtype: "f32" });
  add({ heads: 1, context: 5, headDim: 64, dtype: "f32" }); // smaller than a tile
  for (const kind of ["extreme", "equal rows", "repeated keys", "tiny"] as const) {
    add({ heads: 1, context: 133, headDim: 32, dtype: "f32" }, kind);
  }
  const random = drawer(seed);
  for (let i = 0; i < (quick ? 2 : 8); i++) {
    const dtypes = dtypesOf(gpu);
    add({
      heads: 1 + random(3),
      context: 1 + random(400),
      headDim: HEAD_DIMS[random(HEAD_DIMS.length)],
      dtype: dtypes[random(dtypes.length)],
    });
  }
  // Query heads that share keys: groups of two and of three.
  add({ heads: 4, kvHeads: 2, context: 141, headDim: 64, dtype: "f32" });
  add({ heads: 3, kvHeads: 1, context: 70, headDim: 64, dtype: dtypesOf(gpu).at(-1)! });
  return cases;
}

/** Default options of an implementation, as far as they are numbers. */
function defaultOptions({ options }: Pick<Implementation, "options">): Record<string, number> {
  return Object.fromEntries(
    options.filter(({ initial }) => typeof initial === "number")
      .map(({ name, initial }) => [name, initial as number]),
  );
}

/** A problem with the default options of an implementation. */
export function withDefaults(
  implementation: Pick<Implementation, "options" | "shortOptions">,
  problem: Problem,
): Problem {
  if (implementation.options.length === 0) return problem;
  const { context } = problem.shape;
  const options = implementation.shortOptions?.(context) ?? defaultOptions(implementation);
  return { ...problem, options: { ...options, ...problem.options } };
}

/** Float64 results that one implementation was checked against, for reuse by the next one. */
export type DenseReferences = Map<
  DenseCase,
  { readonly inputs: HostInputs; readonly weights: DType; readonly heads: readonly ReferenceRows[] }
>;

/**
 * Compares a dense implementation's output and log-sum-exp with float64.
 *
 * @param references computed for other implementations; reused where the inputs are the same.
 */
export async function checkDense(
  gpu: Gpu,
  implementation: Implementation,
  { entry, references }: { entry: DenseCase; references: DenseReferences },
): Promise<VerifyCheck> {
  const { shape, kind, seed } = entry;
  const { heads, headDim, dtype } = shape;
  const problem = withDefaults(implementation, { shape });
  if (implementation.reference) {
    return await checkOwnReference(gpu, implementation, { entry, problem });
  }
  const { inputs, output, lse, weights, flushes, selection } = await runLayer(gpu, implementation, {
    problem,
    source: kind === "seeded" ? { seed } : { data: awkwardInputs(shape, { kind, seed }) },
  });
  // Lists are followed here; gradient checks and those before a measurement hold them against
  // float64.
  const { visible, selector, tokens } = implementation;
  const masked = visible || selector || tokens;
  let known = masked ? undefined : references.get(entry);
  if (!known || known.weights !== weights || !sameInputs(known.inputs, inputs)) {
    known = {
      inputs,
      weights,
      heads: await Promise.all(Array.from({ length: heads }, (_, head) => {
        const keys = { head: keyHeadOf(shape, head), heads: kvHeadsOf(shape) };
        const tensors = {
          q: exactHead(inputs.q, { head, heads }),
          k: exactHead(inputs.k, keys),
          v: exactHead(inputs.v, keys),
        };
        const options = { headDim, dtype, weights, flushes };
        const given = { implementation, problem, lists: selection, tokens: selection };
        return masked
          ? maskedReference(tensors, { ...options, visible: visibleOf(given, head) })
          : attentionReference(tensors, options);
      })),
    };
    if (!masked) references.set(entry, known);
  }
  const comparisons = known.heads.flatMap((want, head) => [
    { got: headOf(output, { head, heads }), want: want.output, tolerance: want.tolerance },
    { got: headOf(lse, { head, heads }), want: want.lse, tolerance: want.lseTolerance },
  ]);
  return judge(`${implementation.name} ${describeShape(shape)} ${kind}`, comparisons);
}

/** A layer that brings its own reference, which compares seeded inputs. */
async function checkOwnReference(
  gpu: Gpu,
  implementation: Implementation,
  { entry, problem }: { readonly entry: DenseCase; readonly problem: Problem },
): Promise<VerifyCheck> {
  const { shape, kind, seed } = entry;
  const name = `${implementation.name} ${describeShape(shape)} ${kind}`;
  if (kind !== "seeded") return skipped(name, "its reference compares seeded inputs");
  try {
    implementation.plan(gpu, problem);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return skipped(name, errorLine(error));
  }
  return await checkVisible(gpu, implementation, { problem, seed, name });
}

function sameInputs(a: HostInputs, b: HostInputs): boolean {
  return (["q", "k", "v"] as const).every((name) =>
    (a[name] as Float32Array).every((value, i) => Object.is(value, b[name][i]))
  );
}

/** One Lighthouse layer to check. */
export interface LighthouseCase {
  readonly problem: Problem;
  readonly seed: number;
}

/** Fixed and seeded random cases for a Lighthouse implementation. */
export function lighthouseCases(
  gpu: Pick<Gpu, "capabilities">,
  options: { seed: number; quick: boolean; implementation: Pick<Implementation, "options"> },
): LighthouseCase[] {
  const { seed, quick, implementation } = options;
  // Other options take their defaults; the paper's dilation divides every context here.
  const rest = defaultOptions(implementation);
  const cases: LighthouseCase[] = [];
  const add = (shape: AttentionShape, sizes: { levels: number; pooling: number; k: number }) =>
    cases.push({
      problem: {
        shape,
        options: { ...rest, ...sizes },
      },
      seed: (seed + 1000 + 10 * cases.length) >>> 0,
    });
  for (const dtype of dtypesOf(gpu)) {
    add({ heads: 2, context: 2064, headDim: 64, dtype }, { levels: 3, pooling: 4, k: 128 });
  }
  if (!quick) {
    const [last] = dtypesOf(gpu).slice(-1);
    add({ heads: 1, context: 2048, headDim: 128, dtype: last }, { levels: 5, pooling: 2, k: 128 });
    add({ heads: 1, context: 2048, headDim: 32, dtype: "f32" }, { levels: 2, pooling: 16, k: 128 });
    add({ heads: 1, context: 8192, headDim: 32, dtype: last }, { levels: 3, pooling: 8, k: 128 });
  }
  const random = drawer(seed + 1);
  for (let i = 0; i < (quick ? 1 : 4); i++) {
    // S stays near 1,000 rows, which keeps the float64 reference to about a second.
    const levels = 2 + random(3);
    const pooling = levels === 2 ? 4 : 2;
    const tiles = 1 + random(2);
    const dtypes = dtypesOf(gpu);
    add({
      heads: 1 + random(2),
      context: (128 + random(30)) * tiles * pooling ** (levels - 1),
      headDim: 2 ** (5 + random(2)),
      dtype: dtypes[random(dtypes.length)],
    }, { levels, pooling, k: 128 * tiles });
  }
  return cases;
}

/** Rows under one coarsest entry up to which seeded gradients sum exactly in f32. */
export const EXACT_GRADIENT_ROWS = 64;

/**
 * A Lighthouse layer: the selection from Q and K against float64 scores of the same stored inputs
 * (norm scorer), or scores by an error bound and the selection by these and by recall (other
 * scorers); the output and log-sum-exp against float64 for that selection, and the gradients where
 * requested.
 */
export async function checkLighthouse(
  gpu: Gpu,
  implementation: Implementation,
  { entry, gradients = false }: { entry: LighthouseCase; gradients?: boolean },
): Promise<VerifyCheck[]> {
  const { shape } = entry.problem;
  const { heads, headDim, context } = shape;
  const scorer = implementation.scorer!;
  const geometry = planGeometry(context, lighthouseOptions(entry.problem));
  const derived = geometry.windowRows <= EXACT_GRADIENT_ROWS;
  const problem: Problem = gradients && derived
    ? { ...entry.problem, direction: "forward-backward" }
    : entry.problem;
  const source: LayerSource = { seed: entry.seed };
  const run = await runLayer(gpu, implementation, { problem, source, scores: true });
  const name = `${implementation.name} ${describeLayer(problem, implementation)}`;
  const scoring: VerifyCheck[] = [];
  let ties = 0;
  for (let head = 0; head < heads; head++) {
    const of = { head, heads };
    const inputs = {
      q: exactHead(run.inputs.q, of),
      k: exactHead(run.inputs.k, of),
      v: exactHead(run.inputs.v, of),
    };
    const selection = headOf(run.selection!, of);
    if (scorer.name === "norm") {
      const verdict = checkNormSelection(inputs, { geometry, selection, headDim });
      if (!verdict.passed) {
        return [exact(`${name} selection`, false, `head ${head}, ${verdict.detail}`)];
      }
      ties += verdict.ties;
    } else if (run.scored?.head === head) {
      const { scored } = run;
      scoring.push(...await checkScored(name, { problem, geometry, scored, selection, inputs }));
    }
  }
  const layers = await layerHeads(run, problem);
  const count = heads * geometry.gathered;
  const tied = ties === 0 ? "none differ" : `${ties} differ, each a tie within rounding`;
  const checks = [
    ...scorer.name === "norm"
      ? [exact(`${name} selection`, true, `${count} entries against float64 scores, ${tied}`)]
      : run.scored
      ? scoring
      : [skipped(`${name} selection`, `the implementation does not return ${scorer.name} scores`)],
    judge(
      `${name} output`,
      layers.flatMap((want, head) => [
        { got: headOf(run.output, { head, heads }), want: want.output, tolerance: want.tolerance },
        { got: headOf(run.lse, { head, heads }), want: want.lse, tolerance: want.lseTolerance },
      ]),
    ),
  ];
  if (gradients && !derived) {
    const reason = `windows of ${geometry.windowRows} rows have no derived tolerance`;
    checks.push(skipped(`${name} gradients`, reason));
  } else if (gradients) {
    const references = await gradientHeads(run, problem, layers);
    checks.push(judgeGradients(`${name} gradients`, { run, references }));
  }
  return checks;
}

function checkNormSelection(
  { q, k }: { q: Float64Array; k: Float64Array },
  options: { geometry: LighthouseGeometry; selection: Int32Array; headDim: number },
): { passed: boolean; ties: number; detail?: string } {
  const { geometry, selection, headDim } = options;
  const query = squaredNorms(q, headDim);
  const key = squaredNorms(k, headDim);
  const { gatheredPerTile: each } = geometry;
  let ties = 0;
  for (let tile = 0; tile < geometry.tiles; tile++) {
    const { first, rows } = tileRows(geometry, tile);
    const verdict = checkTile(selection.subarray(tile * each, (tile + 1) * each), {
      geometry,
      tile,
      scores: {
        query: query.subarray(first, first + rows),
        key: key.subarray(first, first + rows),
      },
      tolerance: tieTolerance(headDim),
    });
    if (!verdict.passed) return { ...verdict, detail: `tile ${tile}: ${verdict.detail}` };
    ties += verdict.ties;
  }
  return { passed: true, ties };
}

/** `f16 d=64 N=2064 H=2 L=3 p=4 k=128`: a layer with the options that it has. */
export function describeLayer(
  { shape, options = {} }: Problem,
  implementation: Pick<Implementation, "options">,
): string {
  const own = implementation.options.filter(({ name }) => options[name] !== undefined)
    .map(({ name, letter }) => `${letter}=${options[name]}`);
  return [describeShape(shape), ...own].join(" ");
}

function squaredNorms(rows: Float64Array, dim: number): Float64Array {
  const norms = new Float64Array(rows.length / dim);
  for (let r = 0; r < norms.length; r++) {
    for (let c = r * dim; c < (r + 1) * dim; c++) norms[r] += rows[c] * rows[c];
  }
  return norms;
}

function awkwardInputs(
  shape: AttentionShape,
  options: { kind: Exclude<InputKind, "seeded">; seed: number },
): [Float32Array, Float32Array, Float32Array] {
  const { kind, seed } = options;
  const shapes = inputShapes(shape);
  const sizeOf = (offset: number) => {
    const { heads, rows, dim } = offset === 0 ? shapes.q : shapes.k;
    return heads * rows * dim;
  };
  // pcg-sum4 reaches ±4: 2500 times that is the ±1e4 that softmax must handle in f32.
  const scale = kind === "extreme" ? 2500 : kind === "tiny" ? 1e-20 : 1;
  const draw = (offset: number) =>
    Float32Array.from({ length: sizeOf(offset) }, (_, i) => pcgSum4(seed + offset, i) * scale);
  const same = (offset: number) =>
    Float32Array.from(
      { length: sizeOf(offset) },
      (_, i) => pcgSum4(seed + offset, i % shape.headDim),
    );
  if (kind === "equal rows") return [same(0), same(1), same(2)];
  return [draw(0), kind === "repeated keys" ? same(1) : draw(1), draw(2)];
}

/** Seeded whole numbers below a limit. */
function drawer(seed: number): (limit: number) => number {
  let drawn = 0;
  return (limit) => pcg((seed + 7919 * ++drawn) >>> 0) % limit;
}
