import assert from "node:assert/strict";
import {
  denseBackwardReference,
  rowStatistics,
} from "../../kernels/dense_attention/dense_attention_backward_reference.ts";
import { pcgSum4 } from "../../kernels/gpu/random.ts";
import { maxDifference, storingError } from "./attention_rows.ts";
import {
  deviceStatistics,
  finishRowStatistic,
  startRowStatistic,
  takeStatisticKeys,
} from "./row_statistics.ts";
import {
  finishKeyValueGradient,
  finishQueryGradient,
  rowLengths,
  startKeyValueGradient,
  startQueryGradient,
  takePairQueries,
  takeQueryKeys,
} from "./gradient_rows.ts";
import { causal, seenBy } from "./row_spans.ts";

const [rows, d] = [37, 8];
const tensor = (seed: number) =>
  Float64Array.from({ length: rows * d }, (_, i) => pcgSum4(seed, i));
const inputs = { q: tensor(1), k: tensor(2), v: tensor(3), outputGradient: tensor(4), headDim: d };
const rowOf = (data: Float64Array, row: number) => data.subarray(row * d, (row + 1) * d);

/** The tensors in chunks of seven rows, which divides no length. */
function chunks() {
  return Array.from({ length: Math.ceil(rows / 7) }, (_, n) => {
    const first = 7 * n;
    const count = Math.min(7, rows - first);
    const part = (data: Float64Array) => data.subarray(first * d, (first + count) * d);
    const [q, k, v, outputGradient] = [inputs.q, inputs.k, inputs.v, inputs.outputGradient]
      .map(part);
    const [ql, kl, vl, gl] = [q, k, v, outputGradient].map((rows) => rowLengths(rows, d));
    const lengths = { q: ql, k: kl, v: vl, outputGradient: gl };
    return { first, count, q, k, v, outputGradient, lengths };
  });
}

function statisticOf(
  row: number,
  visible = causal,
  options: { dtype: "f16" | "f32"; halfWeights?: boolean } = { dtype: "f32" },
) {
  const state = startRowStatistic({
    query: rowOf(inputs.q, row),
    outputGradient: rowOf(inputs.outputGradient, row),
  }, { spans: visible(row), ...options });
  chunks().forEach((chunk) => takeStatisticKeys(state, chunk));
  return finishRowStatistic(state);
}

Deno.test("a row statistic matches log-sum-exp and delta of the kernels' reference", () => {
  const want = rowStatistics(inputs);
  for (const row of [0, 6, 7, 36]) {
    const have = statisticOf(row);
    assert.ok(Math.abs(have.lse - want.lse[row]) < 1e-12);
    assert.ok(Math.abs(have.delta - want.delta[row]) < 1e-12);
    assert.ok(have.deltaError > 0 && have.deltaError < 1e-5);
  }
});

Deno.test("delta of a row that sees one key may be off by the rounding of its weight", () => {
  for (const row of [0, 17, 36]) {
    const alone = () => [{ first: row, end: row + 1 }];
    const statistic = statisticOf(row, alone, { dtype: "f16", halfWeights: true });
    // The largest relative error of a weight in f16 moves the whole output by that share.
    const moved = 2 ** -11 * Math.abs(statistic.delta);
    assert.ok(statistic.deltaError > moved, `row ${row}`);
    const without = statisticOf(row, alone, { dtype: "f16" });
    assert.ok(without.deltaError < statistic.deltaError);
  }
});

/** The kernels' reference over independent blocks of rows. */
function blockReference(block: number): typeof inputs {
  const joined = { ...inputs, q: tensor(0), k: tensor(0), v: tensor(0) };
  for (let first = 0; first < rows; first += block) {
    const part = (data: Float64Array) => data.slice(first * d, (first + block) * d);
    const { q, k, v, outputGradient } = inputs;
    const found = denseBackwardReference({
      q: part(q),
      k: part(k),
      v: part(v),
      outputGradient: part(outputGradient),
      headDim: d,
    });
    for (const name of ["q", "k", "v"] as const) joined[name].set(found[name].gradient, first * d);
  }
  return joined;
}

for (const block of [rows, 10]) {
  Deno.test(`gradient rows agree with the kernels' reference, ${block} rows seeing each other`, () => {
    compareWithReference(block);
  });
}

function compareWithReference(block: number) {
  const visible = (row: number) => [{ first: row - row % block, end: row + 1 }];
  const want = blockReference(block);
  const statistics = Array.from({ length: rows }, (_, row) => statisticOf(row, visible));
  const readers = seenBy([...Array(rows).keys()], { visible, rows });
  for (const row of [0, 5, 7, 20, 36]) {
    const query = startQueryGradient({
      query: rowOf(inputs.q, row),
      outputGradient: rowOf(inputs.outputGradient, row),
    }, { spans: visible(row), dtype: "f32", statistic: statistics[row] });
    const pair = startKeyValueGradient({
      key: rowOf(inputs.k, row),
      value: rowOf(inputs.v, row),
    }, { spans: readers[row], dtype: "f32" });
    for (const chunk of chunks()) {
      const own = statistics.slice(chunk.first, chunk.first + chunk.count);
      takeQueryKeys(query, chunk);
      takePairQueries(pair, {
        ...chunk,
        statistics: {
          lse: own.map(({ lse }) => lse),
          delta: own.map(({ delta }) => delta),
          deltaError: own.map(({ deltaError }) => deltaError),
        },
      });
    }
    const { key, value } = finishKeyValueGradient(pair);
    for (
      const [have, reference] of [
        [finishQueryGradient(query), want.q],
        [key, want.k],
        [value, want.v],
      ] as const
    ) {
      assert.ok(maxDifference(have.gradient, rowOf(reference, row)) < 1e-12);
      assert.ok(have.tolerance > 0 && have.tolerance < 1e-4, `${have.tolerance}`);
    }
  }
}

Deno.test("deviceStatistics computes delta from the given output", () => {
  const output = Float32Array.of(1, 2, 3, 0, 1, 0);
  const outputGradient = Float32Array.of(4, 5, -6, 2, 7, 2);
  const { delta } = deviceStatistics({ output, outputGradient, dim: 3 });
  assert.deepEqual([...delta], [-4, 7]);
});

Deno.test("rowLengths gives the length of each row", () => {
  assert.deepEqual([...rowLengths([3, 4, 0, 0, -5, 12], 2)], [5, 0, 13]);
});

Deno.test("storingError is a unit in the last place, or one step, or the largest flushed number", () => {
  assert.equal(storingError(1, "f16"), 2 ** -10);
  assert.equal(storingError(1e-7, "f16"), 2 ** -24);
  assert.equal(storingError(1e-7, "f16", { flushes: true }), 2 ** -14);
  assert.equal(storingError(1, "f32"), 2 ** -23);
  assert.equal(storingError(1e-40, "f32"), 2 ** -126);
});
