import assert from "node:assert/strict";
import { chooseFew } from "../../../tools/_cases.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { Gpu } from "../../gpu/device.ts";
import { backward } from "../_both_passes.ts";
import { denseAttentionReference, worstRatio } from "../dense_attention_reference.ts";
import { PORTABLE_TILINGS, type Tiling, tilingName } from "../tilings.ts";
import { layOut } from "./tile_layout.ts";

const ALL = PORTABLE_TILINGS.flatMap((tiling) =>
  ([[64, "f32"], [128, "f16"], [128, "f32"]] as const).flatMap(([headDim, dtype]) =>
    [true, false].map((subgroups) => ({ tiling, headDim, dtype, subgroups }))
  )
);

/**
 * A stage of rows and a flat one, eight columns a thread and four, sums through subgroups and
 * through workgroup memory.
 */
const TILINGS = chooseFew(
  ALL,
  ({ tiling: { tileRows, tileColumns }, headDim, dtype, subgroups }) =>
    headDim === 128 && (dtype === "f16") === subgroups &&
    (subgroups ? tileRows === 64 && tileColumns === 128 : tileRows === 32),
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
  gpu: Gpu,
  { tiling, headDim, dtype }: { tiling: Tiling; headDim: number; dtype: "f16" | "f32" },
): Promise<number> {
  const { ratio, inputs: [q, k, v], output } = await backward(gpu, {
    heads: 1,
    rows: 141,
    headDim,
    dtype,
    tiling,
    tilings: { query: tiling, keyValue: tiling },
  });
  const want = denseAttentionReference({ q, k, v, headDim }, { dtype });
  return Math.max(ratio, worstRatio(output, want.output, want.tolerance));
}
