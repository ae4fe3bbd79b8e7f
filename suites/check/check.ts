/**
 * The correctness gate: no case is timed before its output matched a float64 reference.
 *
 * At a small size all rows of a head are compared; at full size, sampled rows, recomputed from the very
 * inputs on the device. Tolerances are derived row by row: twice the error of a plain f32
 * computation with storage rounding, plus the rounding that no kernel can avoid. METHOD.md explains.
 *
 * @module
 */
import type { Tensor } from "../../kernels/gpu/buffers.ts";
import type { DenseKernel } from "../../kernels/dense_attention/types.ts";
import { planDenseBackward } from "../../kernels/dense_attention/dense_attention_backward.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { type Inspection, inspectTensor } from "../../kernels/gpu/inspect.ts";
import { pcg, seededRows } from "../../kernels/gpu/random.ts";
import { flushesHalves } from "../../kernels/gpu/subnormals.ts";
import type { LayerInputs, Problem, ScorerDescriptor } from "../../kernels/implementation.ts";
import {
  type LighthouseGeometry,
  locateEntry,
  planGeometry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import {
  type AttentionRow,
  type AttentionRowState,
  finishAttentionRow,
  HALF_ULP,
  keysSeen,
  maxDifference,
  maxMagnitude,
  startAttentionRow,
  storingError,
} from "./attention_rows.ts";
import { sha256 } from "../result/digest.ts";
import { compareGradients } from "./gradient_check.ts";
import { lighthouseOptions } from "../../kernels/lighthouse/lighthouse_options.ts";
import {
  inspectRows,
  type Layer,
  type Measurable,
  type PeerTraits,
  readResultRows,
  readStoredRows,
  type Rows,
} from "../plan/measurable.ts";
import type { CheckRecord } from "../result/result_schema.ts";
import { poolRows } from "./pooled_rows.ts";
import { type CheckedScores, SCORE_CHECKS, type ScoreCheckOptions } from "./score_check.ts";
import {
  checkTile,
  LEAST_SCORE,
  tieTolerance,
  tileRows,
  uncoveredRows,
} from "./selection_check.ts";
import { causal, countRows, endOf, type Visible } from "./row_spans.ts";
import { SharedArrays } from "./shared_arrays.ts";
import { allDone, chunksOf, eachRow, streamPast } from "./stream.ts";
import { holdWorkers } from "./worker_pool.ts";

/** What is compared. */
export interface CheckOptions {
  readonly problem: Problem;
  /** What computed it: how selections and rows are compared follows from it. */
  readonly implementation: Pick<Measurable, "scorer" | "visible">;
  readonly inputs: LayerInputs;
  /** Seed of Q; K and V have the two after it. */
  readonly seed: number;
  /** `whole`: every row and tile of the last head, some of the first. `sampled`: some of both. */
  readonly extent: "whole" | "sampled";
  /** Which text of the backward kernels ran. Default: the one that the device gets. */
  readonly kernel?: DenseKernel;
  /** Whether the device flushes subnormals of f16 to zero. Default: it is asked. */
  readonly flushes?: boolean;
  readonly signal?: AbortSignal;
}

/** Digests of the outputs of one execution. */
export interface OutputDigest {
  readonly output: string;
  /** A peer may not tell it. */
  readonly lse?: string;
  readonly selection?: string;
  readonly queryGradient?: string;
  readonly keyGradient?: string;
  readonly valueGradient?: string;
}

/** What a check found, besides the record. */
export interface CheckOutcome {
  readonly check: CheckRecord;
  readonly digest: OutputDigest;
  /** Rows of the output that nothing covers, for Lighthouse. */
  readonly zeroRows?: number;
}

type Part = NonNullable<CheckRecord["parts"]>[number];

/** Rows of one head that are compared. */
interface HeadSample {
  readonly head: number;
  readonly rows: readonly number[];
  readonly tiles: readonly number[];
}

const CHUNK_ROWS = 8192;

/**
 * Compares what the last execution left with the reference.
 *
 * Runs on the host and reads parts of the inputs back: about a second for a whole small problem,
 * several for a sample at 512K.
 */
export async function checkOutputs(
  gpu: Gpu,
  prepared: Layer,
  given: CheckOptions,
): Promise<CheckOutcome> {
  const { problem, implementation } = given;
  const flushes = problem.shape.dtype === "f16" && await flushesHalves(gpu);
  const options = { ...given, flushes };
  using _workers = holdWorkers();
  const parts: Part[] = [
    await checkInputs(gpu, options),
    ...await checkPeerInputs(gpu, prepared, options),
  ];
  const { output, lse, gradients } = prepared.outputs;
  const inspected = await inspectOutputs(gpu, prepared);
  const notFinite = inspected.reduce((sum, [, { notFinite }]) => sum + notFinite, 0);
  parts.push({
    name: "finite",
    passed: notFinite === 0,
    maxError: null,
    tolerance: null,
    detail: `${notFinite} elements of ${
      listed([
        "the output",
        ...lse ? ["its log-sum-exp"] : [],
        ...gradients ? ["the gradients"] : [],
      ])
    } are NaN or infinite`,
  });
  const digest = digestsOf(inspected);
  if (!implementation.scorer) {
    // At once: each spends most of its time waiting for the device to map a buffer.
    const found = await allDone(
      sampleHeads(options, undefined).flatMap((sample) => [
        checkDense(gpu, prepared, { ...options, sample }),
        ...gradients ? [checkGradients(gpu, prepared, { ...options, sample })] : [],
      ]),
    );
    parts.push(...found.flat());
    return { check: summarizeParts(parts, { ...options, prepared }), digest };
  }
  const geometry = planGeometry(problem.shape.context, lighthouseOptions(problem));
  const { readSelection } = prepared.outputs;
  if (!readSelection) throw new TypeError("check outputs: the implementation tells no selection");
  const selection = await readSelection();
  let zeroRows = 0;
  for (let head = 0; head < problem.shape.heads; head++) {
    const bare = uncoveredRows(headSelection(selection, { head, geometry }), geometry);
    zeroRows += bare.length;
    if (bare.length > 0) parts.push(await checkBare(gpu, output, { head, rows: bare }));
  }
  const found = await allDone(
    sampleHeads(options, geometry).flatMap((sample) => {
      const own = headSelection(selection, { head: sample.head, geometry });
      const more = { ...options, sample, geometry, selection: own };
      return [
        checkSelection(gpu, prepared, more),
        checkLighthouse(gpu, prepared, more),
        ...gradients ? [checkGradients(gpu, prepared, more)] : [],
      ];
    }),
  );
  parts.push(...found.flat());
  return {
    check: summarizeParts(parts, { ...options, prepared }),
    digest: { ...digest, selection: await sha256(selection as Int32Array<ArrayBuffer>) },
    zeroRows,
  };
}

/** Digests of what the last execution left. */
export async function digestOutputs(gpu: Gpu, prepared: Layer): Promise<OutputDigest> {
  const digest = digestsOf(await inspectOutputs(gpu, prepared));
  const { readSelection } = prepared.outputs;
  if (!readSelection) return digest;
  const selection = await readSelection();
  return { ...digest, selection: await sha256(selection as Int32Array<ArrayBuffer>) };
}

/** Tensors that an execution leaves, by the name that their digest has. */
async function inspectOutputs(
  gpu: Gpu,
  { outputs }: Layer,
): Promise<[keyof OutputDigest, Inspection][]> {
  const { output, lse, gradients } = outputs;
  const tensors: [keyof OutputDigest, Rows][] = [["output", output]];
  if (lse) tensors.push(["lse", lse]);
  if (gradients) {
    tensors.push(
      ["queryGradient", gradients.q],
      ["keyGradient", gradients.k],
      ["valueGradient", gradients.v],
    );
  }
  const found: [keyof OutputDigest, Inspection][] = [];
  for (const [name, tensor] of tensors) found.push([name, await inspectRows(gpu, tensor)]);
  return found;
}

function digestsOf(inspected: readonly [keyof OutputDigest, Inspection][]): OutputDigest {
  const digests = inspected.map(([name, { digest }]) => [name, digest]);
  return Object.fromEntries(digests) as unknown as OutputDigest;
}

/**
 * The check with one more part: two executions left the same bits. Of a peer that is told and not
 * asked for: `required` is false then.
 */
export function withDeterminism(
  check: CheckRecord,
  digests: { first: OutputDigest; last: OutputDigest; required?: boolean },
): CheckRecord {
  const { first, last, required = true } = digests;
  const all = new Set([...Object.keys(first), ...Object.keys(last)] as (keyof OutputDigest)[]);
  const names = [...all].filter((name) => first[name] !== last[name]);
  const part: Part = {
    name: "determinism",
    passed: names.length === 0 || !required,
    maxError: null,
    tolerance: null,
    detail: names.length === 0
      ? "the first and the last execution left the same bits"
      : `the first and the last execution differ in ${names.join(", ")}`,
  };
  const parts = [...check.parts ?? [], part];
  return { ...check, passed: parts.every((entry) => entry.passed), parts };
}

/** The first failed part, in one line; undefined when the check passed. */
export function failureOf(check: CheckRecord): string | undefined {
  if (check.passed) return undefined;
  const part = check.parts?.find((entry) => !entry.passed);
  if (!part) return "check failed";
  const error = part.maxError === null ? "" : `: error ${part.maxError} exceeds ${part.tolerance}`;
  return `check of ${part.name} failed${error}${part.detail ? ` (${part.detail})` : ""}`;
}

function summarizeParts(
  parts: readonly Part[],
  options: CheckOptions & { prepared: Layer },
): CheckRecord {
  const { implementation, extent, prepared } = options;
  const merged = mergeParts(parts);
  const gradients = merged.filter((part) => part.name.startsWith("gradient"));
  const worst = worstOf([
    ...merged.filter((part) => part.name.startsWith("output")),
    ...gradients,
  ]);
  const what = listed([
    extent === "whole"
      ? "all rows of the last head's output, and some of the first's"
      : "sampled rows of the output",
    ...prepared.outputs.lse ? ["its log-sum-exp"] : [],
    ...implementation.scorer ? [selectionMethod(implementation.scorer)] : [],
  ]);
  return {
    passed: merged.every((part) => part.passed),
    method: `${what} against float64 on the same inputs` +
      (gradients.length > 0 ? `; ${gradientMethod(options)}` : "") +
      (prepared.peer ? `; ${PEER_METHOD}` : ""),
    maxError: worst?.maxError ?? null,
    tolerance: worst?.tolerance ?? null,
    parts: merged,
  };
}

/** Selection by scores that round differently cannot be told from float64 scores alone. */
function selectionMethod({ exactSelection }: ScorerDescriptor): string {
  return exactSelection
    ? "selection"
    : "sampled scores, with the selection as the device's own scores choose it,";
}

/** Gradients do not depend on the scorer once the selection is known. */
function wholeGradients({ scorer }: CheckOptions["implementation"]): boolean {
  return scorer === undefined || scorer.exactSelection;
}

function gradientMethod({ extent, implementation }: CheckOptions): string {
  return extent === "whole" && wholeGradients(implementation)
    ? "all rows of dQ, dK and dV of the last head, and some of the others, against float64"
    : "sampled rows of dQ, dK and dV against float64, for dK and dV of rows before the last few " +
      "with the device's own log-sum-exp, and delta from its own output";
}

/** "a", "a and b", "a, b and c". */
function listed(parts: readonly string[]): string {
  const last = parts[parts.length - 1];
  return parts.length < 2 ? last : `${parts.slice(0, -1).join(", ")} and ${last}`;
}

/** One entry for each name: the failed one, else the one closest to its tolerance. */
function mergeParts(parts: readonly Part[]): Part[] {
  const names = [...new Set(parts.map((part) => part.name))];
  return names.map((name) => {
    const same = parts.filter((part) => part.name === name);
    return same.find((part) => !part.passed) ?? worstOf(same) ?? same[0];
  });
}

function worstOf(parts: readonly Part[]): Part | undefined {
  const share = (part: Part) =>
    part.maxError === null || !part.tolerance ? -1 : part.maxError / part.tolerance;
  return parts.reduce<Part | undefined>(
    (worst, part) => worst === undefined || share(part) > share(worst) ? part : worst,
    undefined,
  );
}

/** The inputs on the device are the seeded ones: the first and the last row of the last head. */
async function checkInputs(gpu: Gpu, { inputs, problem, seed }: CheckOptions): Promise<Part> {
  const names = ["q", "k", "v", "outputGradient"] as const;
  const { heads, context, headDim: dim, dtype } = problem.shape;
  const head = heads - 1;
  const compared = await Promise.all(names.flatMap((name, i) => {
    const tensor = inputs[name];
    return tensor
      ? [0, context - 1].map(async (first) => {
        const have = await readResultRows(gpu, tensor, { head, first, count: 1 });
        const want = seededRows(seed + i, { head, heads, first, count: 1, dim, dtype });
        return maxDifference(have, want) === 0 ? [] : [`${name} row ${first}`];
      })
      : [];
  }));
  const wrong = compared.flat();
  return {
    name: "inputs",
    passed: wrong.length === 0,
    maxError: null,
    tolerance: null,
    detail: wrong.length === 0 ? "as seeded" : `not as seeded: ${wrong.join(", ")}`,
  };
}

/** A peer's own inputs hold the very bits of ours. */
async function checkPeerInputs(
  gpu: Gpu,
  { peer }: Layer,
  { inputs }: CheckOptions,
): Promise<Part[]> {
  if (!peer?.inputs) return [];
  const wrong: string[] = [];
  for (const name of ["q", "k", "v", "outputGradient"] as const) {
    const own = inputs[name];
    const theirs = peer.inputs[name];
    if (!own || !theirs) continue;
    const [want, have] = [await inspectTensor(gpu, own), await theirs.inspect()];
    if (want.digest !== have.digest) wrong.push(name);
  }
  return [{
    name: "peer's inputs",
    passed: wrong.length === 0,
    maxError: null,
    tolerance: null,
    detail: wrong.length === 0 ? "the bits of ours" : `other bits than ours: ${wrong.join(", ")}`,
  }];
}

/** Which rows and tiles of which heads are compared. */
function sampleHeads(
  options: CheckOptions,
  geometry: LighthouseGeometry | undefined,
): HeadSample[] {
  const { problem, extent, seed } = options;
  const { heads, context } = problem.shape;
  const tiles = geometry?.tiles ?? 0;
  let draws = 0;
  const random = (n: number) => pcg((seed + 7919 * ++draws) >>> 0) % n;
  const within = (rows: number[]) =>
    [...new Set(rows.filter((row) => row >= 0 && row < context))].sort((a, b) => a - b);
  // Edges of every tile size in use, and of the first windows of a pyramid.
  const edges = [0, 1, 2, 3, 4, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256];
  // Heads run the same code: one whole one tells as much, and float64 on a host is slow.
  const whole = { head: heads - 1, rows: range(context), tiles: range(tiles) };
  const last = extent === "whole" ? whole : {
    head: heads - 1,
    rows: within([...edges, random(context), random(context), context - 2, context - 1]),
    tiles: tiles > 1 ? [0, tiles - 1] : [0],
  };
  if (heads === 1) return [last];
  return [{ head: 0, rows: within(edges), tiles: tiles > 1 ? [random(tiles)] : [0] }, last];
}

/** Keys that a row sees, as the implementation says. */
function visibleOf({ implementation, problem }: CheckOptions): Visible {
  const { visible } = implementation;
  return visible ? (row) => visible(row, problem) : causal;
}

async function checkDense(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & { sample: HeadSample },
): Promise<Part[]> {
  const { inputs, problem, sample, signal } = options;
  const { dtype } = problem.shape;
  const { head, rows } = sample;
  const seen = rows.map(visibleOf(options));
  const queries = await readSampled(gpu, inputs.q, { head, rows });
  const passed = await streamPast(
    "attentionRows",
    queries.map((query, i) => startAttentionRow(query, { spans: seen[i], dtype })),
    {
      ranges: chunksOf(0, endOf(seen), CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [k, v] = await Promise.all(
          [inputs.k, inputs.v].map(async (tensor) =>
            shared.float32(await readStoredRows(gpu, tensor, { head, ...range }))
          ),
        );
        return { ...range, k, v };
      },
    },
  );
  const finished = passed.map(finishAttentionRow);
  const { output, lse } = prepared.outputs;
  const leeway = leewayOf(prepared);
  const [have, haveLse] = await Promise.all([
    readSampled(gpu, output, { head, rows }),
    lse && readSampled(gpu, lse, { head, rows }),
  ]);
  const comparisons = finished.map((row, i) => ({
    label: `head ${head}, row ${rows[i]}`,
    ...compareOutput(have[i], {
      want: row.output,
      plain: row.plainOutput,
      floor: row.outputFloor + storingError(maxMagnitude(row.output), dtype, options) +
        2 * halfWalk(prepared, countRows(seen[i])) * maxMagnitude(row.output),
      leeway,
    }),
  }));
  if (!haveLse) return [partOf("output", comparisons)];
  const logs = compareLse(finished, { have: haveLse, head, rows, leeway });
  return [partOf("output", comparisons), partOf("log-sum-exp", logs)];
}

/**
 * How much further off a peer may be than one of ours: what it rounds inside is its own affair, and
 * the check is there to see that it computes the same thing.
 */
const PEER_LEEWAY = 4;

const PEER_METHOD = `a peer is allowed ${PEER_LEEWAY} times our tolerance and need not be ` +
  "deterministic";

/** Relative error of a sum of some terms in f16, for a peer that adds so: a random walk. */
function halfWalk({ peer }: Layer, terms: number): number {
  return peer?.halfSums ? Math.sqrt(terms) * HALF_ULP.f16 : 0;
}

function leewayOf({ peer }: Layer): number {
  return peer ? PEER_LEEWAY : 1;
}

interface Comparison {
  readonly label: string;
  readonly error: number;
  readonly tolerance: number;
}

function compareOutput(
  have: ArrayLike<number>,
  options: {
    want: ArrayLike<number>;
    plain: ArrayLike<number>;
    floor: number;
    leeway: number;
  },
): { error: number; tolerance: number } {
  const { want, plain, floor, leeway } = options;
  return {
    error: maxDifference(have, want),
    tolerance: leeway * (2 * maxDifference(plain, want) + floor),
  };
}

function compareLse(
  finished: readonly AttentionRow[],
  options: {
    have: readonly ArrayLike<number>[];
    head: number;
    rows: readonly number[];
    leeway: number;
  },
): Comparison[] {
  const { have, head, rows, leeway } = options;
  return finished.map((row, i) => ({
    label: `head ${head}, row ${rows[i]}`,
    error: maxDifference(have[i], [row.lse]),
    tolerance: leeway * (2 * Math.abs(row.plainLse - row.lse) + row.lseFloor),
  }));
}

/** The comparison that came closest to its tolerance, as a part. */
function partOf(name: string, comparisons: readonly Comparison[]): Part {
  // Rows that nothing covers have no error and no tolerance.
  const share = ({ error, tolerance }: Comparison) =>
    error === 0 ? 0 : Number.isNaN(error) ? Infinity : error / tolerance;
  const worst = comparisons.reduce((a, b) => share(b) > share(a) ? b : a);
  return {
    name,
    passed: share(worst) <= 1,
    maxError: Number.isNaN(worst.error) ? null : worst.error,
    tolerance: worst.tolerance,
    detail: `${comparisons.length} rows, closest to its tolerance: ${worst.label}`,
  };
}

async function checkBare(
  gpu: Gpu,
  output: Rows,
  { head, rows }: { head: number; rows: readonly number[] },
): Promise<Part> {
  const have = await readSampled(gpu, output, { head, rows });
  const error = Math.max(...have.map(maxMagnitude));
  return {
    name: "uncovered rows",
    passed: error === 0,
    maxError: error,
    tolerance: 0,
    detail: `rows that nothing covers are exactly zero (head ${head})`,
  };
}

/** Half of the smallest step of f16 products in the backward pass, where there are any. */
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
  // Ours keep them times 2^8; less only beside numbers so large that the step is nothing to them.
  const { kernel } = planDenseBackward(gpu, { heads: 1, rows, headDim, dtype, kernel: asked });
  return kernel === "matrix" ? 2 ** -33 : undefined;
}

