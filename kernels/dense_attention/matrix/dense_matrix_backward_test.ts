import assert from "node:assert/strict";
import { chooseFew } from "../../../tools/_cases.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../../gpu/buffers.ts";
import { inspectTensor } from "../../gpu/inspect.ts";
import type { PipelineSource } from "../../gpu/pipeline.ts";
import { Timer } from "../../gpu/timing.ts";
import { emulatingGpu, MATRIX_UNITS, matrixGpu } from "./_matrix_gpu.ts";
import { createDenseAttention } from "../dense_attention.ts";
import { createDenseBackward, planDenseBackward } from "../dense_attention_backward.ts";
import { denseBackwardReference, type GradientRow } from "../dense_attention_backward_reference.ts";
import { denseAttentionReference, worstRatio } from "../dense_attention_reference.ts";
import { MATRIX_BACKWARD_TILINGS, tilingName } from "../tilings.ts";
import {
  BACKWARD_CASES,
  type BackwardCase,
  EMULATED_BACKWARD,
  SMALLEST_BACKWARD,
  WIDEST_KEY,
  WIDEST_QUERY,
} from "./_matrix_backward_cases.ts";
import { planMatrixSchedule } from "./matrix_schedule.ts";
import { matrixTileRows } from "./matrix_layout.ts";
import {
  type Bench,
  createInputs,
  DEVICE,
  emulatePipeline,
  planFor,
  SHAPE,
  SMALLEST,
} from "./_matrix_bench.ts";

Deno.test("rectangles cover every causal query-key pair once", () => {
  const tilings = SMALLEST_BACKWARD;
  for (const [rows, pairsAtMost] of [[16, 1], [61, 300], [61, 16 * 32], [150, 5000], [150, 1e9]]) {
    const limits = { maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 28 };
    const { rectangles, keys, queries, bytes } = planMatrixSchedule(limits, {
      heads: 2,
      rows,
      headDim: 64,
      tilings,
      pairsAtMost,
    });
    const seen = new Uint8Array(rows * rows);
    for (const { firstKey, endKey, firstQuery, endQuery, pairs } of rectangles) {
      assert.ok(endKey - firstKey <= keys && endQuery - firstQuery <= queries);
      assert.ok(keys * queries <= Math.max(256, pairsAtMost));
      let count = 0;
      for (let query = firstQuery; query < endQuery; query++) {
        for (let key = firstKey; key < Math.min(endKey, query + 1); key++) {
          seen[query * rows + key]++;
          count++;
        }
      }
      assert.equal(pairs, count);
    }
    for (let query = 0; query < rows; query++) {
      for (let key = 0; key < rows; key++) {
        assert.equal(seen[query * rows + key], key <= query ? 1 : 0, `${rows}: ${query}, ${key}`);
      }
    }
    assert.equal(bytes.queryPartials === 1024, rectangles.length === 1);
  }
});

Deno.test("heads share rectangles while their partial sums fit a binding", () => {
  const plan = (maxBindingBytes: number) =>
    planMatrixSchedule({ maxBindingBytes, maxBufferBytes: 2 ** 32 }, {
      heads: 8,
      rows: 524_288,
      headDim: 128,
      tilings: { query: WIDEST_QUERY, keyValue: WIDEST_KEY },
    });
  assert.equal(plan(2 ** 31).groupHeads, 8);
  assert.equal(plan(2 ** 31 - 4).groupHeads, 4);
  assert.equal(plan(2 ** 30).groupHeads, 4);
  for (const bytes of Object.values(plan(2 ** 30).bytes)) assert.ok(bytes <= 2 ** 30);
  assert.throws(
    () => plan(2 ** 27),
    /partial sums of one head need a binding of 256 MiB; the limit is 128 MiB$/,
  );
  const kernelFor = (rows: number) =>
    planDenseBackward({
      ...DEVICE,
      capabilities: { ...MATRIX_UNITS, maxBindingBytes: 2 ** 27 },
    }, { ...SHAPE, rows }).kernel;
  assert.equal(kernelFor(262_144), "matrix");
  assert.equal(kernelFor(262_145), "portable");
  const widest = Object.values(MATRIX_BACKWARD_TILINGS).flat().map(matrixTileRows);
  assert.equal(Math.max(...widest), 256);
});

