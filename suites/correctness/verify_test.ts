import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { readTensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Implementation } from "../../kernels/implementation.ts";
import { Golden, readGolden, type SelectionCase } from "../check/golden.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { chooseCases } from "../../tools/_cases.ts";
import { formatCheck, verify } from "./verify.ts";
import { judge } from "./check_line.ts";
import { checkGoldenLayer, checkGoldenSelection } from "./golden_checks.ts";
import { checkCausality, checkDeterminism, checkNotFinite } from "./property_checks.ts";
import {
  checkDense,
  checkLighthouse,
  type DenseReferences,
  lighthouseCases,
} from "./reference_checks.ts";
import "../check/_shared_workers.ts";

const find = (name: string) => IMPLEMENTATIONS.find((known) => known.name === name)!;

/** An implementation whose output is tampered with after each execution. */
function tampered(
  gpu: Gpu,
  name: string,
  change: (data: Float32Array | Float16Array, execution: number) => void,
): Implementation {
  const implementation = find(name);
  return {
    ...implementation,
    prepare: async (device, problem, options) => {
      const prepared = await implementation.prepare(device, problem, options);
      let execution = 0;
      return {
        ...prepared,
        execute: async (run) => {
          const timing = await prepared.execute(run);
          const data = await readTensor(gpu, prepared.outputs.output);
          change(data, execution++);
          writeTensor(gpu, prepared.outputs.output, data);
          return timing;
        },
      };
    },
  };
}

const shape = { heads: 2, context: 141, headDim: 64, dtype: "f32" } as const;

Deno.test("judge finds the element that is farthest off in units of its own tolerance", () => {
  const want = [1, 1];
  const tolerance = [1e-3, 1];
  const near = judge("x", [{ got: [1.0005, 1.2], want, tolerance }]);
  assert.equal(near.status, "passed");
  assert.equal(near.tolerance, 1e-3);
  assert.equal(judge("x", [{ got: [1.002, 1], want, tolerance }]).status, "failed");
  assert.equal(judge("x", [{ got: [NaN, 1], want, tolerance }]).status, "failed");
  assert.equal(judge("x", [{ got: [0], want: [0], tolerance: [0] }]).status, "passed");
});

Deno.test("checkDense passes the kernel and fails one that is slightly off in one element", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const entry = { shape, kind: "seeded", seed: 3 } as const;
  const references: DenseReferences = new Map();
  const right = await checkDense(gpu, find("dense"), { entry, references });
  assert.equal(right.status, "passed");
  const wrong = tampered(gpu, "dense", (data) => data[5000] += 1e-4);
  assert.equal((await checkDense(gpu, wrong, { entry, references })).status, "failed");
  // References computed once serve the next implementation, but only for the same inputs.
  const known = references.get(entry)!;
  await checkDense(gpu, find("dense-naive"), { entry, references });
  assert.equal(references.get(entry), known);
  references.set(entry, {
    ...known,
    inputs: { ...known.inputs, v: known.inputs.v.map((x: number) => -x) },
  });
  const anew = await checkDense(gpu, find("dense"), { entry, references });
  assert.equal(anew.status, "passed");
  assert.notEqual(references.get(entry), known);
  gpu.destroy();
});

Deno.test("checkCausality and checkDeterminism fail implementations without the property", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const leaky = tampered(gpu, "dense", (data) => data[0] += data[data.length - 1]);
  assert.equal((await checkCausality(gpu, leaky, { seed: 3 })).status, "failed");
  const fickle = tampered(gpu, "dense", (data, execution) => data[7] += execution);
  const options = { problem: { shape }, seed: 3 };
  assert.equal((await checkDeterminism(gpu, fickle, options)).status, "failed");
  const implementation = find("dense");
  assert.equal((await checkCausality(gpu, implementation, { seed: 3 })).status, "passed");
  assert.equal((await checkDeterminism(gpu, implementation, options)).status, "passed");
  gpu.destroy();
});

Deno.test("checkNotFinite sees NaN and both infinities", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const checks = await checkNotFinite(gpu, { seed: 3 });
  assert.ok(checks.length >= 3);
  assert.deepEqual(checks.filter(({ status }) => status !== "passed"), []);
  gpu.destroy();
});

Deno.test("checkLighthouse passes the layer and fails a wrong output", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const [, entry] = lighthouseCases(gpu, {
    seed: 3,
    quick: true,
    implementation: find("lighthouse-norm"),
  }).slice(-2);
  const implementation = find("lighthouse-norm");
  const right = await checkLighthouse(gpu, implementation, { entry });
  assert.deepEqual(right.map(({ status }) => status), ["passed", "passed"]);
  const wrong = tampered(gpu, "lighthouse-norm", (data) => data[data.length - 1] += 0.01);
  const found = await checkLighthouse(gpu, wrong, { entry });
  assert.deepEqual(found.map(({ status }) => status), ["passed", "failed"]);
  gpu.destroy();
});

const SCORED = chooseCases(["dilated", "gla"], (scorer) => scorer === "dilated");

