import assert from "node:assert/strict";
import { chooseCases, chooseFew } from "../../../tools/_cases.ts";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { testGpu } from "../../gpu/_test_gpu.ts";
import type { DType } from "../../gpu/buffers.ts";
import { checkProduct, type ProductCase } from "./_check_product.ts";
import { planProduct } from "./matrix_product.ts";
import { placeOf, productReference } from "./matrix_product_reference.ts";
import {
  DECLARED_MATRIX_TILINGS,
  type MatrixProductTiling,
  productTilingName,
} from "./product_tilings.ts";
import {
  type HeadLayout,
  PRODUCT_FORMS,
  type ProductOptions,
  type ProductResult,
} from "./types.ts";

const MATRIX_DESK = { ...DESK, capabilities: MATRIX_UNITS };
const SIZE = { rows: 96, columns: 64, depth: 32, dtype: "f16" } as const;
const STORE: ProductResult = { kind: "store", dtype: "f32" };

Deno.test("a product takes matrix units where device and sizes allow, else the portable kernel", () => {
  const plan = (options: Partial<ProductOptions> = {}, gpu = MATRIX_DESK) =>
    planProduct(gpu, { form: "NT", ...SIZE, result: STORE, ...options });
  assert.equal(plan().kernel, "matrix");
  assert.equal(plan({}, DESK).kernel, "portable");
  assert.equal(plan({ kernel: "portable" }).kernel, "portable");
  for (
    const [options, reason] of [
      [{ dtype: "f32" }, /storage f32 is not f16/],
      [{ rows: 15 }, /15 rows are fewer than a matrix has, 16/],
      [{ columns: 8 }, /8 columns are fewer than a matrix has, 16/],
    ] as const
  ) {
    assert.equal(plan(options).kernel, "portable");
    assert.throws(() => plan({ ...options, kernel: "matrix" }), reason);
  }
});

Deno.test("a product's plan counts tiles, slices, FLOP and bytes by hand", () => {
  const plan = planProduct(MATRIX_DESK, {
    form: "TN",
    rows: 3072,
    columns: 1024,
    depth: 98304,
    dtype: "f16",
    result: { kind: "accumulate" },
  });
  assert.equal(plan.variant, "matrix units 128/128/16/2×2, early, unguarded in 4 slices");
  assert.deepEqual(plan.workgroups, [8, 24, 4]);
  assert.equal(plan.params.sliceDepth, 24576);
  assert.equal(plan.partialBytes, 4 * 3072 * 1024 * 4);
  assert.equal(plan.flops, 2 * 3072 * 1024 * 98304);
  // 16 rows of 64 results of each subgroup, which take more than the factors, 4 * 16 * 17 * 16.
  assert.equal(plan.workgroupBytes, 4 * 16 * 18 * 16);
  // The gradient of a head's input, over a large vocabulary, and over a small one.
  const head = (depth: number) =>
    planProduct(MATRIX_DESK, {
      form: "NN",
      rows: 1024,
      columns: 1024,
      depth,
      dtype: "f16",
      result: STORE,
    });
  assert.deepEqual(head(128256).workgroups, [8, 8, 4]);
  assert.deepEqual(head(4096).workgroups, [8, 16, 1]);
  const small = planProduct(DESK, { form: "NT", ...SIZE, result: { kind: "swiglu" } });
  assert.equal(small.bytes, (96 + 64) * 32 * 2 + 96 * 64 * 3);
  assert.deepEqual(small.bufferBytes, {
    left: 96 * 32 * 2,
    right: 64 * 32 * 2,
    result: 96 * 64 * 2,
    activation: 96 * 32 * 2,
  });
});

Deno.test("every declared tiling on matrix units fits 48 KiB of workgroup memory", () => {
  for (const matrixTiling of DECLARED_MATRIX_TILINGS) {
    for (const form of ["NT", "NN", "TN"] as const) {
      planProduct(MATRIX_DESK, { form, ...SIZE, result: STORE, matrixTiling });
    }
  }
});

