import assert from "node:assert/strict";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { shaderValidator } from "../../gpu/_test_gpu.ts";
import { chooseFew } from "../../../tools/_cases.ts";
import { checkProduct, type ProductCase } from "./_check_product.ts";
import { MATRIX_PRODUCT_CANDIDATES, PRODUCT_PROBES } from "./_product_candidates.ts";
import { probeName } from "./_product_probes.ts";
import { planProduct } from "./matrix_product.ts";
import { type MatrixProductTiling, productTilingName } from "./product_tilings.ts";
import { PRODUCT_FORMS, type ProductForm } from "./types.ts";

const MATRIX_DESK = { ...DESK, capabilities: MATRIX_UNITS };

/** Small enough for the workgroup memory and the loops of a software adapter. */
const SMALLEST = { rows: 32, columns: 32, depth: 16, subgroupsY: 1, subgroupsX: 1 } as const;

function caseOf(
  form: ProductForm,
  size: { rows: number; columns: number; depth: number },
  options: Partial<MatrixProductTiling>,
): ProductCase {
  const matrixTiling = { ...SMALLEST, ...options };
  const accumulates = form === "TN";
  return {
    name: `${form} ${Object.values(size).join("×")} ${productTilingName(matrixTiling)}`,
    form,
    ...size,
    dtype: "f16",
    result: accumulates ? { kind: "accumulate" } : { kind: "store", dtype: "f32" },
    slices: accumulates ? 2 : undefined,
    matrixTiling,
  };
}

const ODD = { rows: 88, columns: 72, depth: 104 };
const WHOLE = { rows: 96, columns: 64, depth: 128 };
/** More columns of tiles than rows, the last of which are no whole band. */
const BROAD = { rows: 488, columns: 520, depth: 40 };

Deno.test("every candidate fits 48 KiB of workgroup memory and compiles in Dawn's front end", async (t) => {
  const gpu = await shaderValidator(t);
  const names = new Set<string>();
  for (const matrixTiling of MATRIX_PRODUCT_CANDIDATES) {
    names.add(productTilingName(matrixTiling));
    for (const form of PRODUCT_FORMS) {
      const entry = caseOf(form, { rows: 768, columns: 768, depth: 1024 }, matrixTiling);
      const { pipeline } = planProduct(MATRIX_DESK, entry);
      const { code } = pipeline;
      if (!gpu) continue;
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      assert.deepEqual(messages.map(({ message }) => message), [], entry.name);
    }
  }
  assert.equal(names.size, MATRIX_PRODUCT_CANDIDATES.length);
  gpu?.destroy();
});

Deno.test("every probe changes the shader and compiles in Dawn's front end", async (t) => {
  const gpu = await shaderValidator(t);
  for (const { matrixTiling, change, what } of PRODUCT_PROBES) {
    const entry = caseOf("NT", { rows: 768, columns: 768, depth: 1024 }, matrixTiling);
    const result = { kind: "store", dtype: "f16" } as const;
    const { code } = planProduct(MATRIX_DESK, { ...entry, result }).pipeline;
    const changed = change(code);
    assert.notEqual(changed, code, what);
    if (!gpu) continue;
    const { messages } = await gpu.device.createShaderModule({ code: changed })
      .getCompilationInfo();
    assert.deepEqual(
      messages.map(({ message }) => message),
      [],
      probeName({ what, matrixTiling }),
    );
  }
  gpu?.destroy();
});

Deno.test("loads are bounded where a tile, a slice or a step is not whole", () => {
  const codeOf = (size: typeof WHOLE, options: Partial<MatrixProductTiling>) =>
    planProduct(MATRIX_DESK, caseOf("TN", size, options)).pipeline.code;
  const bounded = codeOf(WHOLE, {});
  assert.notEqual(codeOf(WHOLE, { unguarded: true }), bounded);
  for (const size of [{ rows: 120 }, { columns: 72 }, { depth: 120 }]) {
    assert.equal(codeOf({ ...WHOLE, ...size }, { unguarded: true }), bounded);
  }
  // Two slices of three steps.
  const three = { ...WHOLE, depth: 96 };
  assert.notEqual(codeOf(three, { unguarded: true }), codeOf(three, {}));
});

Deno.test("a result with more columns of tiles than rows is walked in bands", () => {
  const codeOf = (rows: number, columns: number) =>
    planProduct(MATRIX_DESK, caseOf("NN", { rows, columns, depth: 64 }, {})).pipeline.code;
  assert.match(codeOf(64, 96), /let bandRow = /);
  assert.doesNotMatch(codeOf(96, 96), /let bandRow = /);
  const entry = caseOf("NN", { rows: 96, columns: 96, depth: 64 }, { bandRows: 2 });
  assert.match(
    planProduct(MATRIX_DESK, entry).pipeline.code,
    /let bandRow = turn \/ \(2u \* across\)/,
  );
});

