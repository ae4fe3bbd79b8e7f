/**
 * Checkpoints of attention-only language models, for the needle test.
 *
 * A checkpoint is one JSON document. Token embeddings E `[V, m]`; layers that each add
 * softmax(Q·Kᵀ/√d)·V·W_o to the residual stream, causal, H heads of dimension d, with W_q, W_k, W_v
 * `[m, H·d]` and W_o `[H·d, m]`; logits x·U, U `[m, V]`. Matrices are row after row, as lists of
 * numbers. Text is split into tokens from the left, the longest token first. There are no positions
 * and no normalisation: a richer model implements {@linkcode NeedleModel} itself.
 *
 * @module
 */
import { whyAmbiguous } from "../result/repeated_key.ts";
import { issueLine } from "../result/schema_issue.ts";
import { z } from "zod";
import { errorLine, UsageError } from "../errors.ts";
import { readInput } from "../result/read_input.ts";
import type { NeedleModel } from "./needle_model.ts";

/** Largest file that is read: its text must fit a string. */
const LIMIT_BYTES = 500 * 2 ** 20;

const matrix = z.array(z.number());
const size = z.int().positive().max(1 << 20);

/** The format, version 1. */
export const checkpointSchema = z.strictObject({
  format: z.literal("lighthouse-attention-bench/checkpoint"),
  version: z.literal(1),
  name: z.string().min(1),
  /** V tokens; all alphanumeric characters, `=`, and the digits among them. */
  tokens: z.array(z.string().min(1)).min(1),
  modelDim: size,
  heads: size,
  headDim: size,
  embedding: matrix,
  layers: z.array(z.strictObject({ query: matrix, key: matrix, value: matrix, output: matrix }))
    .min(1),
  unembedding: matrix,
});

/** A checkpoint as read. */
export type Checkpoint = z.infer<typeof checkpointSchema>;

/**
 * Reads a checkpoint.
 *
 * @throws {UsageError} one line that names the field, its value and what was expected.
 */
export function parseCheckpoint(text: string, path: string): Checkpoint {
  const fail = (reason: string): never => {
    throw new UsageError(`checkpoint ${path}: ${reason}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail("it is not JSON");
  }
  const ambiguous = whyAmbiguous(text);
  if (ambiguous) return fail(ambiguous);
  const parsed = checkpointSchema.safeParse(value);
  if (!parsed.success) {
    return fail(issueLine(parsed.error.issues, value));
  }
  const checkpoint = parsed.data;
  const { tokens, modelDim, heads, headDim, layers } = checkpoint;
  const vocabulary = tokens.length;
  const need = (name: string, have: readonly number[], count: number) => {
    if (have.length !== count) fail(`${name} has ${have.length} numbers, its shape needs ${count}`);
    if (!have.every(Number.isFinite)) fail(`${name} holds numbers that are not finite`);
  };
  if (new Set(tokens).size !== vocabulary) fail("tokens has one twice");
  for (let digit = 0; digit < 10; digit++) {
    if (!tokens.includes(String(digit))) fail(`tokens lacks the digit ${digit}`);
  }
  need("embedding", checkpoint.embedding, vocabulary * modelDim);
  need("unembedding", checkpoint.unembedding, modelDim * vocabulary);
  for (const [i, layer] of layers.entries()) {
    for (const name of ["query", "key", "value", "output"] as const) {
      need(`layers.${i}.${name}`, layer[name], modelDim * heads * headDim);
    }
  }
  return checkpoint;
}

/**
 * Reads a checkpoint file.
 *
 * @throws {UsageError} one line, when it cannot be read or is none.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  let text: string;
  try {
    text = await readInput(path, { limitBytes: LIMIT_BYTES });
  } catch (error) {
    throw new UsageError(`checkpoint ${path}: ${errorLine(error)}`);
  }
  return parseCheckpoint(text, path);
}

/** The model that a checkpoint describes, evaluated in float64 on the host. */
export function checkpointModel(checkpoint: Checkpoint): NeedleModel {
  const { tokens, modelDim, embedding, layers, unembedding } = checkpoint;
  const digits = Array.from({ length: 10 }, (_, digit) => tokens.indexOf(String(digit)));
  return {
    name: checkpoint.name,
    digitLogits: (text) => {
      let stream: Float64Array[] = tokenize(checkpoint, text).map((token) =>
        Float64Array.from(embedding.slice(token * modelDim, (token + 1) * modelDim))
      );
      for (const [i, layer] of layers.entries()) {
        // Of the last layer only the last row is read.
        const first = i === layers.length - 1 ? stream.length - 1 : 0;
        stream = attendLayer(checkpoint, layer, { stream, first });
      }
      const last = stream[stream.length - 1];
      return digits.map((token) =>
        last.reduce((sum, x, c) => sum + x * unembedding[c * tokens.length + token], 0)
      );
    },
  };
}

/** Token numbers of a text. */
function tokenize({ tokens, name }: Checkpoint, text: string): number[] {
  const numbers = new Map(tokens.map((token, i) => [token, i]));
  const longest = Math.max(...tokens.map((token) => token.length));
  const found: number[] = [];
  for (let at = 0; at < text.length;) {
    let length = Math.min(longest, text.length - at);
    while (length > 0 && !numbers.has(text.slice(at, at + length))) length--;
    if (length === 0) {
      throw new UsageError(`checkpoint ${name}: no token for ${JSON.stringify(text[at])}`);
    }
    found.push(numbers.get(text.slice(at, at + length))!);
    at += length;
  }
  return found;
}

/** Rows from `first` on after one layer; rows before it are left out. */
function attendLayer(
  { modelDim, heads, headDim }: Checkpoint,
  layer: Checkpoint["layers"][number],
  { stream, first }: { stream: readonly Float64Array[]; first: number },
): Float64Array[] {
  const width = heads * headDim;
  const project = (x: Float64Array, weights: readonly number[], columns: number) =>
    Float64Array.from({ length: columns }, (_, c) => {
      let sum = 0;
      for (let r = 0; r < x.length; r++) sum += x[r] * weights[r * columns + c];
      return sum;
    });
  const keys = stream.map((x) => project(x, layer.key, width));
  const values = stream.map((x) => project(x, layer.value, width));
  return stream.slice(first).map((x, offset) => {
    const query = project(x, layer.query, width);
    const mixed = new Float64Array(width);
    for (let from = 0; from < width; from += headDim) {
      const logits = keys.slice(0, first + offset + 1).map((key) => {
        let sum = 0;
        for (let c = from; c < from + headDim; c++) sum += query[c] * key[c];
        return sum / Math.sqrt(headDim);
      });
      const top = logits.reduce((a, b) => Math.max(a, b));
      const weights = logits.map((logit) => Math.exp(logit - top));
      const total = weights.reduce((a, b) => a + b);
      for (const [row, weight] of weights.entries()) {
        for (let c = from; c < from + headDim; c++) mixed[c] += weight / total * values[row][c];
      }
    }
    const added = project(mixed, layer.output, modelDim);
    return x.map((own, c) => own + added[c]);
  });
}
