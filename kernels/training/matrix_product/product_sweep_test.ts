import assert from "node:assert/strict";
import { emulatingGpu, withEmulatedMatrices } from "../../dense_attention/matrix/_matrix_gpu.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import { writeBuffer } from "../../gpu/buffers.ts";
import { ranked, sweepProduct } from "./_product_sweep.ts";
import { createSampledProduct, sampleOf, spread } from "./_sampled_product.ts";
import { createProduct, planProduct } from "./matrix_product.ts";
import type { HeadLayout, ProductOptions } from "./types.ts";

const HEADS: HeadLayout = { parts: 1, sequences: 1, heads: 4, context: 96, headDim: 16 };
const SIZE = { rows: 96, columns: 64, depth: 64, dtype: "f16" } as const;

const PRODUCTS: Record<string, ProductOptions> = {
  "NT store": { form: "NT", ...SIZE, result: { kind: "store", dtype: "f16" } },
  "NT rope": {
    form: "NT",
    ...SIZE,
    columns: 192,
    result: { kind: "rope", heads: { ...HEADS, parts: 3 } },
  },
  "NT residual by heads": {
    form: "NT",
    ...SIZE,
    leftHeads: HEADS,
    result: { kind: "residual" },
  },
  "NT swiglu": { form: "NT", ...SIZE, result: { kind: "swiglu" } },
  "NN store by heads": {
    form: "NN",
    ...SIZE,
    result: { kind: "store", dtype: "f16", heads: HEADS },
  },
  "TN accumulate right by heads": {
    form: "TN",
    rows: 72,
    columns: 64,
    depth: 96,
    dtype: "f16",
    rightHeads: HEADS,
    result: { kind: "accumulate" },
  },
};

Deno.test("a sample holds the first and the last row, and all parts of q, k and v", () => {
  assert.deepEqual(spread(3, 8), [0, 1, 2]);
  const rows = spread(98304, 16);
  assert.deepEqual([rows[0], rows[15], new Set(rows).size], [0, 98303, 16]);
  assert.ok(new Set(rows.map((row) => row % 128)).size > 8);
  const { blocks, width } = sampleOf(PRODUCTS["NT rope"]);
  assert.deepEqual([blocks, width], [[0, 5 * 16, 10 * 16], 16]);
});

Deno.test("the sampled check passes what is right and finds a changed element", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  for (const [name, options] of Object.entries(PRODUCTS)) {
    await t.step(name, async () => {
      const plan = planProduct(gpu, options);
      const sampled = await createSampledProduct(gpu, plan, { matrix: false });
      const product = await createProduct(gpu, plan);
      assert.ok(await sampled.check(product) <= 1);
      writeBuffer(gpu, { ...sampled.buffers.left, size: 16 }, new Float16Array(8).fill(3));
      assert.ok(await sampled.check(product) > 1);
      product.destroy();
      sampled.destroy();
    });
  }
  gpu.destroy();
});

Deno.test("a sweep times what is right and says why it skips the rest", async (t) => {
  const device = await emulatingGpu(t);
  if (!device) return;
  const gpu = withEmulatedMatrices(device);
  const tiling = { rows: 32, columns: 32, depth: 16, subgroupsY: 1, subgroupsX: 1 };
  const rows = await sweepProduct(gpu, {
    name: "small",
    options: PRODUCTS["NT store"],
    variants: [
      {},
      { matrixTiling: tiling },
      { matrixTiling: { ...tiling, stages: 1 } },
      { matrixTiling: { ...tiling, columns: 4096 } },
    ],
  }, { samples: 2, sampleSeconds: 0 });
  const measured = ranked(rows);
  assert.equal(measured.length, 3);
  assert.ok(measured.every(({ seconds, tflops }) => seconds.length === 2 && tflops! > 0));
  const [skipped] = rows.filter((row) => row.skipped !== undefined);
  assert.match(skipped.skipped!, /needs .* of workgroup memory/);
  const late = await sweepProduct(gpu, {
    name: "late",
    options: PRODUCTS["NT store"],
    variants: [{ matrixTiling: tiling }],
  }, { more: () => false });
  assert.deepEqual(late.map((row) => row.skipped), ["no time was left"]);
  device.destroy();
});