const BACKWARD = chooseFew(
  EMULATED_BACKWARD,
  // A software adapter compiles each for half a minute.
  (_, i) => i === 0,
);

Deno.test("gradients on matrix units match float64 within the rounding of f16 products, and repeat exactly", async (t) => {
  const gpu = await matrixGpu();
  if (gpu) await checkBackward(t, { gpu, emulated: false }, BACKWARD_CASES);
});

Deno.test({
  name: `gradients on emulated matrix units match float64 and repeat exactly${BACKWARD.note}`,
  fn: async (t) => {
    const gpu = await emulatingGpu(t);
    if (gpu) await checkBackward(t, { gpu, emulated: true }, BACKWARD.cases);
  },
});

async function checkBackward(t: Deno.TestContext, bench: Bench, cases: readonly BackwardCase[]) {
  const { gpu, emulated } = bench;
  const timer = new Timer(gpu);
  for (const entry of cases) {
    const { rows, headDim, tilings, size = 1, cut, heads: together, wide = false, logit } = entry;
    const name = tilings ? `${tilingName(tilings.query)} and ${tilingName(tilings.keyValue)}` : "";
    const parts = cut ? `, in rectangles of ${cut}` : "";
    const types = (wide ? ", f32 gradients" : "") + (logit ? `, logits ${logit}` : "");
    await t.step(`N ${rows} d ${headDim} ${name} × ${size}${parts}${types}`, async () => {
      const heads = 2;
      const shape = { heads, rows, dim: headDim, dtype: "f16" } as const;
      const { q, k, v } = await createInputs(gpu, { heads, rows, headDim, size: 1, equal: false });
      const others = await createInputs(gpu, { heads, rows, headDim, size, equal: false });
      if (logit) {
        const drawn = await readTensor(gpu, others.q);
        writeTensor(gpu, others.q, drawn.map((x) => x * 2 ** -10));
        const signs = [1, 2].map((seed) =>
          Array.from(drawn, (_, i) => (Math.floor(i / headDim) * 7 + seed) % 3 === 0 ? -1 : 1)
        );
        const large = Math.sqrt(logit / Math.sqrt(headDim));
        for (const [i, tensor] of [q, k].entries()) {
          writeTensor(gpu, tensor, signs[i].map((sign) => sign * large));
        }
      }
      const gradientType = wide ? "f32" : "f16";
      const gradients = { ...shape, dtype: gradientType } as const;
      // As in a Lighthouse layer, dO shares the buffer of dQ.
      const dq = await createTensor(gpu, gradients);
      const outputGradient = wide ? dq : others.q;
      const drawn = await readTensor(gpu, others.q);
      const fill = () =>
        wide &&
        writeTensor(
          gpu,
          dq,
          Array.from(drawn, (x, i) => x * wideFactor(Math.floor(i / headDim) % rows)),
        );
      const statistic = { heads, rows, dim: 1, dtype: "f32" } as const;
      const [o, dk, dv] = [
        await createTensor(gpu, shape),
        await createTensor(gpu, gradients),
        await createTensor(gpu, gradients),
      ];
      const [lse, delta] = [await createTensor(gpu, statistic), await createTensor(gpu, statistic)];
      const problem = { heads, rows, headDim };
      const matrixTiling = emulated ? SMALLEST : undefined;
      const forward = await createDenseAttention(gpu, planFor(bench, { ...problem, matrixTiling }));
      const device = emulated ? DEVICE : gpu;
      const { capabilities } = device;
      const maxBindingBytes = together
        ? together * rows * headDim * 4 * 1.5
        : capabilities.maxBindingBytes;
      const plan = planDenseBackward({
        ...device,
        capabilities: { ...capabilities, maxBindingBytes },
      }, {
        ...problem,
        dtype: "f16",
        gradientType,
        kernel: "matrix",
        matrixTilings: tilings,
        flopsPerDispatch: cut && cut * cut * 8 * headDim * heads,
      });
      assert.equal(plan.schedule!.rectangles.length > 1, cut !== undefined);
      if (together) assert.equal(plan.schedule!.groupHeads, together);
      const { query, keyValue } = plan.pipelines;
      const emulate = (pass: PipelineSource, matrixTiling?: { readonly subgroups: number }) =>
        emulatePipeline(pass, { matrixTiling });
      const pipelines = emulated
        ? {
          ...plan.pipelines,
          query: emulate(query, tilings?.query),
          keyValue: emulate(keyValue, tilings?.keyValue),
        }
        : plan.pipelines;
      const backward = await createDenseBackward(gpu, { ...plan, pipelines });
      const at = (tensor: Tensor) => tensor.blocks[0].data;
      const given = { q: at(q), k: at(k), v: at(v), o: at(o), lse: at(lse) };
      const dispatches = [
        ...logit ? [] : forward.bind(given),
        ...backward.bind({
          ...given,
          outputGradient: at(outputGradient),
          delta: at(delta),
          queryGradient: at(dq),
          keyGradient: at(dk),
          valueGradient: at(dv),
        }),
      ];
      if (logit) {
        const [all, keys, values] = await Promise.all([q, k, v].map((x) => readTensor(gpu, x)));
        const found = Array.from({ length: heads }, (_, head) => {
          const part = (data: Float32Array | Float16Array) =>
            data.subarray(head * rows * headDim, (head + 1) * rows * headDim);
          return denseAttentionReference({
            q: part(all),
            k: part(keys),
            v: part(values),
            headDim,
          });
        });
        writeTensor(gpu, o, found.flatMap(({ output }) => Array.from(output)));
        writeTensor(gpu, lse, found.flatMap(({ lse }) => Array.from(lse)));
      }
      const digests: string[][] = [];
      fill();
      const given1 = await readTensor(gpu, outputGradient);
      for (let run = 0; run < 2; run++) {
        fill();
        await timer.run([{ name: "attention", dispatches }]);
        digests.push(
          await Promise.all([dq, dk, dv].map(async (x) => (await inspectTensor(gpu, x)).digest)),
        );
      }
      assert.deepEqual(digests[0], digests[1]);
      const read = await Promise.all(
        [q, k, v, dq, dk, dv].map((x) => readTensor(gpu, x)),
      );
      const [q1, k1, v1, dq1, dk1, dv1, gradient1] = [...read, given1].map((data) =>
        Float64Array.from(data.subarray(rows * headDim))
      );
      const want = denseBackwardReference(
        { q: q1, k: k1, v: v1, outputGradient: gradient1, headDim },
        { dtype: "f16", weights: "f16", gradientType },
      );
      for (
        const [name, have, row] of [["q", dq1, want.q], ["k", dk1, want.k], ["v", dv1, want.v]]
      ) {
        const { gradient, tolerance } = row as GradientRow;
        const ratio = worstRatio(have as Float64Array, gradient, tolerance);
        assert.ok(ratio <= 1, `d${name}: ${ratio} of the tolerance`);
      }
      if (logit) {
        // No weight exceeds 1.
        for (let c = 0; c < headDim; c++) {
          const column = (data: Float64Array) =>
            Array.from({ length: rows }, (_, row) => Math.abs(data[row * headDim + c]));
          const most = column(gradient1).reduce((all, x) => all + x);
          assert.ok(column(dv1).every((x) => x <= 1.001 * most), `dV, column ${c}`);
        }
      }
      forward.destroy();
      backward.destroy();
      [q, k, v, others.q, others.k, others.v, o, dq, dk, dv, lse, delta].forEach((x) =>
        x.destroy()
      );
    });
  }
  timer.destroy();
  gpu.destroy();
}

/**
 * Powers of two that scale rows of dO: of 16 rows at a time, as the scales of the kernel are, and
 * of some rows far below the others of their 16.
 */
function wideFactor(row: number): number {
  const within = row % 32 === 5 ? -34 : 0;
  return 2 ** ([0, 20, -8, 15, 0, 40][Math.floor(row / 16) % 6] + within);
}
