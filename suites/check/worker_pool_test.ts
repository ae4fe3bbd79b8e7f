import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createTensor } from "../../kernels/gpu/buffers.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import type { CheckOptions } from "./check_options.ts";
import { checkOutputs } from "./check.ts";
import { chooseCases } from "../../tools/_cases.ts";
import { SharedArrays } from "./shared_arrays.ts";
import type { TaskInput } from "./tasks.ts";
import { deal, holdWorkers, onCores, sliceCount } from "./worker_pool.ts";

const options = { levels: 2, pooling: 2, k: 128 };
const direction = "forward-backward";
const short = { heads: 2, context: 768, headDim: 32 };
const cases: [string, Problem, CheckOptions["extent"]][] = [
  ["dense", { shape: { heads: 2, context: 193, headDim: 32, dtype: "f16" }, direction }, "whole"],
  // Several chunks of keys, and gradients by the device's own statistics.
  ["dense", { shape: { heads: 1, context: 9001, headDim: 32, dtype: "f32" } }, "sampled"],
  [
    "dense",
    { shape: { heads: 1, context: 1500, headDim: 32, dtype: "f32" }, direction },
    "sampled",
  ],
  [
    "lighthouse-norm",
    { shape: { ...short, dtype: "f16" }, direction, options },
    "whole",
  ],
  [
    "lighthouse-dilated",
    { shape: { ...short, dtype: "f32" }, options: { ...options, dilation: 4 } },
    "sampled",
  ],
  [
    "lighthouse-gla",
    { shape: { ...short, dtype: "f16" }, options: { ...options, dilation: 4 } },
    "sampled",
  ],
];

/** Every extent, element type and direction, several chunks of keys, and a scorer with scores. */
const CHOSEN = chooseCases(cases, (_, i) => [0, 1, 4].includes(i));

Deno.test(`workers give exactly the results of this thread: errors, tolerances, verdicts${CHOSEN.note}`, async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [name, problem, extent] of CHOSEN.cases) {
    const implementation = IMPLEMENTATIONS.find((known) => known.name === name)!;
    const { heads, context: rows, headDim: dim, dtype } = problem.shape;
    if (dtype === "f16" && !gpu.capabilities.f16) continue;
    const make = async (offset: number) => {
      const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
      await fillSeeded(gpu, tensor, 5 + offset);
      return tensor;
    };
    const inputs: LayerInputs = {
      q: await make(0),
      k: await make(1),
      v: await make(2),
      ...(problem.direction && { outputGradient: await make(3) }),
    };
    const prepared = await implementation.prepare(gpu, problem, { inputs });
    await prepared.execute();
    const found = [];
    for (const workers of [0, 3]) {
      using _workers = holdWorkers({ workers });
      assert.equal(sliceCount(), Math.max(1, workers));
      const check = { problem, implementation, inputs, seed: 5, extent };
      found.push(await checkOutputs(gpu, prepared, check));
    }
    assert.ok(found[0].check.passed);
    assert.deepEqual(found[1], found[0], `${name} ${dtype} ${extent}`);
    prepared.destroy();
    for (const tensor of Object.values(inputs)) tensor.destroy();
  }
  gpu.destroy();
});

/** Two slices whose results are known: 4 + 9, 16 + 25. */
const slices: TaskInput<"squaredNorms">[] = [
  { rows: Float32Array.of(2, 3), dim: 2 },
  { rows: Float32Array.of(4, 5), dim: 2 },
];
/** Arguments that no function accepts: a worker throws the same TypeError as this thread. */
const broken = [{ ...slices[0], rows: null }] as unknown as typeof slices;

Deno.test("onCores throws what a function throws, and works on", async () => {
  using _workers = holdWorkers({ workers: 2 });
  const thrown = (options: { here: boolean }) =>
    onCores("squaredNorms", broken, options).then(
      () => assert.fail("nothing was thrown"),
      (error: unknown) => error as Error,
    );
  const [there, here] = [await thrown({ here: false }), await thrown({ here: true })];
  assert.ok(there instanceof TypeError);
  assert.equal(there.message, here.message);
  assert.deepEqual((await onCores("squaredNorms", slices)).map(({ norms: [norm] }) => norm), [
    13,
    41,
  ]);
});

