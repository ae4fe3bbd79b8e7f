/**
 * Checks one product on a test's device.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { assertClose, download, run, seeded, upload } from "../_device_run.ts";
import { createProduct, planProduct } from "./matrix_product.ts";
import { productReference } from "./matrix_product_reference.ts";
import type { ProductOptions } from "./types.ts";

/** A product with a name. */
export interface ProductCase extends ProductOptions {
  /** Names it in failures. */
  readonly name: string;
}

/**
 * Runs a product on seeded elements of the sizes that its plan needs, and compares it with float64.
 *
 * @param options `repeat`: also run it again and require the same bits.
 */
export async function checkProduct(
  gpu: Gpu,
  { name, ...options }: ProductCase,
  { repeat = false }: { repeat?: boolean } = {},
): Promise<void> {
  const plan = planProduct(gpu, options);
  const { bufferBytes: bytes } = plan;
  const width = options.dtype === "f16" ? 2 : 4;
  const left = seeded(1, bytes.left! / width, { dtype: options.dtype });
  const right = seeded(2, bytes.right! / width, { dtype: options.dtype });
  const { result } = options;
  const kept = result.kind === "store"
    ? result.dtype
    : result.kind === "rope" || result.kind === "swiglu"
    ? options.dtype
    : "f32";
  const count = bytes.result! / (kept === "f16" ? 2 : 4);
  const added = seeded(3, options.rows * options.columns);
  const table = seeded(4, (bytes.table ?? 0) / 4);
  const buffers = {
    left: await upload(gpu, left, options.dtype),
    right: await upload(gpu, right, options.dtype),
    result: await upload(gpu, result.kind === "accumulate" ? added : new Float32Array(count), kept),
    residual: await upload(gpu, added),
    table: await upload(gpu, table),
    activation: await upload(gpu, new Float32Array((bytes.activation ?? 4) / width), options.dtype),
    partials: await upload(gpu, new Float32Array(Math.max(4, plan.partialBytes / 4))),
  };
  const product = await createProduct(gpu, plan);
  await run(gpu, product.bind(buffers));
  const want = productReference(options, { left, right, added, table }, {
    matrix: plan.kernel === "matrix",
  });
  const have = await download(gpu, buffers.result, { count, dtype: kept });
  assertClose(have, want.result, name);
  if (want.activation) {
    const activation = await download(gpu, buffers.activation, {
      count: want.activation.values.length,
      dtype: options.dtype,
    });
    assertClose(activation, want.activation, `${name}: activation`);
  }
  if (repeat && result.kind !== "accumulate") {
    await run(gpu, product.bind(buffers));
    assert.deepEqual(await download(gpu, buffers.result, { count, dtype: kept }), have);
  }
  product.destroy();
  Object.values(buffers).forEach(({ buffer }) => buffer.destroy());
}
