/**
 * Compares scores of chosen base rows with float64, for scorers whose scores depend on more than
 * the row itself. Scores are squared norms, as in the kernels.
 *
 * @module
 */
import type { Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { SMALLEST_NORMAL, UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import type {
  CheckedScores,
  LayerInputs,
  Problem,
  ScorerDescriptor,
} from "../../kernels/implementation.ts";
import { planSquaredNorms } from "../../kernels/dense_attention/dense_squared_norms.ts";
import { dilationOf } from "../../kernels/lighthouse/scorers/dilation.ts";
import { seededGates } from "../../kernels/lighthouse/scorers/gla/gla_gates.ts";
import { GATE_SEED, glaKernel } from "../../kernels/lighthouse/scorers/gla/gla_scorer.ts";
import {
  type ClassRowState,
  finishAttentionRow,
  keysSeen,
  maxDifference,
  startAttentionRow,
} from "./attention_rows.ts";
import { LEAST_SCORE } from "./selection_check.ts";
import { readResultRows } from "../plan/measurable.ts";
import { chunksOf, streamPast } from "./stream.ts";

/** Which rows of which head. */
export interface ScoreCheckOptions {
  readonly problem: Problem;
  readonly inputs: LayerInputs;
  readonly head: number;
  readonly rows: readonly number[];
  readonly signal?: AbortSignal;
}

const CHUNK_ROWS = 32768;
/** Once gates have decayed this far, nothing is left in float64. */
const CLOSED = -45;

/** Scores of some rows by the dilated scorer: norms of attention inside each residue class. */
export async function dilatedScores(
  gpu: Gpu,
  options: ScoreCheckOptions,
): Promise<CheckedScores[]> {
  const { problem, inputs, head, rows, signal } = options;
  const { headDim: dim } = problem.shape;
  const dilation = dilationOf(problem.options!);
  const { launch } = planSquaredNorms(gpu, {
    ...problem.shape,
    rows: problem.shape.context,
    dilation,
  });
  const weights = launch.kernel === "matrix" ? "f16" : "f32";
  const starting: ClassRowState[] = [];
  for (const row of rows) {
    for (const [tensor, side] of [[inputs.q, "k"], [inputs.k, "q"]] as const) {
      const reader = await readResultRows(gpu, tensor, { head, first: row, count: 1 });
      const last = Math.floor(row / dilation);
      starting.push({
        row: startAttentionRow(reader, { last, dtype: "f32", weights }),
        residue: row % dilation,
        side,
      });
    }
  }
  const residues = new Set(starting.map(({ residue }) => residue));
  const step = Math.ceil(CHUNK_ROWS / dilation) * dilation;
  const finished = await streamPast("classRows", starting, {
    ranges: chunksOf(0, Math.max(...rows) + 1, step),
    workOf: ({ row }, { first, count }) =>
      keysSeen(row, { first: first / dilation, count: count / dilation }),
    signal,
    read: async ({ first, count }, shared) => {
      const range = { head, first, count };
      const [q, k, v] = await Promise.all(
        [inputs.q, inputs.k, inputs.v].map((tensor) => readResultRows(gpu, tensor, range)),
      );
      const classes = Object.fromEntries([...residues].map((residue) => {
        const every = (data: Float32Array) =>
          shared.float32(everyRow(data, { dim, residue, dilation }));
        const values = every(v);
        const own = { q: every(q), k: every(k), v: values, count: values.length / dim };
        return [residue, own];
      }));
      return { first: first / dilation, classes };
    },
  });
  const scoreOf = ({ row }: ClassRowState) => {
    const { output, plainOutput, outputFloor } = finishAttentionRow(row);
    const error = 2 * maxDifference(plainOutput, output) + outputFloor;
    return squaredNorm(output, { error: Math.sqrt(dim) * error });
  };
  return rows.map((row, i) => ({
    row,
    query: scoreOf(finished[2 * i]),
    key: scoreOf(finished[2 * i + 1]),
  }));
}

/** Scores of some rows by the gla scorer with its seeded gates. */
export async function glaScores(gpu: Gpu, options: ScoreCheckOptions): Promise<CheckedScores[]> {
  const { problem, inputs, head, rows, signal } = options;
  const { heads, context } = problem.shape;
  const gates = seededGates(GATE_SEED, { head, heads, context });
  const dilation = dilationOf(problem.options!);
  const onMatrixUnits = glaKernel(gpu, { ...problem.shape, dilation }) === "matrix";
  const found: CheckedScores[] = [];
  for (const row of rows) {
    signal?.throwIfAborted();
    const past = { ...await readPast(gpu, { ...options, row, gates }), onMatrixUnits };
    const { q, k } = inputs;
    const reader = async (tensor: Tensor) =>
      await readResultRows(gpu, tensor, { head, first: row, count: 1 });
    found.push({
      row,
      query: glaScore(await reader(q), { ...past, writers: past.k }),
      key: glaScore(await reader(k), { ...past, writers: past.q }),
    });
  }
  return found;
}

/** Rows of a residue class up to one row, latest first, as far back as gates pass them. */
async function readPast(
  gpu: Gpu,
  options: ScoreCheckOptions & { row: number; gates: Float32Array },
) {
  const { problem, inputs, head, row, gates } = options;
  const { headDim: dim } = problem.shape;
  const dilation = dilationOf(problem.options!);
  const closing: number[] = [];
  let closed = 0;
  for (let at = row; at >= 0 && closed > CLOSED; at -= dilation) {
    closing.push(closed);
    closed += gates[at];
  }
  const first = row - (closing.length - 1) * dilation;
  const range = { head, first, count: row - first + 1 };
  const read = async (tensor: Tensor) =>
    everyRow(await readResultRows(gpu, tensor, range), { dim, residue: 0, dilation });
  return { closing, q: await read(inputs.q), k: await read(inputs.k), v: await read(inputs.v) };
}

/**
 * ‖Σ_j exp(g)·(r·w_j)·v_j/√d‖² over the rows of a class. Its products and sums round independently
 * of each other, as in gradient_rows.ts; exponentials, and the sums of gates in them, err by units
 * in the last place of the sums.
 *
 * On matrix units readers, the state, values and products are rounded to f16 too, each element
 * independently by at most 2^-11 of itself. Elements of the state are at most Σ_j
 * exp(g)·|w_ja|·‖v_j‖ in norm. A decayed reader below the normal numbers is off by 2^-25, beside a
 * state that may have no decay.
 */
function glaScore(
  reader: Float32Array,
  past: {
    closing: readonly number[];
    writers: Float32Array;
    v: Float32Array;
    onMatrixUnits: boolean;
  },
): { score: number; tolerance: number } {
  const { closing, writers, v, onMatrixUnits } = past;
  const dim = reader.length;
  const output = new Float64Array(dim);
  const readerNorm = Math.sqrt(reader.reduce((sum, x) => sum + x * x, 0));
  const states = new Float64Array(dim);
  let independent = 0;
  let products = 0;
  let shared = 0;
  let largest = 0;
  let undecayed = 0;
  for (const [back, gate] of closing.entries()) {
    const at = (closing.length - 1 - back) * dim;
    let dot = 0;
    let writerSquares = 0;
    let valueSquares = 0;
    for (let c = 0; c < dim; c++) {
      dot += reader[c] * writers[at + c];
      writerSquares += writers[at + c] ** 2;
      valueSquares += v[at + c] ** 2;
      largest = Math.max(largest, Math.abs(v[at + c]));
    }
    const decay = Math.exp(gate);
    for (let c = 0; c < dim; c++) {
      output[c] += decay * dot * v[at + c];
      states[c] += decay * Math.abs(writers[at + c]) * Math.sqrt(valueSquares);
    }
    independent += decay * decay * dim * readerNorm ** 2 * writerSquares * valueSquares;
    products += decay * decay * dot * dot * valueSquares;
    undecayed += Math.sqrt(dim * writerSquares * valueSquares);
    // Two exponentials at most, of sums of up to 64 gates each, added in a tree or in sequence.
    shared += decay * Math.abs(dot) * Math.sqrt(valueSquares) * (12 + 32 * Math.abs(gate));
  }
  const scale = 1 / Math.sqrt(dim);
  const read = Math.sqrt(reader.reduce((sum, x, c) => sum + (x * states[c]) ** 2, 0));
  const halves = onMatrixUnits
    ? 4 * 2 ** -11 * (2 * read + Math.sqrt(products)) + 2 ** -25 * undecayed
    : 0;
  // Every product may be flushed to zero.
  const flushed = closing.length * dim * (1 + largest) * SMALLEST_NORMAL.f32;
  return squaredNorm(output.map((x) => x * scale), {
    error: scale *
      (UNIT_ROUNDOFF * (4 * Math.sqrt(independent) + shared) + halves + flushed),
  });
}

/** A squared norm, and its error when the row is off by `error` in norm. */
function squaredNorm(row: Float64Array, { error }: { error: number }) {
  const score = row.reduce((sum, x) => sum + x * x, 0);
  const summing = (row.length + 2) * UNIT_ROUNDOFF * Math.max(score, LEAST_SCORE);
  return { score, tolerance: 2 * Math.sqrt(score) * error + error * error + summing };
}

/** Rows `residue`, `residue + dilation`, … of `[rows, dim]`. */
function everyRow(
  data: Float32Array,
  { dim, residue, dilation }: { dim: number; residue: number; dilation: number },
): Float32Array {
  const rows = data.length / dim;
  const count = Math.max(0, Math.ceil((rows - residue) / dilation));
  const picked = new Float32Array(count * dim);
  for (let i = 0; i < count; i++) {
    const at = (residue + i * dilation) * dim;
    picked.set(data.subarray(at, at + dim), i * dim);
  }
  return picked;
}

/** Computes the scores of chosen rows. */
type ScoreCheck = (gpu: Gpu, options: ScoreCheckOptions) => Promise<readonly CheckedScores[]>;

/** Scorers whose scores are recomputed by code that is written apart from the kernels' own. */
const SCORE_CHECKS: Readonly<Record<string, ScoreCheck>> = {
  dilated: dilatedScores,
  gla: glaScores,
};

/**
 * How the scores of chosen rows are checked: by code of the suites, else by the scorer's own
 * reference.
 *
 * @throws {TypeError} when there is neither.
 */
export function scoreCheckOf({ name, reference }: ScorerDescriptor): ScoreCheck {
  if (Object.hasOwn(SCORE_CHECKS, name)) return SCORE_CHECKS[name];
  if (!reference) {
    throw new TypeError(`check scores: the scorer ${name} has no reference in float64`);
  }
  return (gpu, { problem, inputs, head, rows }) =>
    reference({
      problem,
      head,
      rows,
      read: (tensor, range) => readResultRows(gpu, inputs[tensor], { head, ...range }),
    });
}
