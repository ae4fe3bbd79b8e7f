import assert from "node:assert/strict";
import { chooseCases } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { createTensor, readTensor, type Tensor, writeTensor } from "../../gpu/buffers.ts";
import { fillSeeded } from "../../gpu/random.ts";
import { Timer } from "../../gpu/timing.ts";
import { createDenseAttention, planDenseAttention } from "../dense_attention.ts";
import { createDenseBackward, planDenseBackward } from "../dense_attention_backward.ts";
import { denseBackwardReference } from "../dense_attention_backward_reference.ts";
import { denseAttentionReference, worstRatio } from "../dense_attention_reference.ts";
import { PORTABLE_TILINGS, type Tiling, tilingName } from "../tilings.ts";
import { layOut } from "./tile_layout.ts";

const ALL = PORTABLE_TILINGS.flatMap((tiling) =>
  ([[64, "f32"], [128, "f16"], [128, "f32"]] as const).flatMap(([headDim, dtype]) =>
    [true, false].map((subgroups) => ({ tiling, headDim, dtype, subgroups }))
  )
);

/** A stage of rows and a flat one, sums through subgroups and through workgroup memory. */
const TILINGS = chooseCases(
  ALL,
  ({ tiling: { tileRows, tileColumns, threadsY }, headDim, dtype, subgroups }) =>
    headDim === 128 && (dtype === "f16") === subgroups &&
    (tileRows === 32 || tileRows === 64 && tileColumns === 64 && threadsY === 16),
  ({ tiling: { tileRows }, headDim, dtype }) =>
    headDim === 128 && dtype === "f16" && tileRows === 64,
);

Deno.test("layOut: stages are arrays of rows where that needs no more memory", () => {
  const stage = ([tileRows, tileColumns, threadsX, threadsY, chunk]: number[], headDim: number) => {
    const layout = layOut({ tileRows, tileColumns, threadsX, threadsY, chunk }, headDim);
    return [layout.stageWidth, layout.stageVectors];
  };
  // 64 vectors for scores, 32 + 33 for outputs; 16 rows.
  assert.deepEqual(stage([128, 128, 16, 16, 16], 128), [65, 1040]);
  assert.deepEqual(stage([64, 64, 16, 16, 16], 128), [49, 784]);
  // 64 vectors for scores: weights of 16 threads would meet in one bank.
  assert.deepEqual(stage([128, 128, 16, 16, 16], 64), [0, 1024]);
  // More rows for scores than for outputs.
  assert.deepEqual(stage([128, 64, 16, 16, 32], 128), [0, 1536]);
});

Deno.test(`portable kernels match float64 in every declared tiling${TILINGS.note}`, async (t) => {
  const gpus = {
    true: await testGpu(t),
    false: await testGpu(t, { without: ["subgroups"] }),
  };
  if (!gpus.true || !gpus.false) return;
  let inRows = 0;
  for (const { tiling, headDim, dtype, subgroups } of TILINGS.cases) {
    const gpu = gpus[`${subgroups}`]!;
    const { workgroupBytes, stageWidth } = layOut(tiling, headDim);
    if (workgroupBytes > gpu.capabilities.maxWorkgroupBytes) continue;
    inRows += Number(stageWidth > 0);
    const worst = await errorOf(gpu, { tiling, headDim, dtype });
    assert.ok(worst <= 1, `${tilingName(tiling)} d=${headDim} ${dtype}: ${worst} of the tolerance`);
  }
  assert.ok(inRows > 0, "no stage of rows ran");
  gpus.true.destroy();
  gpus.false.destroy();
});

/** The worst error of both passes, over its tolerance. */
async function errorOf(
  gpu: NonNullable<Awaited<ReturnType<typeof testGpu>>>,
  { tiling, headDim, dtype }: { tiling: Tiling; headDim: number; dtype: "f16" | "f32" },
): Promise<number> {
  const [heads, rows] = [1, 141];
  const shape = { heads, rows, dim: headDim, dtype };
  const names = ["q", "k", "v", "dO", "o", "dQ", "dK", "dV"] as const;
  const made = await Promise.all(names.map(() => createTensor(gpu, shape)));
  const tensors = Object.fromEntries(names.map((name, i) => [name, made[i]])) as Record<
    typeof names[number],
    Tensor
  >;
  const statistic = { heads, rows, dim: 1, dtype: "f32" } as const;
  const lse = await createTensor(gpu, statistic);
  const delta = await createTensor(gpu, statistic);
  for (const [i, name] of (["q", "k", "v", "dO"] as const).entries()) {
    await fillSeeded(gpu, tensors[name], 7 + i);
  }
  for (const name of ["o", "dQ", "dK", "dV"] as const) {
    writeTensor(gpu, tensors[name], new Float32Array(rows * headDim).fill(NaN));
  }
  const data = (tensor: Tensor) => tensor.blocks[0].data;
  const size = { heads, rows, headDim, dtype };
  const forward = await createDenseAttention(gpu, planDenseAttention(gpu, { ...size, tiling }));
  const kernels = await createDenseBackward(
    gpu,
    planDenseBackward(gpu, { ...size, tilings: { query: tiling, keyValue: tiling } }),
  );
  const buffers = {
    q: data(tensors.q),
    k: data(tensors.k),
    v: data(tensors.v),
    o: data(tensors.o),
    lse: data(lse),
  };
  const timer = new Timer(gpu);
  await timer.run([
    { name: "forward", dispatches: forward.bind(buffers) },
    {
      name: "backward",
      dispatches: kernels.bind({
        ...buffers,
        outputGradient: data(tensors.dO),
        delta: data(delta),
        queryGradient: data(tensors.dQ),
        keyGradient: data(tensors.dK),
        valueGradient: data(tensors.dV),
      }),
    },
  ]);
  const [q, k, v, outputGradient, output, dQ, dK, dV] = await Promise.all(
    made.map((tensor) => readTensor(gpu, tensor)),
  );
  const want = denseAttentionReference({ q, k, v, headDim }, { dtype });
  const gradients = denseBackwardReference({ q, k, v, outputGradient, headDim }, {
    dtype,
    gradientType: dtype,
  });
  timer.destroy();
  kernels.destroy();
  forward.destroy();
  [...made, lse, delta].forEach((tensor) => tensor.destroy());
  return Math.max(
    worstRatio(output, want.output, want.tolerance),
    worstRatio(dQ, gradients.q.gradient, gradients.q.tolerance),
    worstRatio(dK, gradients.k.gradient, gradients.k.tolerance),
    worstRatio(dV, gradients.v.gradient, gradients.v.tolerance),
  );
}
