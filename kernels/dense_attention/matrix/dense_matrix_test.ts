import assert from "node:assert/strict";
import { shaderValidator } from "../../gpu/_test_gpu.ts";
import MEASURED from "../../../fixtures/tuning/h100-dawn.json" with { type: "json" };
import { chooseCases } from "../../../tools/_cases.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { createTensor, readTensor, type Tensor } from "../../gpu/buffers.ts";
import type { Capabilities } from "../../gpu/device.ts";
import { Timer } from "../../gpu/timing.ts";
import { emulateMatrices } from "./_matrix_emulation.ts";
import { emulatingGpu, MATRIX_UNITS, matrixGpu } from "./_matrix_gpu.ts";
import { createDenseAttention, planDenseAttention, planVariant } from "../dense_attention.ts";
import { planDenseBackward } from "../dense_attention_backward.ts";
import { denseAttentionRow, worstRatio } from "../dense_attention_reference.ts";
import {
  chooseMatrixBackward,
  chooseMatrixTiling,
  matrixFits,
  whyNoMatrixUnits,
} from "./dense_matrix.ts";
import {
  MATRIX_BACKWARD_TILINGS,
  type MatrixBackwardTiling,
  type MatrixTiling,
  tilingName,
} from "../tilings.ts";
import { tilingSpace } from "../tuning.ts";
import { createSquaredNorms, planSquaredNorms } from "../dense_squared_norms.ts";
import {
  type Bench,
  createInputs,
  DEVICE,
  emulatePipeline,
  planFor,
  SHAPE,
  SMALLEST,
} from "./_matrix_bench.ts";

Deno.test("dense attention uses matrix units where device and shape allow, otherwise the portable kernel", () => {
  const plan = (capabilities: Partial<Capabilities> = {}, options = {}) =>
    planDenseAttention({
      capabilities: { ...MATRIX_UNITS, ...capabilities },
      adapter: DESK.adapter,
    }, {
      ...SHAPE,
      ...options,
    });
  assert.equal(whyNoMatrixUnits(MATRIX_UNITS), undefined);
  assert.equal(plan().kernel, "matrix");
  assert.equal(plan({}, { kernel: "portable" }).kernel, "portable");
  for (
    const [capabilities, options, reason] of [
      [{ subgroupMatrix: [] }, {}, /the device has no subgroup matrices/],
      [{ subgroupMinSize: 8 }, {}, /subgroups have 8 to 32 threads, not 32/],
      [{ maxWorkgroupBytes: 16384 }, {}, /no tiling fits 16 KiB of workgroup memory/],
      [{}, { dtype: "f32" }, /storage f32 is not f16/],
      [{}, { headDim: 96 }, /head dimension 96 is not one of 64, 128/],
      [{}, { rows: 15 }, /15 rows are fewer than the 16 rows of a matrix/],
    ] as const
  ) {
    assert.equal(plan(capabilities, options).kernel, "portable");
    assert.throws(() => plan(capabilities, { ...options, kernel: "matrix" }), reason);
  }
});

interface Case {
  readonly rows: number;
  readonly headDim: number;
  readonly tiling?: MatrixTiling;
  /** Factor of Q: large factors make extreme logits. */
  readonly size?: number;
  /** All rows are equal. */
  readonly equal?: boolean;
  readonly startsOver?: boolean;
  /** Keys are values, in one buffer. */
  readonly shared?: boolean;
}

/** The declared tilings at a head dimension. */
function tilingsOf(headDim: number): readonly MatrixTiling[] {
  return tilingSpace(MATRIX_UNITS, { kernel: "matrix", pass: "forward", headDim });
}

const CASES: readonly Case[] = [
  ...[16, 17, 100, 257, 1001].flatMap((rows) =>
    [64, 128].map((headDim) => ({ rows, headDim, startsOver: false }))
  ),
  ...[64, 128].flatMap((headDim) =>
    tilingsOf(headDim).map((tiling) => ({ rows: 777, headDim, tiling, startsOver: false }))
  ),
  ...[64, 128].map((headDim) => ({
    rows: 777,
    headDim,
    tiling: tilingsOf(headDim)[0],
    shared: true,
  })),
  { rows: 1001, headDim: 128, size: 8 },
  { rows: 1001, headDim: 64, size: 64, startsOver: true },
  { rows: 40_000, headDim: 64, equal: true, startsOver: false },
  { rows: 20_000, headDim: 128, size: 30, startsOver: true },
];

