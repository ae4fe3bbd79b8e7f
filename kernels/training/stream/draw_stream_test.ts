import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { download, run, upload } from "../_device_run.ts";
import { initialState, packState } from "../optimizer/step_state.ts";
import { createDrawStream, planDrawStream } from "./draw_stream.ts";
import { fillStream, type StreamOptions } from "./stream_options.ts";
import { drawSequences } from "./stream_twin.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function draw(options: StreamOptions, context = 2048, sequences = 12) {
  return drawSequences(options, { context, step: 3, sequences });
}

Deno.test("a digit sequence has one digit after every sign, in alphanumeric filler", () => {
  const counts = draw({ digitShare: 1 }).map(({ kind, bytes }) => {
    assert.equal(kind, "digit");
    assert.match(text(bytes), /^[0-9A-Za-z=]+$/);
    const needles = text(bytes.subarray(0, -1)).match(/=\d/g)!;
    assert.equal(new Set(needles).size, 1);
    assert.equal(needles.length, text(bytes.subarray(0, -1)).split("=").length - 1);
    return needles.length;
  });
  assert.ok(Math.min(...counts) >= 4 && Math.max(...counts) < 256);
  assert.ok(new Set(counts).size > 6);
});

Deno.test("a keyed sequence has one digit for each of its keys", () => {
  for (const { kind, bytes } of draw({ keyedShare: 1 })) {
    assert.equal(kind, "keyed");
    const found = text(bytes.subarray(0, -1)).match(/[A-Za-z]:\d/g)!;
    const digits = new Map(found.map((one) => [one[0], one[2]]));
    for (const one of found) assert.equal(digits.get(one[0]), one[2]);
    assert.ok(digits.size <= 31);
  }
});

Deno.test("the language repeats lines, and a name is followed by the same word throughout", () => {
  let repeated = 0;
  for (const { kind, bytes } of draw({})) {
    assert.equal(kind, "language");
    const lines = text(bytes).split("\n").slice(0, -1);
    assert.ok(lines.every((line) => /^[A-Za-z ]{63}$/.test(line)));
    repeated += lines.length - new Set(lines).size;
    const after = new Map<string, string>();
    for (const line of lines) {
      // The last word of a line may be cut.
      for (const [, name, word] of line.matchAll(/\b([A-Z][a-z]+) ([a-z]+)(?= )/g)) {
        assert.equal(after.get(name) ?? word, word);
        after.set(name, word);
      }
    }
    assert.ok(after.size > 3 && after.size <= 16);
  }
  // One in four of 12 · 31 lines, but for those whose original repeats another.
  assert.ok(repeated > 50 && repeated < 120, `${repeated}`);
});

Deno.test("sequences are shared out, and differ by seed, step and number", () => {
  const options = { digitShare: 0.25, keyedShare: 0.25 };
  const all = draw(options, 256, 400);
  const count = (kind: string) => all.filter((one) => one.kind === kind).length;
  for (const kind of ["digit", "keyed"]) assert.ok(count(kind) > 70 && count(kind) < 130);
  assert.equal(new Set(all.map(({ bytes }) => text(bytes))).size, 400);
  assert.notDeepEqual(draw({ ...options, seed: 2 }), draw(options));
});

Deno.test("options out of range are refused in one line", () => {
  const refuse = (options: StreamOptions, message: string) =>
    assert.throws(() => fillStream(options, { context: 64 }), { message });
  refuse({ digitShare: 2 }, "plan stream: digitShare 2 is not a number from 0 to 1");
  refuse(
    { digitShare: 0.75, keyedShare: 0.5 },
    "plan stream: digitShare 0.75 and keyedShare 0.5 are more than 1 together",
  );
  refuse({ plantings: [3, 8] }, "plan stream: plantings 3 is not a power of two");
  refuse(
    { digitShare: 1, plantings: [4, 32] },
    "plan stream: plantings 4 to 32: the most is above the fewest and at most 16 at context 64",
  );
  refuse(
    { corpus: new Uint8Array(64) },
    "plan stream: the corpus has 64 bytes, a sequence needs 65",
  );
});

Deno.test("the device draws what the host draws", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const corpus = Uint8Array.from({ length: 1003 }, (_, i) => (i * i + 3 * i) % 251);
  const words = new Uint32Array(251);
  new Uint8Array(words.buffer).set(corpus);
  const [sequences, step] = [24, 2 ** 31 + 17];
  const shares = { digitShare: 0.35, keyedShare: 0.35 };
  for (
    const [options, context, kinds] of [
      [{ ...shares, seed: 5 }, 640, ["digit", "keyed", "language"]],
      [{ ...shares, seed: 6, corpus }, 330, ["digit", "keyed", "corpus"]],
    ] as const
  ) {
    const empty = new Uint32Array(sequences * context);
    const buffers = {
      corpus: await upload(gpu, words, "u32"),
      state: await upload(gpu, packState({ ...initialState(1), attempts: step }), "u32"),
      tokens: await upload(gpu, empty, "u32"),
      targets: await upload(gpu, empty, "u32"),
    };
    const pass = await createDrawStream(gpu, planDrawStream(options, { sequences, context }));
    await run(gpu, pass.bind(buffers));
    const want = drawSequences(options, { context, step, sequences });
    assert.deepEqual([...new Set(want.map(({ kind }) => kind))].sort(), kinds.toSorted());
    const count = sequences * context;
    const tokens = await download(gpu, buffers.tokens, { count, dtype: "u32" });
    const targets = await download(gpu, buffers.targets, { count, dtype: "u32" });
    assert.deepEqual([...tokens], want.flatMap(({ bytes }) => [...bytes.slice(0, -1)]));
    assert.deepEqual([...targets], want.flatMap(({ bytes }) => [...bytes.slice(1)]));
  }
  gpu.destroy();
});