Deno.test("a product refuses what it cannot compute in one line", () => {
  const heads = { parts: 1, sequences: 2, heads: 2, context: 48, headDim: 16 };
  for (
    const [options, reason] of [
      [{ form: "TT" }, "form TT is not one of NT, NN, TN"],
      [{ rows: 0 }, "rows 0 is not a whole number from 1 to 4294967295"],
      [{ columns: 60 }, "columns 60 of form NT is not a multiple of 8"],
      [{ depth: 36 }, "depth 36 of form NT is not a multiple of 8"],
      [{ form: "TN", rows: 99 }, "rows 99 of form TN is not a multiple of 8"],
      [
        { slices: 2, result: { kind: "store", dtype: "f16" } },
        "2 slices of a result that is neither accumulated nor f32 by rows",
      ],
      [
        { leftHeads: { ...heads, context: 50 } },
        "the left factor has 2 × 50 tokens of 1 × 2 × 16, the matrix is [96, 32]",
      ],
      [{ rightHeads: heads }, "the right factor of form NT holds weights, not heads"],
      [
        { result: { kind: "rope", heads: { ...heads, parts: 2, partStride: 7 } } },
        "the result has partStride 7, not a multiple of 8",
      ],
      [
        { rows: 70000, columns: 70000 },
        "elements of a matrix 4900000000 is not a whole number from 1 to 4294967295",
      ],
    ] as const
  ) {
    const given = { form: "NT", ...SIZE, result: STORE, ...options } as ProductOptions;
    assert.throws(() => planProduct(DESK, given), { message: `plan matrix product: ${reason}` });
  }
});

Deno.test("the place of a token's feature, by hand", () => {
  const layout = { parts: 2, sequences: 2, heads: 3, context: 5, headDim: 8, partStride: 256 };
  // Token 7 is row 2 of sequence 1; feature 43 is element 3 of head 2 of part 1.
  assert.equal(
    placeOf(layout, { token: 7, feature: 43, width: 48 }),
    256 + ((1 * 3 + 2) * 5 + 2) * 8 + 3,
  );
});

Deno.test("the reference of each form, by hand", () => {
  const size = { rows: 1, columns: 2, depth: 2, dtype: "f32" } as const;
  const left = [1, 2];
  const values = (form: "NT" | "NN" | "TN", right: number[]) => [
    ...productReference({ form, ...size, result: STORE }, { left, right }).result.values,
  ];
  assert.deepEqual(values("NT", [3, 4, 5, 6]), [11, 17]);
  assert.deepEqual(values("NN", [3, 5, 4, 6]), [11, 17]);
  assert.deepEqual(values("TN", [3, 5, 4, 6]), [11, 17]);
  const swiglu = productReference({ form: "NT", ...size, result: { kind: "swiglu" } }, {
    left,
    right: [3, 4, 5, 6],
  });
  assert.equal(swiglu.activation!.values[0], 11 / (1 + Math.exp(-11)) * 17);
});

/** Heads of so many tokens. */
function layoutOf(parts: number, options: { sequences: number; tokens: number }): HeadLayout {
  const { sequences, tokens } = options;
  return {
    parts,
    sequences,
    heads: 2,
    context: tokens / sequences,
    headDim: 16,
    // Padded, as parts that begin at multiples of 256 bytes are.
    partStride: tokens * 32 + (parts > 1 ? 64 : 0),
  };
}

/** All forms, storages, epilogues and odd sizes. */
function casesOf(dtypes: readonly DType[]): ProductCase[] {
  return dtypes.flatMap((dtype): ProductCase[] => {
    const base = { dtype, columns: 72, depth: 40 };
    const heads = layoutOf(1, { sequences: 2, tokens: 50 });
    return [
      {
        name: "NT store f16",
        form: "NT",
        ...base,
        rows: 37,
        result: { kind: "store", dtype: "f16" },
      },
      { name: "NN store f32", form: "NN", ...base, rows: 37, result: STORE },
      {
        name: "NN store f32, three slices",
        form: "NN",
        ...base,
        rows: 37,
        slices: 3,
        result: STORE,
      },
      {
        name: "TN accumulate one slice",
        form: "TN",
        ...base,
        rows: 40,
        depth: 53,
        slices: 1,
        result: { kind: "accumulate" },
      },
      {
        name: "TN accumulate, right by heads, three slices",
        form: "TN",
        dtype,
        rows: 40,
        columns: 32,
        depth: 50,
        slices: 3,
        rightHeads: heads,
        result: { kind: "accumulate" },
      },
      {
        name: "TN accumulate, left by heads of three parts",
        form: "TN",
        dtype,
        rows: 96,
        columns: 40,
        depth: 51,
        slices: 2,
        leftHeads: layoutOf(3, { sequences: 1, tokens: 51 }),
        result: { kind: "accumulate" },
      },
      // The forward products of a layer, with weights transposed and not.
      ...(["NT", "NN"] as const).flatMap((form): ProductCase[] => [
        { name: `${form} residual`, form, ...base, rows: 33, result: { kind: "residual" } },
        {
          name: `${form} residual, left by heads`,
          form,
          dtype,
          rows: 50,
          columns: 40,
          depth: 32,
          leftHeads: heads,
          result: { kind: "residual" },
        },
        { name: `${form} swiglu`, form, ...base, rows: 33, result: { kind: "swiglu" } },
        ...[1, 2].map((sequences): ProductCase => ({
          name: `${form} rope, ${sequences} sequences`,
          form,
          dtype,
          rows: 50,
          columns: 96,
          depth: 40,
          result: { kind: "rope", heads: layoutOf(3, { sequences, tokens: 50 }) },
        })),
      ]),
      {
        name: "NN store by heads",
        form: "NN",
        dtype,
        rows: 50,
        columns: 32,
        depth: 40,
        result: { kind: "store", dtype, heads },
      },
      {
        name: "NN, left by heads of one sequence",
        form: "NN",
        dtype,
        rows: 50,
        columns: 40,
        depth: 96,
        leftHeads: layoutOf(3, { sequences: 1, tokens: 50 }),
        result: STORE,
      },
      {
        name: "NN, left by heads of three parts",
        form: "NN",
        dtype,
        rows: 50,
        columns: 40,
        depth: 96,
        leftHeads: layoutOf(3, { sequences: 2, tokens: 50 }),
        result: STORE,
      },
    ];
  });
}