const EMULATED: readonly Case[] = [
  { rows: 61, headDim: 64, tiling: { ...SMALLEST, blocks: 2, tileColumns: 32, stages: 2 } },
  ...[16, 17, 61].flatMap((rows) => [
    { rows, headDim: 64, tiling: SMALLEST },
    { rows, headDim: 64, tiling: { ...SMALLEST, blocks: 2, tileColumns: 32 } as const },
    { rows, headDim: 64, tiling: { ...SMALLEST, subgroups: 2, stages: 2 } as const },
    { rows, headDim: 64, tiling: { ...SMALLEST, stages: 2 } as const, shared: true },
    { rows, headDim: 128, tiling: SMALLEST },
  ]),
  { rows: 150, headDim: 64, tiling: { ...SMALLEST, tileColumns: 48 } },
  { rows: 90, headDim: 64, size: 64, startsOver: true, tiling: SMALLEST },
  {
    rows: 61,
    headDim: 64,
    tiling: { ...SMALLEST, blocks: 2, tileColumns: 32, stages: 2, step: 32 },
  },
  // Three blocks share two places for weights.
  { rows: 61, headDim: 64, tiling: { ...SMALLEST, blocks: 3, tileColumns: 32, stages: 2 } },
];

/** Compiling the emulation takes a software adapter seconds for each kernel. */
const FORWARD = chooseCases(
  EMULATED,
  ({ size }) => size !== undefined,
  // With the most rows; a software adapter compiles several blocks for half a minute.
  ({ tiling }, i) => i > 14 && tiling!.blocks === 1,
);

Deno.test("dense attention on matrix units matches float64 within the rounding of f16 weights", async (t) => {
  const gpu = await matrixGpu();
  if (gpu) await checkForward(t, { gpu, emulated: false }, CASES);
});

