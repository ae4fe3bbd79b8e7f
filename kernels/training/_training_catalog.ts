/**
 * The catalog of kernels of training: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { MATRIX_UNITS } from "../dense_attention/matrix/_matrix_gpu.ts";
import { buffersOf, type CatalogEntry, DTYPES } from "../gpu/_catalog_entry.ts";
import { DESK } from "../gpu/_desk_device.ts";
import { createProduct, planProduct } from "./matrix_product/matrix_product.ts";
import {
  MATRIX_PRODUCT_TILINGS,
  PORTABLE_PRODUCT_TILINGS,
  productTilingName,
} from "./matrix_product/product_tilings.ts";
import type { HeadLayout, ProductOptions, ProductResult } from "./matrix_product/types.ts";

/** The products of a layer, by what they are: tokens by heads where attention is beside them. */
function layerProducts(sequences: number): [string, Omit<ProductOptions, "dtype">][] {
  const context = 160 / sequences;
  const heads: HeadLayout = { parts: 1, sequences, heads: 2, context, headDim: 32 };
  const parts = { ...heads, parts: 3 };
  const accumulate: ProductResult = { kind: "accumulate" };
  const size = { rows: 160, columns: 64, depth: 64 };
  const weights = { form: "TN", rows: 64, columns: 64, depth: 160, result: accumulate } as const;
  const where = sequences === 1 ? "" : `, ${sequences} sequences`;
  return [
    [`NT rope${where}`, {
      form: "NT",
      ...size,
      columns: 192,
      result: { kind: "rope", heads: parts },
    }],
    [`NT residual by heads${where}`, {
      form: "NT",
      ...size,
      leftHeads: heads,
      result: { kind: "residual" },
    }],
    [`NN store by heads${where}`, {
      form: "NN",
      ...size,
      result: { kind: "store", dtype: "f16", heads },
    }],
    [`NN by heads${where}`, {
      form: "NN",
      ...size,
      depth: 192,
      leftHeads: parts,
      result: { kind: "store", dtype: "f32" },
    }],
    [`TN accumulate left by heads${where}`, { ...weights, rows: 192, leftHeads: parts }],
    [`TN accumulate right by heads${where}`, { ...weights, rightHeads: heads }],
    ...(sequences > 1 ? [] : [
      ["NT residual", { form: "NT", ...size, result: { kind: "residual" } }],
      ["NT swiglu", { form: "NT", ...size, result: { kind: "swiglu" } }],
      ["NT store", { form: "NT", ...size, result: { kind: "store", dtype: "f32" } }],
      ["NN store", { form: "NN", ...size, result: { kind: "store", dtype: "f16" } }],
      ["TN accumulate", weights],
      ["TN accumulate one slice", { ...weights, slices: 1 }],
    ] as [string, Omit<ProductOptions, "dtype">][]),
  ];
}

/** A name without the epilogue's detail, as it is in the catalog. */
function products(): CatalogEntry[] {
  const matrix = { capabilities: MATRIX_UNITS };
  return [1, 2].flatMap(layerProducts).flatMap(([name, product]): CatalogEntry[] => {
    const entry = (
      options: ProductOptions,
      capabilities?: CatalogEntry["capabilities"],
    ): CatalogEntry => {
      const tiling = (options.tiling ?? options.matrixTiling)!;
      const [form, ...rest] = name.split(" ");
      return {
        name: `product ${form} ${options.dtype} ${rest.join(" ")} ${productTilingName(tiling)}`,
        capabilities,
        run: async (gpu) => {
          const plan = planProduct({ ...DESK, capabilities: gpu.capabilities }, options);
          const made = await createProduct(gpu, plan);
          const { left, right, result, ...rest } = plan.bufferBytes;
          made.bind({
            ...await buffersOf(gpu, { left, right, result }),
            ...await buffersOf(gpu, rest),
          });
        },
      };
    };
    const plain = name.indexOf("sequences") < 0;
    return [
      ...DTYPES.flatMap((dtype) =>
        PORTABLE_PRODUCT_TILINGS.slice(plain ? 0 : -1).map((tiling) =>
          entry({ slices: sliced(product), ...product, dtype, tiling })
        )
      ),
      ...MATRIX_PRODUCT_TILINGS.slice(plain ? 0 : -1).map((matrixTiling) =>
        entry(
          { slices: sliced(product), ...product, dtype: "f16", matrixTiling },
          matrix.capabilities,
        )
      ),
    ];
  });
}

/** Two slices of what is accumulated, where nothing else is said. */
function sliced({ result }: Omit<ProductOptions, "dtype">): number | undefined {
  return result.kind === "accumulate" ? 2 : undefined;
}

/** Every kernel, with every tiling and storage type that decides its shader. */
export const TRAINING_CATALOG: readonly CatalogEntry[] = [...products()];
