import assert from "node:assert/strict";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { createTensor, type DType, readTensor, writeTensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { fillSeeded } from "../../kernels/gpu/random.ts";
import type { Implementation, LayerInputs, Problem } from "../../kernels/implementation.ts";
import type { CheckOptions } from "./check_options.ts";
import { checkOutputs, digestOutputs, failureOf, withDeterminism } from "./check.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import "./_shared_workers.ts";

async function seededInputs(gpu: Gpu, problem: Problem, seed: number): Promise<LayerInputs> {
  const { heads, context: rows, headDim: dim, dtype } = problem.shape;
  const make = async (offset: number) => {
    const tensor = await createTensor(gpu, { heads, rows, dim, dtype });
    await fillSeeded(gpu, tensor, seed + offset);
    return tensor;
  };
  const inputs = { q: await make(0), k: await make(1), v: await make(2) };
  if ((problem.direction ?? "forward") === "forward") return inputs;
  return { ...inputs, outputGradient: await make(3) };
}

async function withPrepared(
  gpu: Gpu,
  options: { implementation: Implementation; problem: Problem; extent: CheckOptions["extent"] },
  use: (
    prepared: Awaited<ReturnType<Implementation["prepare"]>>,
    check: CheckOptions,
  ) => Promise<void>,
) {
  const { implementation, problem, extent } = options;
  const inputs = await seededInputs(gpu, problem, 5);
  const prepared = await implementation.prepare(gpu, problem, { inputs });
  await prepared.execute();
  await use(prepared, { problem, implementation, inputs, seed: 5, extent });
  prepared.destroy();
  for (const tensor of Object.values(inputs)) tensor.destroy();
}

const find = (name: string) => IMPLEMENTATIONS.find((known) => known.name === name);

for (const dtype of ["f32", "f16"] as DType[]) {
  for (const extent of ["whole", "sampled"] as const) {
    Deno.test(`checkOutputs passes dense attention, ${extent}, ${dtype}`, async (t) => {
      const gpu = await testGpu(t);
      if (!gpu) return;
      const context = extent === "whole" ? 97 : 700;
      const problem = { shape: { heads: 2, context, headDim: 32, dtype } };
      const implementation = find("dense")!;
      await withPrepared(gpu, { implementation, problem, extent }, async (prepared, options) => {
        const { check, digest } = await checkOutputs(gpu, prepared, options);
        assert.equal(failureOf(check), undefined);
        assert.ok(check.maxError! > 0 && check.maxError! <= check.tolerance!);
        // A tolerance must not accept an output that is clearly wrong.
        assert.ok(check.tolerance! < (dtype === "f16" ? 2e-2 : 2e-4), `${check.tolerance}`);
        assert.deepEqual(await digestOutputs(gpu, prepared), digest);
        assert.equal(withDeterminism(check, { first: digest, last: digest }).passed, true);
      });
      gpu.destroy();
    });
  }
}

Deno.test("checkOutputs uses the keys that a row sees, forward and backward", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const shape = { heads: 2, context: 97, headDim: 32, dtype: "f32" as const };
  const problem = { shape, direction: "forward-backward" as const };
  const dense = find("dense")!;
  // The same rows given as other spans; then one row that is given one key less.
  const same = { ...dense, visible: (row: number) => [{ first: 0, end: row + 1 }] };
  const less = {
    ...dense,
    visible: (row: number) => [{ first: row === 90 ? 1 : 0, end: row + 1 }],
  };
  for (const extent of ["whole", "sampled"] as const) {
    await withPrepared(
      gpu,
      { implementation: dense, problem, extent },
      async (prepared, options) => {
        const { check } = await checkOutputs(gpu, prepared, options);
        const { check: said } = await checkOutputs(gpu, prepared, {
          ...options,
          implementation: same,
        });
        assert.deepEqual(said, check);
        if (extent === "sampled") return;
        const { check: wrong } = await checkOutputs(gpu, prepared, {
          ...options,
          implementation: less,
        });
        const failed = wrong.parts!.filter(({ passed }) => !passed).map(({ name }) => name);
        assert.deepEqual(failed, [
          "output",
          "log-sum-exp",
          "gradient of queries",
          "gradient of keys",
          "gradient of values",
        ]);
      },
    );
  }
  gpu.destroy();
});