Deno.test("onCores stops with the signal's reason, queued work and all", async () => {
  using _workers = holdWorkers({ workers: 2 });
  const stop = new AbortController();
  const long = Array.from({ length: 64 }, () => ({ rows: new Float32Array(4e6), dim: 1 }));
  const running = onCores("squaredNorms", long, { signal: stop.signal });
  setTimeout(() => stop.abort(new Error("enough")), 20);
  await assert.rejects(running, /^Error: enough$/);
  await assert.rejects(onCores("squaredNorms", slices, { signal: stop.signal }), /enough/);
});

Deno.test("the work of a dying worker is computed in this thread", async () => {
  const { Worker } = globalThis;
  let terminated = 0;
  class DyingWorker extends EventTarget {
    onerror?: (event: Event) => void;
    postMessage() {
      queueMicrotask(() => this.onerror!(new Event("error", { cancelable: true })));
    }
    terminate() {
      terminated++;
    }
  }
  globalThis.Worker = DyingWorker as unknown as typeof Worker;
  try {
    using _workers = holdWorkers({ workers: 2 });
    assert.deepEqual((await onCores("squaredNorms", slices)).map(({ norms: [norm] }) => norm), [
      13,
      41,
    ]);
    assert.equal(sliceCount(), 1);
    assert.equal(terminated, 2);
    await assert.rejects(onCores("squaredNorms", broken), TypeError);
  } finally {
    globalThis.Worker = Worker;
  }
});

/** Runs a separate program with some permissions: its output, after it ended by itself. */
async function runProgram(permissions: readonly string[]): Promise<string> {
  const pool = new URL("./worker_pool.ts", import.meta.url).href;
  const program = `
    import { holdWorkers, onCores, sliceCount } from ${JSON.stringify(pool)};
    using held = holdWorkers();
    const slices = Array.from({ length: 8 }, (_, i) => ({ rows: Float32Array.of(i), dim: 1 }));
    const squares = (await onCores("squaredNorms", slices)).map(({ norms: [norm] }) => norm);
    console.log(sliceCount() > 1, squares.join());
  `;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", ...permissions, file],
      stdin: "null",
    }).output();
    assert.equal(new TextDecoder().decode(stderr), "");
    assert.ok(success);
    return new TextDecoder().decode(stdout).trim();
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("a program with read permission has workers; one without has none and does not prompt", async () => {
  const squares = "0,1,4,9,16,25,36,49";
  assert.equal(await runProgram([]), `false ${squares}`);
  const several = navigator.hardwareConcurrency > 1;
  assert.equal(await runProgram(["--allow-read", "--no-prompt"]), `${several} ${squares}`);
});

Deno.test("deal hands out every item once, in slices of nearly the same cost", () => {
  using _workers = holdWorkers({ workers: 4 });
  const rows = Array.from({ length: 101 }, (_, row) => row);
  const slices = deal(rows, (row) => row + 1);
  assert.equal(slices.length, 4);
  assert.deepEqual(slices.flat().sort((a, b) => a - b), rows);
  const costs = slices.map((slice) => slice.reduce((sum, row) => sum + row + 1, 0));
  assert.ok(Math.max(...costs) - Math.min(...costs) <= 101, `${costs}`);
  assert.deepEqual(deal([], () => 1), []);
});

Deno.test("shared memory is lent to one piece of work at a time, and then reused", () => {
  const first = new SharedArrays();
  const a = first.float32([1, 2, 3]);
  const b = first.float32([4, 5, 6]);
  assert.ok(a.buffer instanceof SharedArrayBuffer);
  assert.notEqual(a.buffer, b.buffer);
  assert.deepEqual([...a, ...b], [1, 2, 3, 4, 5, 6]);
  first[Symbol.dispose]();
  using second = new SharedArrays();
  const c = second.float64([7]);
  const halves = Float16Array.from([1.5, -0, 6e-8, NaN, Infinity]).subarray(1);
  assert.deepEqual([...second.float32(halves)], [...Float32Array.from(halves)]);
  assert.deepEqual(second.copy(halves), halves.slice());
  assert.ok([a.buffer, b.buffer].includes(c.buffer));
  assert.deepEqual([...c], [7]);
  // With the last holder of workers all of it goes.
  holdWorkers({ workers: 0 })[Symbol.dispose]();
  using third = new SharedArrays();
  assert.ok(![a.buffer, b.buffer].includes(third.float64([8]).buffer));
});
