import assert from "node:assert/strict";
import {
  emulatingGpu,
  MATRIX_UNITS,
  withEmulatedMatrices,
} from "../kernels/dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../kernels/gpu/_desk_device.ts";
import type { SweepRow } from "../kernels/training/matrix_product/_product_sweep.ts";
import { probesOf } from "../kernels/training/matrix_product/_product_probes.ts";
import { MATRIX_PRODUCT_TILINGS } from "../kernels/training/matrix_product/product_tilings.ts";
import type { ProductForm } from "../kernels/training/matrix_product/types.ts";
import {
  finalists,
  formTable,
  mainProducts,
  measure,
  slicesOf,
  type StepProduct,
  stepProducts,
  stepTable,
} from "./measure_products.ts";

const MATRIX_DESK = { ...DESK, capabilities: MATRIX_UNITS };
const TILING = { rows: 32, columns: 32, depth: 16, subgroupsY: 1, subgroupsX: 1 };

function row(form: ProductForm, tflops: number | undefined, depth: number): SweepRow {
  const tiling = { ...TILING, depth };
  const variant = `32/32/${depth}/1×1`;
  const size = [1, 1, 1] as const;
  return { product: form, form, size, result: "", variant, tiling, seconds: [], tflops };
}

Deno.test("the products of a step add up to the counts of the specification", () => {
  const products = stepProducts(MATRIX_DESK, 98304);
  const flops = products.reduce(
    (sum, { options, times }) => sum + 2 * times * options.rows * options.columns * options.depth,
    0,
  );
  assert.equal(Math.round(flops / 1e12), 158);
  assert.equal(products.length, 12 + 3 + 3);
});

Deno.test("the fastest three tilings of a form go on, with the one that is planned", () => {
  const rows = [row("NT", 1, 16), row("NT", 5, 32), row("NT", 3, 48), row("NT", 4, 64)];
  const found = finalists([...rows, row("NN", 9, 80), row("NT", undefined, 96)], "NT");
  assert.deepEqual(found.slice(0, 3).map(({ depth }) => depth), [32, 64, 48]);
  assert.deepEqual(found[3], MATRIX_PRODUCT_TILINGS[0]);
});

Deno.test("the depth is cut where tiles are few", () => {
  const [nt, , tn] = mainProducts(98304, { width: 1024 });
  assert.deepEqual(slicesOf(nt.options, MATRIX_PRODUCT_TILINGS[0]), []);
  assert.deepEqual(slicesOf(tn.options, MATRIX_PRODUCT_TILINGS[0]), [1, 2, 3, 4, 6, 8, 11, 16]);
  const large = { ...tn.options, rows: 128256, depth: 1024 };
  assert.deepEqual(slicesOf(large, MATRIX_PRODUCT_TILINGS[0]), [1]);
});

Deno.test("the table of forms has the fastest first and in bold", () => {
  const table = formTable([row("NT", 100, 16), row("NT", 200, 32), row("NN", 300, 32)]);
  assert.deepEqual(table.split("\n").slice(2), [
    "| 32/32/32/1×1 | **200** | **300** | – |",
    "| 32/32/16/1×1 | 100 | – | – |",
  ]);
});

Deno.test("a small course ends with tables, and what no time was left for", async (t) => {
  const device = await emulatingGpu(t);
  if (!device) return;
  const gpu = withEmulatedMatrices(device);
  const main = mainProducts(64, { width: 32 });
  const products: StepProduct[] = main.map((one) => ({ ...one, name: `${one.name} 2`, times: 2 }));
  const said: string[] = [];
  const tilings = [TILING, { ...TILING, stages: 1 as const }];
  const course = { main, tilings, planned: { ...TILING, columns: 4096 }, say: add };
  function add(text: string) {
    said.push(text);
  }
  const probes = probesOf({ ...TILING, stages: 1, unguarded: true }).slice(0, 1);
  const rows = await measure(gpu, { ...course, probes, products, more: () => true });
  assert.ok(rows.some(({ variant, tflops }) => /; without/.test(variant) && tflops !== undefined));
  assert.ok(rows.filter(({ tflops }) => tflops !== undefined).length >= 12);
  assert.match(stepTable(products, rows), /NT plain 2 \| NT 64 × 96 × 32/);
  assert.ok(said.some((line) => /not timed: NT plain 2, 32\/4096.*workgroup memory/.test(line)));
  said.length = 0;
  await measure(gpu, { ...course, products, more: () => false });
  assert.equal(said.filter((line) => line.startsWith("left out, no time")).length, 3);
  // A product that cannot be allocated costs its own rows alone.
  said.length = 0;
  const large = { ...main[2], options: { ...main[2].options, depth: 2 ** 24 } };
  const kept: SweepRow[] = [];
  const rest = await measure(gpu, {
    ...course,
    main: [large, main[0]],
    products: [],
    more: () => true,
    keep: (found) => kept.push(...found),
  });
  assert.deepEqual([...new Set(rest.map(({ product }) => product))], ["NT plain"]);
  assert.deepEqual(kept, rest);
  assert.ok(
    said.some((line) =>
      /^not measured: TN plain: plan tensor: one head needs a binding/.test(line)
    ),
  );
  device.destroy();
});