Deno.test("a gradient of weights loads its operands early where all tiles are whole", () => {
  const early = "matrix units 128/128/16/2×2, early, unguarded in 4 slices";
  const plain = "matrix units 128/128/32/2×2, one stage, unguarded in 4 slices";
  const variantOf = (form: ProductForm, size: Partial<typeof WHOLE> = {}) => {
    const whole = { rows: 3072, columns: 1024, depth: 2 ** 14, ...size };
    const { matrixTiling: _, ...product } = caseOf(form, whole, {});
    return planProduct(MATRIX_DESK, { ...product, slices: form === "TN" ? 4 : undefined }).variant;
  };
  assert.equal(variantOf("TN"), early);
  assert.equal(variantOf("TN", { rows: 3080 }), plain);
  // Slices of an odd number of 16.
  assert.equal(variantOf("TN", { depth: 2 ** 14 + 64 }), plain);
  assert.equal(
    variantOf("NN", { depth: 1024 }),
    "matrix units 128/128/32/2×2, one stage, unguarded",
  );
});

Deno.test("factors are bound for writing, too, unless they share a buffer", () => {
  const { bindings, shared, code } = planProduct(MATRIX_DESK, caseOf("NT", WHOLE, {})).pipeline;
  assert.deepEqual(bindings, ["read-write", "read-write", "read-write", "uniform"]);
  assert.deepEqual(shared!.bindings, ["read", "read", "read-write", "uniform"]);
  assert.notEqual(shared!.code, code);
});

Deno.test("a tiling refuses options that it does not know in one line", () => {
  for (
    const [options, reason] of [
      [{ stages: 3 }, "stages of the tiling 3 is not one of 1, 2"],
      [{ unguarded: 1 }, "unguarded of the tiling 1 is not one of true, false"],
      [{ bandRows: 0 }, "bandRows of the tiling 0 is not a whole number from 1 to 4096"],
      [{ early: 1 }, "early of the tiling 1 is not one of true, false"],
      [{ early: true, depth: 32 }, "tiling 32/32/32/1×1, early does not have two stages of 16"],
      [
        { early: true, stages: 1 },
        "tiling 32/32/16/1×1, one stage, early does not have two stages of 16",
      ],
    ] as const
  ) {
    const given = caseOf("NT", WHOLE, options as unknown as Partial<MatrixProductTiling>);
    assert.throws(() => planProduct(MATRIX_DESK, given), {
      message: `plan matrix product: ${reason}`,
    });
  }
});

/**
 * Every option, with odd sizes and whole tiles; short rows of 2 and of 4 vectors, and long ones.
 */
const OPTIONS: readonly (readonly [Partial<MatrixProductTiling>, typeof WHOLE])[] = [
  [{}, ODD],
  [{ depth: 32 }, ODD],
  [{ depth: 64 }, WHOLE],
  [{ stages: 1 }, ODD],
  [{ stages: 1, depth: 32 }, ODD],
  [{ unguarded: true }, WHOLE],
  [{ unguarded: true, depth: 32 }, WHOLE],
  [{ unguarded: true, stages: 1, depth: 32 }, WHOLE],
  // 32 threads do not take whole rows of 48 lines.
  [{ rows: 48, columns: 16 }, ODD],
  [{ unguarded: true }, BROAD],
  [{ unguarded: true, bandRows: 2 }, WHOLE],
  [{ early: true }, ODD],
  [{ early: true, unguarded: true }, WHOLE],
];

const EMULATED = chooseFew(
  OPTIONS.flatMap(([options, size], i) =>
    PRODUCT_FORMS.map((form, j) => ({ ...caseOf(form, size, options), daily: i % 3 === j }))
  ),
  ({ daily }) => daily,
);

Deno.test({
  name: `options of tilings on emulated matrix units match float64${EMULATED.note}`,
  fn: async (t) => {
    const device = await emulatingGpu(t);
    if (!device) return;
    const gpu = withEmulatedMatrices(device);
    for (const { daily: _, ...entry } of EMULATED.cases) {
      await t.step(entry.name, () => checkProduct(gpu, entry));
    }
    device.destroy();
  },
});

Deno.test("every candidate matches float64 on matrix units", async (t) => {
  const gpu = await matrixGpu();
  if (!gpu) return;
  for (const matrixTiling of MATRIX_PRODUCT_CANDIDATES) {
    for (const form of PRODUCT_FORMS) {
      for (const size of [{ rows: 768, columns: 768, depth: 1024 }, ODD]) {
        const entry = caseOf(form, size, matrixTiling);
        await t.step(entry.name, () => checkProduct(gpu, entry, { repeat: true }));
      }
    }
  }
  gpu.destroy();
});
