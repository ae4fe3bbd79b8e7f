import assert from "node:assert/strict";
import {
  emulatingGpu,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import type { Gpu } from "../../gpu/device.ts";
import { download, run, seeded, upload } from "../_device_run.ts";
import { createProduct, planProduct } from "./matrix_product.ts";
import type { ProductOptions } from "./types.ts";

const STORE = { kind: "store", dtype: "f32" } as const;

/**
 * Runs a product with weights as they are stored and with weights transposed, and compares all
 * bits.
 */
async function compareTransposed(
  gpu: Gpu,
  options: Pick<ProductOptions, "rows" | "columns" | "depth" | "matrixTiling">,
) {
  const { rows, columns, depth } = options;
  const left = await upload(gpu, seeded(1, rows * depth, { dtype: "f16" }), "f16");
  const weights = seeded(2, columns * depth, { dtype: "f16" });
  const transposed = weights.map((_, i) => weights[i % columns * depth + Math.floor(i / columns)]);
  const found = [];
  for (const [form, right] of [["NT", weights], ["NN", transposed]] as const) {
    const plan = planProduct(gpu, { ...options, form, dtype: "f16", result: STORE });
    const made = await createProduct(gpu, plan);
    const result = await upload(gpu, new Float32Array(rows * columns));
    await run(gpu, made.bind({ left, right: await upload(gpu, right, "f16"), result }));
    found.push(await download(gpu, result, { count: rows * columns }));
    made.destroy();
  }
  assert.deepEqual(found[1], found[0]);
}

Deno.test("weights transposed give the same bits", async (t) => {
  const device = await emulatingGpu(t);
  if (!device) return;
  const gpu = withEmulatedMatrices(device);
  const matrixTiling = { rows: 32, columns: 32, depth: 16, subgroupsY: 1, subgroupsX: 1 };
  await compareTransposed(gpu, { rows: 88, columns: 136, depth: 72, matrixTiling });
  device.destroy();
  const real = await matrixGpu();
  if (!real) return;
  for (const rows of [520, 512]) {
    await compareTransposed(real, { rows, columns: 256, depth: 1024 });
  }
  real.destroy();
});