for (const scorer of SCORED.cases) {
  Deno.test(`checkLighthouse compares ${scorer} scores with float64 and the selection with them${SCORED.note}`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const problem = {
      shape: { heads: 2, context: 384, headDim: 32, dtype: "f32" as const },
      options: { levels: 2, pooling: 2, k: 128, dilation: 3 },
    };
    const implementation = find(`lighthouse-${scorer}`);
    type Scores = { query: Float32Array; key: Float32Array };
    const statuses = async (change: (scores: Scores) => void) => {
      const changed: Implementation = {
        ...implementation,
        prepare: async (...given) => {
          const prepared = await implementation.prepare(...given);
          const readScores = async (head: number) => {
            const scores = await prepared.outputs.readScores!(head);
            change(scores);
            return scores;
          };
          return { ...prepared, outputs: { ...prepared.outputs, readScores } };
        },
      };
      const checks = await checkLighthouse(gpu, changed, { entry: { problem, seed: 3 } });
      return checks.map(({ name, status }) => `${name.split(" ").at(-1)} ${status}`);
    };
    assert.deepEqual(await statuses(() => {}), [
      "scores passed",
      "selection passed",
      "output passed",
    ]);
    // A hundredth more keeps the order but exceeds rounding; reversed, other entries are chosen.
    assert.deepEqual(await statuses(({ query }) => query.forEach((x, i) => query[i] = 1.01 * x)), [
      "scores failed",
      "selection passed",
      "output passed",
    ]);
    const [, selection] = await statuses(({ query, key }) =>
      [query, key].forEach((scores) => scores.reverse())
    );
    assert.equal(selection, "selection failed");
    gpu.destroy();
  });
}

/** The project's golden vectors with one selection case changed. */
async function withCase(change: Partial<SelectionCase>): Promise<[Golden, SelectionCase]> {
  const golden = await readGolden();
  return [golden, { ...golden.selection[0], ...change }];
}

Deno.test("checkGoldenSelection names what differs", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const right = await checkGoldenSelection(gpu, ...await withCase({}));
  assert.equal(right.status, "passed");
  const digest = await checkGoldenSelection(
    gpu,
    ...await withCase({ sha256: "0".repeat(64), indices: undefined }),
  );
  assert.equal(digest.status, "failed");
  assert.match(digest.detail!, /the manifest says 0{64}; every index is as the reference selects/);
  const other = await checkGoldenSelection(gpu, ...await withCase({ seed: 77 }));
  assert.equal(other.status, "failed");
  assert.match(other.detail!, /entries differ, the first is head 0 position \d+: \d+ instead of/);
  gpu.destroy();
});

Deno.test("checkGoldenLayer skips a scorer that no implementation has and fails a wrong digest", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const golden = await readGolden();
  const registry = [find("lighthouse-norm")];
  const dilated = golden.forward.find(({ scorer }) => scorer === "dilated")!;
  const [skip] = await checkGoldenLayer(gpu, golden, { entry: dilated, registry });
  assert.equal(skip.status, "skipped");
  const entry = { ...golden.forward[0], idx_sha256: "1".repeat(64) };
  const [wrong] = await checkGoldenLayer(gpu, golden, { entry, registry });
  assert.equal(wrong.status, "failed");
  assert.match(wrong.detail!, /the manifest says 1{64}/);
  gpu.destroy();
});

Deno.test("verify counts, and gives exit code 1 for a failure and 5 for no check", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { selection } = await readGolden();
  const source = { folder: new URL("../../fixtures/golden/", import.meta.url), shown: "golden/" };
  const of = (entry: SelectionCase) => new Golden(source, { selection: [entry], forward: [] });
  const lines: string[] = [];
  const right = await verify(gpu, {
    quick: true,
    registry: [],
    golden: of(selection[0]),
    onCheck: ({ name }) => lines.push(name),
  });
  assert.equal(right.exitCode, 0);
  assert.equal(lines.length, right.passed + right.failed + right.skipped);
  const wrong = await verify(gpu, {
    quick: true,
    registry: [],
    golden: of({ ...selection[0], sha256: "0".repeat(64) }),
  });
  assert.equal(wrong.failed, 1);
  assert.equal(wrong.exitCode, 1);
  gpu.destroy();
});

Deno.test("verify gives the same lines in the same order, however many checks run at once", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const { selection } = await readGolden();
  const source = { folder: new URL("../../fixtures/golden/", import.meta.url), shown: "golden/" };
  const short = selection.toSorted((a, b) => a.N - b.N).slice(0, 4);
  assert.ok(short.length > 2);
  const golden = new Golden(source, {
    selection: [...short, { ...short[0], sha256: "0".repeat(64) }, ...short],
    forward: [],
  });
  const linesOf = async (concurrency: number) => {
    const { checks } = await verify(gpu, { quick: true, registry: [], golden, concurrency });
    return checks.map(formatCheck);
  };
  const alone = await linesOf(1);
  assert.deepEqual(await linesOf(4), alone);
  gpu.destroy();
});
