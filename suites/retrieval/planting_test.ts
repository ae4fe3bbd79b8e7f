import assert from "node:assert/strict";
import { denseLaw } from "./law.ts";
import {
  decodeDigit,
  DEVIATION,
  digitCode,
  originalRows,
  plantQuery,
  plantRows,
  type TrialSource,
} from "./planting.ts";
import { simulateTrial } from "./simulator.ts";

const SOURCE: TrialSource = {
  seed: 77,
  head: 1,
  heads: 3,
  context: 512,
  headDim: 32,
  dtype: "f32",
};

Deno.test("digitCode: orthonormal, decoded to its digit at any scale", () => {
  for (let a = 0; a < 10; a++) {
    const code = digitCode(a, 16);
    assert.equal(decodeDigit(code.map((x) => 0.001 * x)), a);
    for (let b = 0; b < 10; b++) {
      const product = digitCode(b, 16).reduce((sum, x, i) => sum + x * code[i], 0);
      assert.equal(product, a === b ? 1 : 0);
    }
  }
  assert.throws(() => digitCode(0, 24), /headDim 24 is not a power of two from 16/);
});

Deno.test("plantRows adds exactly the margin to the logit; salience changes only the norm", () => {
  for (const dtype of ["f32", "f16"] as const) {
    const source = { ...SOURCE, dtype };
    const query = plantQuery(source);
    const bare = plantRows(source, query, [{ row: 40, margin: 0 }])[0];
    const [original] = originalRows(source, [40]);
    for (const [c, x] of original.key.entries()) assert.ok(Math.abs(bare.key[c] - x) < 1e-3);
    assert.deepEqual([...bare.value], [...original.value]);
    for (const salience of [undefined, 0.9, 1.4]) {
      const [planted] = plantRows(source, query, [{ row: 40, margin: 2.5, salience, digit: 3 }]);
      assert.ok(Math.abs(planted.logit - bare.logit - 2.5) < (dtype === "f16" ? 0.01 : 1e-5));
      if (salience) assert.ok(Math.abs(planted.salience - salience) < 1e-3);
      assert.equal(decodeDigit(planted.value), 3);
      const norm = Math.hypot(...planted.value);
      assert.ok(Math.abs(norm / (DEVIATION * Math.sqrt(32)) - 1) < 1e-3);
    }
  }
});

Deno.test("plantRows: a row outside of the context is refused, not written into the next trial", () => {
  const query = plantQuery(SOURCE);
  for (const row of [-1, 0.5, 512]) {
    assert.throws(
      () => plantRows(SOURCE, query, [{ row, margin: 1 }]),
      new RangeError(`plant rows: row ${row} is not one of 0 to 511`),
    );
  }
});

Deno.test("plantRows: a norm below the aligned part keeps the logit and drops the orthogonal part", () => {
  const query = plantQuery(SOURCE);
  const [bare] = plantRows(SOURCE, query, [{ row: 7, margin: 0 }]);
  const [planted] = plantRows(SOURCE, query, [{ row: 7, margin: 12, salience: 0.1 }]);
  assert.ok(Math.abs(planted.logit - bare.logit - 12) < 1e-4);
  assert.ok(Math.abs(planted.salience - planted.logit / Math.sqrt(32)) < 1e-5);
});

Deno.test("simulateTrial: distractor logits are unit normal, and trials follow the laws", () => {
  const [context, trials, margin] = [512, 120, 3];
  let [count, sum, squares, fourth] = [0, 0, 0, 0];
  let [largest, correct, mass] = [0, 0, 0];
  for (let head = 0; head < trials; head++) {
    const source = { ...SOURCE, context, heads: trials, head };
    const digit = head % 10;
    const trial = simulateTrial(source, [{ row: 200, margin, digit }]);
    for (const [row, logit] of trial.logits.entries()) {
      if (row === 200) continue;
      count++;
      sum += logit;
      squares += logit ** 2;
      fourth += logit ** 4;
    }
    largest += Number(trial.largest);
    correct += Number(trial.digit === digit);
    mass += trial.masses[0];
  }
  assert.ok(Math.abs(sum / count) < 4 / Math.sqrt(count));
  assert.ok(Math.abs(squares / count - 1) < 4 * Math.sqrt(2 / count));
  assert.ok(Math.abs(fourth / count - 3) < 0.15);
  const law = denseLaw({ context, margin, headDim: 32 });
  const near = (rate: number, want: number) =>
    assert.ok(
      Math.abs(rate - want) < 3.5 * Math.sqrt(want * (1 - want) / trials),
      `${rate} ${want}`,
    );
  near(largest / trials, law.largest);
  near(correct / trials, law.accuracy);
  const error = Math.abs(mass / trials - law.mass.mean);
  assert.ok(error < 3.5 * law.mass.deviation / Math.sqrt(trials));
});

Deno.test("simulateTrial: filtering the needle leaves chance, filtering the others leaves the needle", () => {
  const edits = [{ row: 100, margin: 8, digit: 6 }];
  const without = simulateTrial(SOURCE, edits, { filter: (row) => row !== 100 });
  assert.deepEqual(without.masses, [0]);
  const alone = simulateTrial(SOURCE, edits, { filter: (row) => row === 100 });
  assert.deepEqual([alone.masses[0], alone.digit], [1, 6]);
});