Deno.test("checkOutputs fails on one wrong element, on NaN and on foreign inputs", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = { shape: { heads: 1, context: 97, headDim: 32, dtype: "f32" as const } };
  const implementation = find("dense")!;
  await withPrepared(
    gpu,
    { implementation, problem, extent: "whole" },
    async (prepared, options) => {
      const right = await readTensor(gpu, prepared.outputs.output);
      const first = (await checkOutputs(gpu, prepared, options)).digest;
      const wrong = right.slice();
      wrong[90 * 32 + 7] += 1e-3;
      writeTensor(gpu, prepared.outputs.output, wrong);
      const { check, digest } = await checkOutputs(gpu, prepared, options);
      assert.match(failureOf(check)!, /check of output failed: error 0\.000\d+ exceeds/);
      assert.match(failureOf(check)!, /row 90/);
      const drifted = withDeterminism({ ...check, passed: true, parts: [] }, {
        first,
        last: digest,
      });
      assert.match(failureOf(drifted)!, /differ in output/);
      wrong[90 * 32 + 7] = NaN;
      writeTensor(gpu, prepared.outputs.output, wrong);
      assert.match(failureOf((await checkOutputs(gpu, prepared, options)).check)!, /finite/);
      writeTensor(gpu, prepared.outputs.output, right);
      const other = await checkOutputs(gpu, prepared, { ...options, seed: 6 });
      assert.match(failureOf(other.check)!, /inputs failed.*q row 0/);
    },
  );
  gpu.destroy();
});

Deno.test("checkOutputs finds a missing mask: one key too many in an early row", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = { shape: { heads: 1, context: 300, headDim: 32, dtype: "f16" as const } };
  const implementation = find("dense")!;
  await withPrepared(
    gpu,
    { implementation, problem, extent: "sampled" },
    async (prepared, options) => {
      // Row 64 holds the result of row 65: the kernel looked one key too far.
      const data = await readTensor(gpu, prepared.outputs.output);
      data.set(data.slice(65 * 32, 66 * 32), 64 * 32);
      writeTensor(gpu, prepared.outputs.output, data);
      assert.match(failureOf((await checkOutputs(gpu, prepared, options)).check)!, /row 64/);
    },
  );
  gpu.destroy();
});

Deno.test("checkOutputs passes Lighthouse, and fails on a shifted scatter or selection", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const problem = {
    shape: { heads: 2, context: 512, headDim: 32, dtype: "f16" as const },
    options: { levels: 2, pooling: 2, k: 128 },
  };
  const implementation = find("lighthouse-norm")!;
  for (const extent of ["whole", "sampled"] as const) {
    await withPrepared(gpu, { implementation, problem, extent }, async (prepared, options) => {
      const { check, digest, zeroRows } = await checkOutputs(gpu, prepared, options);
      assert.equal(failureOf(check), undefined);
      assert.ok(check.maxError! > 0 && check.tolerance! < 2e-2);
      assert.match(digest.selection!, /^[0-9a-f]{64}$/);
      assert.ok(zeroRows! <= 2);
      const { readSelection } = prepared.outputs;
      const swapped = {
        ...prepared,
        outputs: {
          ...prepared.outputs,
          readSelection: async () => {
            const selection = await readSelection!();
            const last = selection.length - 1;
            [selection[last], selection[last - 1]] = [selection[last - 1], selection[last]];
            return selection;
          },
        },
      };
      const order = await checkOutputs(gpu, swapped, options);
      assert.ok(order.check.parts!.some((part) => part.name === "selection" && !part.passed));
      const data = await readTensor(gpu, prepared.outputs.output);
      data.copyWithin(32, 0, data.length - 32);
      writeTensor(gpu, prepared.outputs.output, data);
      assert.match(
        failureOf((await checkOutputs(gpu, prepared, options)).check)!,
        /of output failed/,
      );
    });
  }
  gpu.destroy();
});