Deno.test({
  name: `dense attention on emulated matrix units matches float64${FORWARD.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (gpu) await checkForward(t, { gpu, emulated: true }, FORWARD.cases);
  },
});

async function checkForward(t: Deno.TestContext, bench: Bench, cases: readonly Case[]) {
  const { gpu } = bench;
  const timer = new Timer(gpu);
  for (const entry of cases) {
    const { rows, headDim, tiling, size = 1, equal = false, shared = false } = entry;
    const name = `N ${rows} d ${headDim} ${tiling ? tilingName(tiling) : ""} × ${size}` +
      (equal ? " equal rows" : "") + (shared ? " keys are values" : "");
    await t.step(name, async () => {
      const heads = 2;
      const made = await createInputs(gpu, { heads, rows, headDim, size, equal });
      const inputs = shared ? { ...made, v: made.k } : made;
      const o = await createTensor(gpu, { heads, rows, dim: headDim, dtype: "f16" });
      const lse = await createTensor(gpu, { heads, rows, dim: 1, dtype: "f32" });
      const kernel = await createDenseAttention(
        gpu,
        planFor(bench, { heads, rows, headDim, matrixTiling: tiling }),
      );
      const at = (tensor: Tensor) => tensor.blocks[0].data;
      const dispatches = kernel.bind({
        q: at(inputs.q),
        k: at(inputs.k),
        v: at(inputs.v),
        o: at(o),
        lse: at(lse),
      });
      await timer.run([{ name: "attention", dispatches }]);
      const restarts = await kernel.readRestarts!();
      if (entry.startsOver !== undefined) assert.equal(restarts > 0, entry.startsOver);
      const [q, k, v, output, sums] = await Promise.all(
        [inputs.q, inputs.k, inputs.v, o, lse].map((tensor) => readTensor(gpu, tensor)),
      );
      const head = heads - 1;
      const part = (data: Float32Array | Float16Array, dim: number) =>
        Float64Array.from(data.subarray(head * rows * dim, (head + 1) * rows * dim));
      const own = { q: part(q, headDim), k: part(k, headDim), v: part(v, headDim), headDim };
      const step = Math.max(1, Math.floor(rows / 60));
      for (let row = 0; row < rows; row += row < 40 || row > rows - 20 ? 1 : step) {
        const want = denseAttentionRow(own, row, { dtype: "f16", weights: "f16" });
        const have = part(output, headDim).subarray(row * headDim, (row + 1) * headDim);
        const ratio = worstRatio(have, want.output, want.tolerance);
        assert.ok(ratio <= 1, `row ${row}: ${ratio} of the tolerance`);
        const lseError = Math.abs(part(sums, 1)[row] - want.lse);
        assert.ok(lseError <= want.lseTolerance, `log-sum-exp of row ${row}: ${lseError}`);
      }
      kernel.destroy();
      [made.q, made.k, made.v, o, lse].forEach((tensor) => tensor.destroy());
    });
  }
  timer.destroy();
  gpu.destroy();
}

Deno.test("the emulation refuses a matrix whose name a number has too", () => {
  const { code } = planDenseAttention(DEVICE, { ...SHAPE, headDim: 64 }).pipeline;
  emulateMatrices(code, 8);
  // The counter of the loop.
  const clash = code.replaceAll(/\bv0\b/g, "k0");
  assert.throws(() => emulateMatrices(clash, 8), /k0 is the name of a matrix and of a number/);
});

Deno.test("squared norms on matrix units match the attention of each residue class", async () => {
  const gpu = await matrixGpu();
  if (gpu) await checkNorms({ gpu, emulated: false }, { rows: 1200, headDim: 128 });
});

Deno.test({
  name: "squared norms on emulated matrix units match each residue class",
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    const matrixTiling = SMALLEST;
    if (gpu) await checkNorms({ gpu, emulated: true }, { rows: 132, headDim: 64, matrixTiling });
  },
});

async function checkNorms(
  bench: Bench,
  { rows, headDim, matrixTiling }: { rows: number; headDim: number; matrixTiling?: MatrixTiling },
) {
  const { gpu, emulated } = bench;
  const [heads, dilation] = [2, 4];
  const inputs = await createInputs(gpu, { heads, rows, headDim, size: 1, equal: false });
  const norms = await createTensor(gpu, { heads, rows, dim: 1, dtype: "f32" });
  const device = emulated ? DEVICE : gpu;
  const plan = planSquaredNorms(device, {
    heads,
    rows,
    headDim,
    dtype: "f16",
    dilation,
    kernel: "matrix",
    matrixTiling,
  });
  assert.equal(plan.launch.kernel, "matrix");
  const { launch } = plan;
  const pipeline = emulated ? emulatePipeline(launch.pipeline, { matrixTiling }) : launch.pipeline;
  const kernel = await createSquaredNorms(gpu, { ...plan, launch: { ...launch, pipeline } });
  const timer = new Timer(gpu);
  const at = (tensor: Tensor) => tensor.blocks[0].data;
  const dispatches = kernel.bind({
    q: at(inputs.q),
    k: at(inputs.k),
    v: at(inputs.v),
    squaredNorms: at(norms),
  });
  await timer.run([{ name: "scores", dispatches }]);
  const [q, k, v, have] = await Promise.all(
    [inputs.q, inputs.k, inputs.v, norms].map((tensor) => readTensor(gpu, tensor)),
  );
  const head = heads - 1;
  for (const residue of [0, 3]) {
    const sequence = (data: Float32Array | Float16Array) =>
      Float64Array.from({ length: rows / dilation * headDim }, (_, i) => {
        const row = Math.floor(i / headDim) * dilation + residue;
        return data[(head * rows + row) * headDim + i % headDim];
      });
    const own = { q: sequence(q), k: sequence(k), v: sequence(v), headDim };
    for (let row = 0; row < rows / dilation; row += 7) {
      const { output, tolerance } = denseAttentionRow(own, row, { weights: "f16" });
      const want = output.reduce((sum, x) => sum + x * x, 0);
      const allowed = output.reduce(
        (sum, x, c) => sum + 2 * Math.abs(x) * tolerance[c] + tolerance[c] ** 2,
        want * 2 ** -20,
      );
      const error = Math.abs(have[head * rows + row * dilation + residue] - want);
      assert.ok(error <= allowed, `residue ${residue}, row ${row}: ${error} exceeds ${allowed}`);
    }
  }
  kernel.destroy();
  [inputs.q, inputs.k, inputs.v, norms].forEach((tensor) => tensor.destroy());
  timer.destroy();
  gpu.destroy();
}

Deno.test("every tiling of matrix units compiles in Dawn's front end, for every result", async (t) => {
  const gpu = await shaderValidator(t);
  if (!gpu) return;
  for (const headDim of [64, 128]) {
    for (const matrixTiling of tilingsOf(headDim)) {
      for (const result of ["rows", "squared-norms"] as const) {
        const rowStride = result === "rows" ? 1 : 4;
        const { pipeline } = planVariant(DEVICE, { ...SHAPE, headDim, matrixTiling }, {
          result,
          rowStride,
        });
        for (const { code } of [pipeline, ...pipeline.shared ? [pipeline.shared] : []]) {
          const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
          assert.deepEqual(messages.map(({ message }) => message), []);
        }
      }
    }
    const { query: queries, "key-value": all } = MATRIX_BACKWARD_TILINGS;
    const texts = (["f16", "f32"] as const).flatMap((gradientType) => {
      const fits = (tiling: MatrixBackwardTiling) =>
        matrixFits(MATRIX_UNITS, { pass: "key-value", tiling, headDim });
      const keyValues = all.filter((tiling) => fits({ ...tiling, columns: undefined }));
      return [
        ...queries.map((query) => ({ query, keyValue: keyValues[0] })),
        ...keyValues.map((keyValue) => ({ query: queries[0], keyValue })),
      ].flatMap((matrixTilings) => {
        const plan = planDenseBackward(DEVICE, { ...SHAPE, headDim, gradientType, matrixTilings });
        return Object.values(plan.pipelines).flatMap((source) =>
          source ? [source, ...source.shared ? [source.shared] : []].map(({ code }) => code) : []
        );
      });
    });
    for (const code of new Set(texts)) {
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), []);
    }
  }
  gpu.destroy();
});

Deno.test("a tiling keeps no more rows in registers than fit", () => {
  const { capabilities } = DESK;
  const forward = (numbers: string, headDim: number, step?: 32) => {
    const [subgroups, tileColumns, stages, blocks] = numbers.split("/").map(Number);
    const tiling = { subgroups, tileColumns, stages, blocks, step } as MatrixTiling;
    return matrixFits(capabilities, { pass: "forward", tiling, headDim });
  };
  for (const numbers of ["8/32/2/3", "4/32/2/3", "12/32/2/2"]) {
    assert.deepEqual([64, 128].map((d) => forward(numbers, d)), [true, false], numbers);
  }
  // A step of 32 keys has twice the scores.
  assert.deepEqual([64, 128].map((d) => forward("8/32/2/2", d)), [true, true]);
  assert.deepEqual([64, 128].map((d) => forward("8/32/2/2", d, 32)), [true, false]);
  // These spill.
  assert.deepEqual(["8/32/2/4", "16/32/2/2"].map((one) => forward(one, 64)), [false, false]);
  // Twelve subgroups have two thirds of the registers each.
  assert.deepEqual([64, 128].map((d) => forward("12/16/1/3", d)), [false, false]);
  assert.deepEqual([64, 128].map((d) => forward("12/16/1/1", d)), [true, true]);
});

Deno.test("without a tuning file, shapes get the tilings that were fastest on an H100", () => {
  const { capabilities } = DESK;
  assert.equal(MEASURED.entries.length, 11);
  for (const { pass, heads, rows, headDim, tiling } of MEASURED.entries) {
    const shape = { heads, rows, headDim };
    const { query, keyValue } = chooseMatrixBackward(capabilities, shape);
    const forward = chooseMatrixTiling(capabilities, shape);
    const chosen = new Map(Object.entries({ forward, query, "key-value": keyValue }));
    assert.deepEqual(chosen.get(pass), tiling, `${pass} of ${rows} rows`);
  }
});
