import assert from "node:assert/strict";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { type BufferSlice, writeBuffer } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { adamwBytes, createAdamw, planAdamw } from "./adamw.ts";
import { createFinishGradients, HISTORY_STEPS, planFinishGradients } from "./finish_gradients.ts";
import { fillOptimizer, type OptimizerOptions } from "./optimizer_options.ts";
import { adamwReference, finishReference } from "./optimizer_reference.ts";
import { createSquareGradients, gradientBlocks, planSquareGradients } from "./square_gradients.ts";
import { initialState, packState, type StepState, unpackState } from "./step_state.ts";
import { createSumLosses, planSumLosses } from "./sum_losses.ts";

const F16 = { dtype: "f16" } as const;

Deno.test("the defaults are the paper's recipe; other storage needs no loss scale", () => {
  const paper = fillOptimizer({}, F16);
  assert.deepEqual([paper.learningRate, paper.warmup, paper.weightDecay], [2e-3, 2000, 0.1]);
  assert.deepEqual([paper.firstDecay, paper.secondDecay, paper.mostNorm], [0.9, 0.95, 1]);
  assert.deepEqual([paper.lossScale, paper.growthSteps], [1024, 2000]);
  const plain = fillOptimizer({ learningRate: undefined }, { dtype: "f32" });
  assert.deepEqual([plain.lossScale, plain.growthSteps, plain.learningRate], [1, 0, 2e-3]);
});

Deno.test("options out of range are refused in one line", () => {
  for (
    const [options, reason] of [
      [{ learningRate: -1 }, "learningRate -1 is not a number from 0"],
      [{ firstDecay: 1 }, "firstDecay 1 is not a number from 0 and below 1"],
      [{ lossScale: 3 }, "lossScale 3 is not a power of two from 1 to 2^60"],
      [{ warmup: 0.5 }, "warmup 0.5 is not a whole number from 0 to 16777216"],
      [{ mostNorm: 0 }, "mostNorm 0 is not a number above 0"],
    ] as [OptimizerOptions, string][]
  ) {
    assert.throws(() => fillOptimizer(options, F16), { message: `plan optimizer: ${reason}` });
  }
});

Deno.test("a state survives being packed", () => {
  const state = { ...initialState(64), updates: 7, skip: 1, firstPower: 0.5 };
  assert.deepEqual(unpackState(packState(state)), state);
});

Deno.test("one update by hand: the first step moves by the learning rate", () => {
  const optimizer = fillOptimizer({ warmup: 0, weightDecay: 0, mostNorm: 1e9 }, F16);
  const { state } = finishReference({ ...initialState(2), lossSum: 12 }, 64, {
    tokens: 4,
    optimizer,
  });
  assert.equal(state.gradientNorm, 1); // √64 / (2 · 4)
  const { weights } = adamwReference(
    { weights: [1, 1], first: [0, 0], second: [0, 0], gradient: [8, -8] },
    state,
    { optimizer },
  );
  assert.ok(Math.abs(weights.values[0] - (1 - 2e-3)) < 1e-10);
  assert.ok(Math.abs(weights.values[1] - (1 + 2e-3)) < 1e-10);
  assert.equal(adamwBytes({ size: 8, copy: true }), 8 * 34);
});

Deno.test("a skipped step halves the scale, clean steps double it, by hand", () => {
  const optimizer = fillOptimizer({ growthSteps: 2 }, F16);
  const step = (state: StepState, squares: number) =>
    finishReference(state, squares, { tokens: 1, optimizer }).state;
  let state = step(initialState(8), Infinity);
  assert.deepEqual([state.lossScale, state.skippedSteps, state.updates], [4, 1, 0]);
  state = step(step(state, 1), 1);
  assert.deepEqual([state.lossScale, state.cleanSteps, state.updates], [8, 0, 2]);
});

