import assert from "node:assert/strict";
import {
  emulatingGpu,
  MATRIX_UNITS,
  matrixGpu,
  withEmulatedMatrices,
} from "../../dense_attention/matrix/_matrix_gpu.ts";
import { DESK } from "../../gpu/_desk_device.ts";
import { shaderValidator } from "../../gpu/_test_gpu.ts";
import { chooseCases } from "../../../tools/_cases.ts";
import { checkProduct, type ProductCase } from "./_check_product.ts";
import { MATRIX_PRODUCT_CANDIDATES } from "./_product_candidates.ts";
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
const WHOLE = { rows: 64, columns: 96, depth: 128 };

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

Deno.test("loads are bounded where a tile, a slice or an unrolled pair of steps is not whole", () => {
  const codeOf = (size: typeof WHOLE, options: Partial<MatrixProductTiling>) =>
    planProduct(MATRIX_DESK, caseOf("TN", size, options)).pipeline.code;
  for (const ahead of [1, 2] as const) {
    const bounded = codeOf(WHOLE, { ahead });
    assert.notEqual(codeOf(WHOLE, { ahead, unguarded: true }), bounded);
    for (const size of [{ rows: 72 }, { columns: 72 }, { depth: 120 }]) {
      assert.equal(codeOf({ ...WHOLE, ...size }, { ahead, unguarded: true }), bounded);
    }
  }
  // Two slices of three steps.
  const three = { ...WHOLE, depth: 96 };
  assert.notEqual(codeOf(three, { unguarded: true }), codeOf(three, {}));
  assert.equal(codeOf(three, { ahead: 2, unguarded: true }), codeOf(three, { ahead: 2 }));
});

Deno.test("factors are bound as the tiling says", () => {
  const plan = (options: Partial<MatrixProductTiling>) =>
    planProduct(MATRIX_DESK, caseOf("NT", WHOLE, options)).pipeline;
  assert.deepEqual(plan({}).bindings, ["read-write", "read-write", "read-write", "uniform"]);
  assert.deepEqual(plan({}).shared!.bindings, ["read", "read", "read-write", "uniform"]);
  const { code, bindings, shared } = plan({ access: "read" });
  assert.deepEqual(bindings, ["read", "read", "read-write", "uniform"]);
  assert.equal(code, plan({}).shared!.code);
  assert.equal(shared, undefined);
});

Deno.test("a tiling refuses options that it does not know in one line", () => {
  for (
    const [options, reason] of [
      [{ stages: 3 }, "stages of the tiling 3 is not one of 1, 2"],
      [{ ahead: 0 }, "ahead of the tiling 0 is not one of 1, 2"],
      [{ unguarded: 1 }, "unguarded of the tiling 1 is not one of true, false"],
      [{ access: "write" }, "access of the tiling write is not one of read, read-write"],
      [
        { multipliesFirst: 2 },
        "multipliesFirst of the tiling 2 is not a whole number from 0 to 1",
      ],
      [{ bandRows: 0 }, "bandRows of the tiling 0 is not a whole number from 1 to 4096"],
    ] as const
  ) {
    const given = caseOf("NT", WHOLE, options as Partial<MatrixProductTiling>);
    assert.throws(() => planProduct(MATRIX_DESK, given), {
      message: `plan matrix product: ${reason}`,
    });
  }
});

/** Every option alone and with those that change the same statements. */
const OPTIONS: readonly (readonly [Partial<MatrixProductTiling>, typeof WHOLE])[] = [
  [{ stages: 1 }, ODD],
  [{ ahead: 2 }, ODD],
  [{ stages: 1, ahead: 2 }, ODD],
  [{ unguarded: true }, WHOLE],
  [{ unguarded: true, ahead: 2 }, WHOLE],
  [{ unguarded: true, ahead: 2, stages: 1 }, WHOLE],
  [{ unguarded: true, stages: 1, depth: 32 }, WHOLE],
  [{ unguarded: true, access: "read" }, WHOLE],
  [{ distances: true, depth: 32 }, ODD],
  [{ distances: true, stages: 1, unguarded: true, depth: 32 }, WHOLE],
  // 32 threads do not take whole rows of 48 lines.
  [{ distances: true, rows: 48, columns: 16 }, ODD],
  [{ multipliesFirst: 1 }, ODD],
  [{ multipliesFirst: 1, ahead: 2, depth: 32 }, ODD],
  [{ multipliesFirst: 1, stages: 1, unguarded: true, depth: 32 }, WHOLE],
  // Three rows of tiles in bands of two: a whole band, and a part of one.
  [{ bandRows: 2 }, ODD],
];

const EMULATED = chooseCases(
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