/** Gradients whose rows are compared at full size: each costs a pass over the sequence. */
const GRADIENT_EDGES: readonly number[] = [0, 127];

/** Rows at the end whose statistics are recomputed in float64. */
const EXACT_ROWS = 4;

async function checkGradients(
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
  // A window's rows all get the same share of its gradient; a tail and a random row see each level.
  const chosen = head === heads - 1 ? [...GRADIENT_EDGES, ...inner, ...last] : last;
  // Heads run the same code, and so do scorers: one whole one is enough where each takes seconds.
  const whole = extent === "whole" && head === heads - 1 && wholeGradients(options.implementation);
  // Without a device's log-sum-exp, dK and dV are affordable for the last rows alone.
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
    visible: geometry ? undefined : visibleOf(options),
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

interface LighthouseCheck extends CheckOptions {
  readonly sample: HeadSample;
  readonly geometry: LighthouseGeometry;
  /** Of the sampled head. */
  readonly selection: Int32Array;
}

async function checkSelection(
  gpu: Gpu,
  prepared: Layer,
  options: LighthouseCheck,
): Promise<Part[]> {
  const { inputs, problem, sample, geometry, selection, signal } = options;
  const { head } = sample;
  const { headDim, context } = problem.shape;
  // A peer's norms may be rounded to f16, so it is judged by its own; they are checked below.
  const { exactSelection, name } = options.implementation.scorer!;
  const exact = exactSelection && name === "norm" &&
    !(prepared.peer && prepared.outputs.readScores);
  const device = exact ? undefined : await readDeviceScores(prepared, head);
  let ties = 0;
  for (const tile of sample.tiles) {
    signal?.throwIfAborted();
    const { first, rows } = tileRows(geometry, tile);
    const scores = device
      ? {
        query: Float64Array.from(device.query.subarray(first, first + rows)),
        key: Float64Array.from(device.key.subarray(first, first + rows)),
      }
      : {
        query: await squaredNorms(gpu, inputs.q, { head, first, rows, signal }),
        key: await squaredNorms(gpu, inputs.k, { head, first, rows, signal }),
      };
    const { gatheredPerTile: each } = geometry;
    const verdict = checkTile(selection.subarray(tile * each, (tile + 1) * each), {
      geometry,
      tile,
      scores,
      // From the very scores that the device ranked by, equal scores alone are ties.
      tolerance: device ? 0 : tieTolerance(headDim),
    });
    ties += verdict.ties;
    if (!verdict.passed) {
      return [{
        name: "selection",
        passed: false,
        maxError: null,
        tolerance: null,
        detail: `head ${head}, tile ${tile}: ${verdict.detail}`,
      }];
    }
  }
  const part: Part = {
    name: "selection",
    passed: true,
    maxError: null,
    tolerance: null,
    detail: `${sample.tiles.length} tiles as ${
      device ? "the device's own" : "float64"
    } scores choose, ${ties} entries tied`,
  };
  if (!device || head !== problem.shape.heads - 1) return [part];
  const { extent, seed } = options;
  const random = (draw: number) => pcg((seed + 15485863 * draw) >>> 0) % context;
  const rows = [
    ...new Set([0, 1, 5, 64, context - 1, ...range(extent === "whole" ? 27 : 1).map(random)]),
  ]
    .filter((row) => row < context)
    .sort((a, b) => a - b);
  return [part, await checkScores(gpu, { ...options, head, rows, device, peer: prepared.peer })];
}

async function readDeviceScores({ outputs }: Layer, head: number) {
  if (!outputs.readScores) throw new TypeError("check scores: the implementation tells none");
  return await outputs.readScores(head);
}

/** Both scores of some rows against float64, each with a derived tolerance. */
async function checkScores(
  gpu: Gpu,
  options: ScoreCheckOptions & {
    implementation: CheckOptions["implementation"];
    device: { query: Float32Array; key: Float32Array };
    peer?: PeerTraits;
  },
): Promise<Part> {
  const { problem, head, device, peer } = options;
  const { name } = options.implementation.scorer!;
  const found = await (name === "norm" ? normScores : SCORE_CHECKS[name])(gpu, options);
  // A peer may keep scores, and the rows they are norms of, in the storage type.
  const rounding = peer ? 4 * PEER_LEEWAY * HALF_ULP[problem.shape.dtype] : 0;
  return partOf(
    "scores",
    found.flatMap(({ row, query, key }) =>
      ([["query", query], ["key", key]] as const).map(([name, { score, tolerance }]) => ({
        label: `${name} score, head ${head}, row ${row}`,
        error: maxDifference([device[name][row]], [score]),
        tolerance: tolerance + rounding * score,
      }))
    ),
  );
}

/** Squared norms of chosen rows: what the norm scorer ranks by. */
async function normScores(gpu: Gpu, options: ScoreCheckOptions): Promise<CheckedScores[]> {
  const { inputs, head, rows } = options;
  return await Promise.all(rows.map(async (row) => {
    const [query, key] = await Promise.all([inputs.q, inputs.k].map(async (tensor) => {
      const [score] = await squaredNorms(gpu, tensor, { head, first: row, rows: 1 });
      return { score, tolerance: tieTolerance(tensor.dim) * Math.max(score, LEAST_SCORE) };
    }));
    return { row, query, key };
  }));
}

async function squaredNorms(
  gpu: Gpu,
  tensor: Tensor,
  { head, first, rows, signal }: {
    head: number;
    first: number;
    rows: number;
    signal?: AbortSignal;
  },
): Promise<Float64Array> {
  const { dim } = tensor;
  const norms = new Float64Array(rows);
  for (const range of chunksOf(0, rows, CHUNK_ROWS)) {
    using shared = new SharedArrays();
    const at = { head, first: first + range.first, count: range.count };
    const data = shared.float32(await readStoredRows(gpu, tensor, at));
    const slice = (from: number, to: number) => ({
      rows: data.subarray(from * dim, to * dim),
      dim,
    });
    const found = await eachRow("squaredNorms", range.count, { slice, signal });
    norms.set(found.norms, range.first);
  }
  return norms;
}

/** Gathered rows `first … first + count - 1` of one head, pooled exactly and as stored. */
interface GatheredChunk {
  readonly exact: Float64Array;
  readonly stored: Float32Array;
}

async function gatherRows(
  gpu: Gpu,
  tensor: Tensor,
  options: LighthouseCheck & { first: number; count: number },
): Promise<GatheredChunk> {
  const { geometry, selection, first, count, sample, signal } = options;
  const windows = Array.from(selection.subarray(first, first + count), (entry) => {
    const { level, index } = locateEntry(geometry, entry);
    const window = geometry.pooling ** level;
    return { first: window * index, end: window * (index + 1) };
  });
  return await poolRows(gpu, tensor, { head: sample.head, windows, mean: true, signal });
}

async function checkLighthouse(
  gpu: Gpu,
  prepared: Layer,
  options: LighthouseCheck,
): Promise<Part[]> {
  const { inputs, problem, sample, geometry, selection, signal } = options;
  const { dtype, headDim } = problem.shape;
  const { head, rows } = sample;
  const slotOf = new Int32Array(geometry.entries).fill(-1);
  selection.forEach((entry, slot) => slotOf[entry] = slot);
  const covering = rows.map((row) => coveringSlots(row, { geometry, slotOf }));
  const slots = [...new Set(covering.flat())].sort((a, b) => a - b);
  const parts: Part[] = [];
  const bySlot = new Map<number, AttentionRow>();
  if (slots.length > 0) {
    const starting: AttentionRowState[] = [];
    for (const run of chunksHolding(slots)) {
      const queries = await gatherRows(gpu, inputs.q, { ...options, ...run });
      for (const slot of slots.filter((s) => s >= run.first && s < run.first + run.count)) {
        const at = (slot - run.first) * headDim;
        const stored = queries.stored.subarray(at, at + headDim);
        const exact = queries.exact.subarray(at, at + headDim);
        starting.push(startAttentionRow(exact, { last: slot, dtype, stored }));
      }
    }
    const passed = await streamPast("attentionRows", starting, {
      ranges: chunksOf(0, slots[slots.length - 1] + 1, CHUNK_ROWS),
      workOf: keysSeen,
      signal,
      read: async (range, shared) => {
        const [keys, values] = await allDone(
          [inputs.k, inputs.v].map((tensor) => gatherRows(gpu, tensor, { ...options, ...range })),
        );
        return {
          ...range,
          k: shared.float64(keys.exact),
          v: shared.float64(values.exact),
          storedK: shared.float32(keys.stored),
          storedV: shared.float32(values.stored),
        };
      },
    });
    passed.forEach((row, i) => bySlot.set(slots[i], finishAttentionRow(row)));
    const { lse } = prepared.outputs;
    if (lse) {
      const haveLse = await readSampled(gpu, lse, { head, rows: slots });
      const finished = slots.map((slot) => bySlot.get(slot)!);
      const logs = { have: haveLse, head, rows: slots, leeway: leewayOf(prepared) };
      parts.push(partOf("log-sum-exp", compareLse(finished, logs)));
    }
  }
  const have = await readSampled(gpu, prepared.outputs.output, { head, rows });
  const comparisons = rows.map((row, i) => ({
    label: `head ${head}, row ${row}`,
    ...compareOutput(
      have[i],
      {
        ...scatterRow(covering[i].map((slot) => bySlot.get(slot)!), {
          ...options,
          headDim,
          dtype,
        }),
        leeway: leewayOf(prepared),
      },
    ),
  }));
  return [partOf("output", comparisons), ...parts];
}

/** Gathered rows that add to a base row: at most one for each level. */
function coveringSlots(
  row: number,
  { geometry, slotOf }: { geometry: LighthouseGeometry; slotOf: Int32Array },
): number[] {
  const slots: number[] = [];
  for (let level = 0; level < geometry.levels; level++) {
    // Entry i adds to rows c·i + c - 1 … c·i + 2c - 2.
    const index = Math.floor((row + 1) / geometry.pooling ** level) - 1;
    const slot = index < 0 ? -1 : slotOf[geometry.levelOffsets[level] + index];
    if (slot >= 0) slots.push(slot);
  }
  return slots;
}

function scatterRow(
  contributions: readonly AttentionRow[],
  { headDim, dtype, flushes }: {
    headDim: number;
    dtype: Problem["shape"]["dtype"];
    flushes?: boolean;
  },
): { want: Float64Array; plain: Float32Array; floor: number } {
  const want = new Float64Array(headDim);
  const plain = new Float32Array(headDim);
  let floor = 0;
  for (const { output, plainOutput, outputFloor } of contributions) {
    for (let c = 0; c < headDim; c++) {
      want[c] += output[c];
      plain[c] += plainOutput[c];
    }
    floor += outputFloor + storingError(maxMagnitude(output), dtype, { flushes });
  }
  if (contributions.length > 0) floor += storingError(maxMagnitude(want), dtype, { flushes });
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  return { want, plain: plain.map((value) => round(value)), floor };
}

function headSelection(
  selection: Int32Array,
  { head, geometry }: { head: number; geometry: LighthouseGeometry },
): Int32Array {
  return selection.subarray(head * geometry.gathered, (head + 1) * geometry.gathered);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Ascending rows as runs that hold them, so that one read fetches many: a read costs a wait. */
function runsOf(rows: readonly number[]): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const row of rows) {
    const last = runs[runs.length - 1];
    const near = last && row - (last.first + last.count) < CHUNK_ROWS / 16;
    if (near && row - last.first < CHUNK_ROWS) last.count = row - last.first + 1;
    else runs.push({ first: row, count: 1 });
  }
  return runs;
}

/** Runs that hold all of some ascending slots, each at most a chunk long. */
function chunksHolding(slots: readonly number[]): { first: number; count: number }[] {
  const chunks: { first: number; count: number }[] = [];
  for (const slot of slots) {
    const last = chunks[chunks.length - 1];
    if (last && slot < last.first + 1024) last.count = slot - last.first + 1;
    else chunks.push({ first: slot, count: 1 });
  }
  return chunks;
}

/** Rows of one head, each on its own. */
async function readSampled(
  gpu: Gpu,
  tensor: Rows,
  { head, rows }: { head: number; rows: readonly number[] },
): Promise<Float32Array[]> {
  const { dim } = tensor;
  const read = await Promise.all(
    runsOf(rows).map(async (run) => {
      const data = await readResultRows(gpu, tensor, { head, ...run });
      return rows.filter((row) => row >= run.first && row < run.first + run.count)
        .map((row) => data.subarray((row - run.first) * dim, (row - run.first + 1) * dim));
    }),
  );
  return read.flat();
}
