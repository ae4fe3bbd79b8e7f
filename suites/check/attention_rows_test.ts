import assert from "node:assert/strict";
import { seededRows } from "../../kernels/gpu/random.ts";
import {
  finishAttentionRow,
  maxDifference,
  startAttentionRow,
  takeKeys,
} from "./attention_rows.ts";

const DIM = 64;
const rowsOf = (seed: number, first: number, count: number) =>
  Float32Array.from(
    seededRows(seed, { head: 0, heads: 1, first, count, dim: DIM, dtype: "f16" }),
  );

/** A kernel's result when `round` rounds its weights, relative to a reference of its own. */
function attend(
  { q, k, v }: Record<"q" | "k" | "v", Float32Array>,
  options: { reference: (max: number) => number; round: (weight: number) => number },
): Float64Array {
  const count = k.length / DIM;
  const logits = Array.from(
    { length: count },
    (_, j) => q.reduce((sum, x, c) => sum + x * k[j * DIM + c], 0) / Math.sqrt(DIM),
  );
  const reference = options.reference(Math.max(...logits));
  const output = new Float64Array(DIM);
  let total = 0;
  for (const [j, logit] of logits.entries()) {
    const weight = Math.exp(logit - reference);
    total += weight;
    for (let c = 0; c < DIM; c++) output[c] += options.round(weight) * v[j * DIM + c];
  }
  return output.map((x) => x / total);
}

Deno.test("weights in f16 are within the tolerance of a row, relative to any reference; coarser ones are not", () => {
  const coarse = (weight: number) => {
    const step = 2 ** (Math.floor(Math.log2(weight)) - 6);
    return Math.round(weight / step) * step;
  };
  let caught = 0;
  for (let last = 0; last < 60; last++) {
    const [q, k, v] = [rowsOf(1, last, 1), rowsOf(2, 0, last + 1), rowsOf(3, 0, last + 1)];
    const row = startAttentionRow(q, { last, dtype: "f32", weights: "f16" });
    takeKeys(row, { first: 0, count: last + 1, k, v });
    const { output, plainOutput, outputFloor } = finishAttentionRow(row);
    const tolerance = 2 * maxDifference(plainOutput, output) + outputFloor;
    for (const reference of [(max: number) => max, (max: number) => max + 1.3, () => 0]) {
      const have = attend({ q, k, v }, { reference, round: Math.f16round });
      assert.ok(maxDifference(have, output) <= tolerance, `row ${last}`);
      const wrong = attend({ q, k, v }, { reference, round: coarse });
      if (maxDifference(wrong, output) > tolerance) caught++;
    }
  }
  assert.ok(caught > 120, `${caught} of 180 coarse rows were caught`);
});