const gradientProblems: [string, Problem][] = [
  ["dense", { shape: { heads: 2, context: 201, headDim: 32, dtype: "f16" } }],
  ["lighthouse-norm", {
    shape: { heads: 2, context: 512, headDim: 32, dtype: "f32" },
    options: { levels: 2, pooling: 2, k: 128 },
  }],
];

for (const [name, forward] of gradientProblems) {
  for (const extent of ["whole", "sampled"] as const) {
    const direction = extent === "whole" ? "backward" : "forward-backward";
    Deno.test(`checkOutputs checks gradients of ${name}, ${extent}, ${direction}`, async (t) => {
      const gpu = await testGpu(t);
      if (!gpu) return;
      const problem = { ...forward, direction } as const;
      const implementation = find(name)!;
      await withPrepared(gpu, { implementation, problem, extent }, async (prepared, options) => {
        const { check, digest } = await checkOutputs(gpu, prepared, options);
        assert.equal(failureOf(check), undefined);
        assert.match(
          check.method,
          extent === "whole"
            ? /all rows of dQ, dK and dV of the last head, and some of the others, against float64/
            : /sampled rows of dQ, dK and dV against float64/,
        );
        const names = check.parts!.filter((part) => part.name.startsWith("gradient of"));
        assert.equal(names.length, 3);
        assert.ok(names.every((part) => part.maxError! > 0 && part.tolerance! < 2e-2));
        assert.deepEqual(await digestOutputs(gpu, prepared), digest);
        const { gradients } = prepared.outputs;
        for (
          const [gradient, what] of [["q", "queries"], ["k", "keys"], ["v", "values"]] as const
        ) {
          const tensor = gradients![gradient];
          const right = await readTensor(gpu, tensor);
          const { context, headDim } = problem.shape;
          // Rows four off, near the end of the last head; no window of the pyramid contains both.
          const wrong = right.slice();
          const at = (2 * context - 6) * headDim;
          wrong.copyWithin(at + 4 * headDim, at, at + 2 * headDim);
          writeTensor(gpu, tensor, wrong);
          const failed = await checkOutputs(gpu, prepared, options);
          assert.match(failureOf(failed.check)!, new RegExp(`gradient of ${what} failed`));
          const drift = withDeterminism(check, { first: digest, last: failed.digest });
          assert.match(failureOf(drift)!, /differ in (query|key|value)Gradient/);
          writeTensor(gpu, tensor, right);
        }
      });
      gpu.destroy();
    });
  }
}

for (const scorer of ["dilated", "gla"] as const) {
  Deno.test(`checkOutputs checks ${scorer} scores and the selection that follows from them`, async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const problem = {
      shape: { heads: 2, context: 1024, headDim: 32, dtype: "f16" as const },
      options: { levels: 2, pooling: 2, k: 128, dilation: 4 },
    };
    const implementation = find(`lighthouse-${scorer}`)!;
    const use = { implementation, problem, extent: "sampled" as const };
    await withPrepared(gpu, use, async (prepared, options) => {
      const { check } = await checkOutputs(gpu, prepared, options);
      assert.equal(failureOf(check), undefined);
      const part = check.parts!.find(({ name }) => name === "scores")!;
      assert.ok(part.maxError! > 0 && part.maxError! <= part.tolerance!);
      const readScores = prepared.outputs.readScores!;
      const tell = (change: (scores: Awaited<ReturnType<typeof readScores>>) => void) =>
        checkOutputs(gpu, {
          ...prepared,
          outputs: {
            ...prepared.outputs,
            readScores: async (head) => {
              const scores = await readScores(head);
              change(scores);
              return scores;
            },
          },
        }, options);
      // A hundredth more keeps the order but exceeds rounding; reversed scores need another
      // selection.
      const scaled = await tell(({ query }) => query.forEach((x, i) => query[i] = 1.01 * x));
      assert.match(failureOf(scaled.check)!, /check of scores failed: .*query score/);
      const reversed = await tell(({ query, key }) => [query, key].forEach((x) => x.reverse()));
      assert.match(failureOf(reversed.check)!, /check of selection failed/);
    });
    gpu.destroy();
  });
}