/** Everything of one parameter on the device. */
async function prepare(gpu: Gpu, size: number, options: OptimizerOptions) {
  const optimizer = fillOptimizer(options, F16);
  const tokens = 5;
  const given = {
    weights: seeded(1, size),
    first: seeded(2, size, { size: 1e-2 }),
    second: seeded(3, size, { size: 1e-3 }).map(Math.abs),
  };
  const rows = 300;
  const buffers = {
    weights: await upload(gpu, given.weights),
    first: await upload(gpu, given.first),
    second: await upload(gpu, given.second),
    gradient: await upload(gpu, new Float32Array(size)),
    copy: await upload(gpu, new Float32Array(size), "f16"),
    sums: await upload(gpu, new Uint32Array(2 * gradientBlocks(size)), "u32"),
    state: await upload(gpu, packState(initialState(optimizer.lossScale)), "u32"),
    history: await upload(gpu, new Float32Array(4 * HISTORY_STEPS)),
    losses: await upload(gpu, seeded(4, rows)),
  };
  const passes = [
    (await createSumLosses(gpu, planSumLosses({ rows }))).bind(buffers),
    (await createSquareGradients(gpu, planSquareGradients({ size, first: 0 }))).bind(buffers),
    (await createFinishGradients(
      gpu,
      planFinishGradients({ count: gradientBlocks(size), tokens, optimizer }),
    )).bind(buffers),
    (await createAdamw(gpu, planAdamw({ size, copy: true, optimizer }))).bind(buffers),
  ].flat();
  return { optimizer, tokens, given, buffers, passes };
}

async function readState(gpu: Gpu, state: BufferSlice): Promise<StepState> {
  const words = await download(gpu, state, { count: 12, dtype: "u32" });
  return unpackState(words as Uint32Array);
}

/** Requires a state to be the expected one, floats within 2^-19 of themselves. */
function assertState(have: StepState, want: StepState) {
  for (const name of Object.keys(want) as (keyof StepState)[]) {
    const error = Math.abs(have[name] - want[name]);
    assert.ok(error <= 2 ** -19 * Math.abs(want[name]), `${name} ${have[name]}, not ${want[name]}`);
  }
}

Deno.test("updates follow float64 over steps: clipped and not, skipped for an infinity", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const size = 20_000;
  const { optimizer, tokens, given, buffers, passes } = await prepare(gpu, size, {
    warmup: 3,
    growthSteps: 2,
  });
  let state = initialState(1024);
  let known: { [Name in keyof typeof given]: ArrayLike<number> } = given;
  const spoilt = [NaN, Infinity, -Infinity];
  for (const [step, gradientSize] of [1, 300, 1, 1, 1, 300].entries()) {
    const gradient = seeded(10 + step, size, { size: gradientSize });
    const isSpoilt = step === 2 || step === 4;
    if (isSpoilt) gradient[size - 1 - step] = spoilt[step % 3];
    writeBuffer(gpu, buffers.gradient, gradient);
    await run(gpu, passes);
    const losses = Array.from(seeded(4, 300)).reduce((sum, loss) => sum + loss, 0);
    const squares = Array.from(gradient).reduce((sum, g) => sum + g * g, 0);
    const want = finishReference({ ...state, lossSum: losses }, squares, { tokens, optimizer });
    const have = await readState(gpu, buffers.state);
    assertState(have, want.state);
    assert.equal(have.skip, Number(isSpoilt));
    const history = await download(gpu, buffers.history, { count: 4 * step + 4 });
    for (const [i, value] of want.line.entries()) {
      const error = Math.abs(history[4 * step + i] - value);
      assert.ok(error <= 2 ** -17 * Math.max(1, Math.abs(value)), `history ${i}: ${error}`);
    }
    state = have;
    const after = adamwReference({ ...known, gradient }, state, { optimizer });
    const read = async (name: keyof typeof given) => {
      const data = await download(gpu, buffers[name], { count: size });
      assertClose(data, after[name], `step ${step}: ${name}`);
      return data;
    };
    known = {
      weights: await read("weights"),
      first: await read("first"),
      second: await read("second"),
    };
    const zeroed = await download(gpu, buffers.gradient, { count: size });
    assert.ok(zeroed.every((value) => value === 0));
    const copy = await download(gpu, buffers.copy, { count: size, dtype: "f16" });
    // Normal numbers: subnormals of f16 keep the device's rounding.
    assert.ok(
      copy.every((value, i) =>
        value === Math.f16round(known.weights[i]) || Math.abs(value) < 2 ** -14
      ),
    );
  }
  assert.deepEqual([state.updates, state.attempts, state.skippedSteps], [4, 6, 2]);
  gpu.destroy();
});
