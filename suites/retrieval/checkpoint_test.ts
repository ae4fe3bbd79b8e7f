import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { type Checkpoint, checkpointModel, loadCheckpoint, parseCheckpoint } from "./checkpoint.ts";
import { evaluateNeedles, needlePrompt } from "./needle_model.ts";

const CHARACTERS = [..."0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="];
const NEEDLES = Array.from({ length: 10 }, (_, digit) => `=${digit}`);
const TOKENS = [...CHARACTERS, ...NEEDLES];

/**
 * One layer, one head. Dimensions 0 to 9: which digit a token answers with; 10: is a needle; 11: is
 * the question. The question looks for needles (logit `sharpness`, all other tokens 0) and copies
 * their digit: mass on the needle is e^s / (e^s + n - 1), so s > ln(n) makes the needle's digit the
 * largest. With sharpness 0 it copies the average of the filler, the same for all ten digits but
 * for one token in n.
 */
function handMade(sharpness: number): Checkpoint {
  const dim = 12;
  const matrix = (entries: [number, number, number][]) => {
    const cells = new Array<number>(dim * dim).fill(0);
    for (const [row, column, value] of entries) cells[row * dim + column] = value;
    return cells;
  };
  const embedding = TOKENS.flatMap((token) => {
    const row = new Array<number>(dim).fill(0);
    if (/^\d$/.test(token)) row[Number(token)] = 1;
    if (token.length === 2) [row[Number(token[1])], row[10]] = [1, 1];
    if (token === "=") row[11] = 1;
    return row;
  });
  const copies = Array.from({ length: 10 }, (_, c): [number, number, number] => [c, c, 1]);
  const unembedding = new Array<number>(dim * TOKENS.length).fill(0);
  for (let digit = 0; digit < 10; digit++) {
    unembedding[digit * TOKENS.length + TOKENS.indexOf(String(digit))] = 1;
  }
  return {
    format: "lighthouse-attention-bench/checkpoint",
    version: 1,
    name: `hand-made, sharpness ${sharpness}`,
    tokens: TOKENS,
    modelDim: dim,
    heads: 1,
    headDim: dim,
    embedding,
    layers: [{
      query: matrix([[11, 10, sharpness * Math.sqrt(dim)]]),
      key: matrix([[10, 10, 1]]),
      value: matrix(copies),
      output: matrix(copies),
    }],
    unembedding,
  };
}

const PROTOCOL = { contexts: [64, 512], depths: [0, 50, 100], seed: 4 };

Deno.test("a model that attends to needles answers every prompt, at every depth and context", async () => {
  const cells = await evaluateNeedles(checkpointModel(handMade(12)), PROTOCOL);
  assert.equal(cells.length, 6);
  assert.deepEqual(cells.map(({ correct }) => correct), Array(6).fill(10));
});

Deno.test("digitLogits: the mass on the needle in closed form", () => {
  const text = `${"x".repeat(20)}=4${"y".repeat(10)}=`;
  const logits = Array.from(checkpointModel(handMade(3)).digitLogits(text) as number[]);
  const mass = Math.exp(3) / (Math.exp(3) + 31);
  assert.ok(Math.abs(logits[4] - mass) < 1e-12);
  assert.equal(logits[5], 0);
});

Deno.test("a model that attends uniformly follows the filler, not the needle", async () => {
  const model = checkpointModel(handMade(0));
  for (const digit of [2, 7]) {
    // The most common digit of the filler is the answer, for any needle.
    const filler = "9".repeat(40);
    const text = `${filler}=${digit}${filler}=`;
    const logits = Array.from(await model.digitLogits(text));
    assert.equal(logits.indexOf(Math.max(...logits)), 9);
  }
  const cells = await evaluateNeedles(model, { ...PROTOCOL, contexts: [512] });
  const correct = cells.reduce((sum, cell) => sum + cell.correct, 0);
  assert.ok(correct / 30 < 0.4, `${correct} of 30`);
});

Deno.test("a tied answer does not count; logits must be ten and finite", async () => {
  const flat = { name: "flat", digitLogits: () => new Array(10).fill(0) };
  const [cell] = await evaluateNeedles(flat, PROTOCOL);
  assert.equal(cell.correct, 0);
  for (const logits of [[1, 2], new Array(10).fill(NaN)]) {
    await assert.rejects(
      evaluateNeedles({ name: "broken", digitLogits: () => logits }, PROTOCOL),
      /evaluate broken: .* 10 are needed/,
    );
  }
});

Deno.test("needlePrompt: exact length, needle at its depth, bad input in one line", () => {
  for (const depth of [0, 15, 50, 100]) {
    const text = needlePrompt(3, { context: 203, depth, seed: 9 });
    assert.equal(text.length, 203);
    assert.equal(text.indexOf("="), Math.round(depth / 100 * 200));
    assert.ok(text.endsWith("="));
  }
  assert.throws(() => needlePrompt(3, { context: 3, depth: 0, seed: 1 }), /context 3 is not/);
  assert.throws(() => needlePrompt(3, { context: 30, depth: 101, seed: 1 }), /depth 101 is not/);
});

Deno.test("a malformed checkpoint is one line that names the field", async () => {
  const good = handMade(5);
  assert.deepEqual(parseCheckpoint(JSON.stringify(good), "x"), good);
  const cases: [string, RegExp][] = [
    ["{", /checkpoint x: it is not JSON/],
    ["[]", /checkpoint x: the whole file: /],
    [JSON.stringify(good).replace("{", '{"name": "b",'), /checkpoint x: it names name twice/],
    [JSON.stringify({ ...good, version: 2 }), /checkpoint x: version: /],
    [JSON.stringify({ ...good, layers: [] }), /checkpoint x: layers: /],
    [JSON.stringify({ ...good, extra: 1 }), /checkpoint x: the whole file: .*extra/],
    [
      JSON.stringify({ ...good, embedding: [1] }),
      /embedding has 1 numbers, its shape needs 876/,
    ],
    [
      JSON.stringify({ ...good, layers: [{ ...good.layers[0], key: [1] }] }),
      /layers.0.key has 1 numbers, its shape needs 144/,
    ],
    [JSON.stringify({ ...good, tokens: TOKENS.with(0, "zero") }), /lacks the digit 0/],
    [JSON.stringify({ ...good, tokens: TOKENS.with(40, "0") }), /has one twice/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseCheckpoint(text, "x"),
      (error) =>
        error instanceof UsageError && message.test(error.message) && !/\n/.test(error.message),
      text.slice(0, 40),
    );
  }
  await assert.rejects(loadCheckpoint("/nowhere.json"), /nowhere.json: /);
});