const PORTABLE = chooseFew(
  casesOf(["f16", "f32"]),
  ({ dtype, name }) =>
    dtype === "f16" ? !/^NN (residual|swiglu|rope)/.test(name) : /store f32|one slice/.test(name),
);

Deno.test({
  name: `portable products match float64 within the derived tolerance${PORTABLE.note}`,
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    for (const entry of PORTABLE.cases) {
      await t.step(
        `${entry.dtype} ${entry.name}`,
        () => checkProduct(gpu, entry, { repeat: true }),
      );
    }
    for (const tiling of [{ rows: 64, columns: 32, threadsY: 8, depth: 8 }]) {
      await t.step(`8 rows a thread`, () =>
        checkProduct(gpu, {
          name: "NT",
          form: "NT",
          rows: 70,
          columns: 40,
          depth: 24,
          dtype: "f16",
          result: STORE,
          tiling,
        }));
    }
    gpu.destroy();
  },
});

const ODD = { rows: 88, columns: 136, depth: 72 };

/** Small enough for the workgroup memory and the loops of a software adapter. */
const SMALLEST: MatrixProductTiling = {
  rows: 32,
  columns: 32,
  depth: 16,
  subgroupsY: 1,
  subgroupsX: 1,
};

const EMULATED = chooseCases(
  casesOf(["f16"]),
  ({ name }) =>
    /NT store|NN store f32|three slices|NN swiglu|NN rope, 2|NT rope, 1|one sequence/.test(name),
);

/** Declared tilings: all with odd sizes, and with whole tiles, where loads may have no bounds. */
const DECLARED = chooseFew(
  DECLARED_MATRIX_TILINGS.flatMap((matrixTiling, i) =>
    PRODUCT_FORMS.flatMap((form, j) =>
      [ODD, { rows: 256, columns: 128, depth: 128 }].map((size, k) => ({
        name: `${form} ${size.rows} with the declared ${productTilingName(matrixTiling)}`,
        form,
        ...size,
        dtype: "f16" as const,
        result: form === "TN" ? { kind: "accumulate" as const } : STORE,
        slices: form === "TN" ? 2 : undefined,
        matrixTiling,
        // The wide ones with whole tiles, the others without.
        daily: matrixTiling.early ? form === "TN" && k === 1 : i === j && (i === 0) === (k === 1),
      }))
    )
  ),
  ({ daily }) => daily,
);

Deno.test({
  name: `products on emulated matrix units match float64${EMULATED.note}${DECLARED.note}`,
  fn: async (t) => {
    const device = await emulatingGpu(t);
    if (!device) return;
    const gpu = withEmulatedMatrices(device);
    for (const entry of EMULATED.cases) {
      await t.step(entry.name, () => checkProduct(gpu, { ...entry, matrixTiling: SMALLEST }));
    }
    for (const { daily: _, ...entry } of DECLARED.cases) {
      await t.step(entry.name, () => checkProduct(gpu, entry));
    }
    device.destroy();
  },
});

Deno.test("products on matrix units match float64 with every tiling, form and epilogue", async (t) => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  const sizes = [{ rows: 520, columns: 264, depth: 1032 }, {
    rows: 512,
    columns: 256,
    depth: 1024,
  }];
  const large = PRODUCT_FORMS.flatMap((form) =>
    sizes.map((size): ProductCase => ({
      name: `${form} ${size.rows}`,
      form,
      dtype: "f16",
      ...size,
      result: form === "TN" ? { kind: "accumulate" } : STORE,
    }))
  );
  for (const matrixTiling of DECLARED_MATRIX_TILINGS) {
    for (const entry of [...casesOf(["f16"]), ...large]) {
      const name = `${entry.name} ${productTilingName(matrixTiling)}`;
      await t.step(
        name,
        () => checkProduct(gpu, { ...entry, name, matrixTiling }, { repeat: true }),
      );
    }
  }
  gpu.destroy();
});
