/**
 * The plan of the portable forward kernel of dense attention. `dense_attention.ts` documents the
 * computation.
 *
 * @module
 */
import code from "./dense_attention.wgsl" with { type: "text" };
import type { Gpu } from "../../gpu/device.ts";
import { keepTexts } from "../../gpu/wgsl.ts";
import { groupOf } from "../../key_heads.ts";
import { denseForwardBytes } from "../dense_attention_cost.ts";
import { requireDenseOptions } from "../dense_options.ts";
import { type Tiling, tilingName } from "../tilings.ts";
import {
  describeWalk,
  firstSuited,
  pairFlops,
  requireWalkable,
  tileCost,
  type TileWalk,
  type WalkTile,
} from "../tile_walk.ts";
import { tilingSpace, tunedTiling } from "../tuning.ts";
import {
  type DenseAttentionOptions,
  type DenseAttentionPlan,
  type DenseVariant,
  WHOLE_ROWS,
} from "../types.ts";
import { generateDense } from "./dense_attention_codegen.ts";
import { walkForward } from "./portable_walk.ts";
import { groupForward } from "./portable_group.ts";
import { layOut } from "./tile_layout.ts";
import { splitTiles } from "./tile_ranges.ts";
import { showExcess } from "../../gpu/bytes.ts";

const denseCode = keepTexts(generateDense);

/**
 * Chooses tile sizes for an adapter: a GPU needs registers full of independent products, a CPU
 * driver needs little code and few threads.
 */
export function chooseTiling(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  headDim: number,
): Tiling {
  const threadsX = headDim % 64 === 0 ? 16 : 8;
  const { maxWorkgroupBytes, maxInvocations } = gpu.capabilities;
  const candidates: Tiling[] = [
    // The fastest of 18 tilings measured on an H100: 8 × 8 scores and outputs per thread.
    { tileRows: 128, tileColumns: 8 * threadsX, threadsX, threadsY: 16, chunk: 16 },
    // Fits 32 KiB of workgroup memory, and is the fastest measured on llvmpipe.
    { tileRows: 128, tileColumns: 64, threadsX: 8, threadsY: 16, chunk: 16 },
    // Fits the minimum that WebGPU guarantees: 16 KiB of workgroup memory, 256 invocations.
    { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 },
  ].slice(gpu.adapter.software ? 1 : 0);
  for (const tiling of candidates) {
    const fits = layOut(tiling, headDim).workgroupBytes <= maxWorkgroupBytes &&
      tiling.threadsX * tiling.threadsY <= maxInvocations;
    if (fits) return tiling;
  }
  const last = candidates[candidates.length - 1];
  const sizes = showExcess(layOut(last, headDim).workgroupBytes, maxWorkgroupBytes);
  throw new RangeError(
    `plan dense attention: head dimension ${headDim} needs ${sizes.bytes} of workgroup memory; ` +
      `the device's limit is ${sizes.limit}`,
  );
}

/** The part of the forward kernel's tiling that a walk uses. */
function tileOf({ tileRows, tileColumns }: Tiling): WalkTile {
  return { ownRows: tileRows, columns: tileColumns, own: "queries" };
}

/** The first tiling that fits the device and suits a walk. Dense attention's choice comes first. */
function chooseWalked(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { headDim, rows }: { readonly headDim: number; readonly rows: number },
  walk: TileWalk,
): Tiling {
  const kernel = { kernel: "portable", pass: "forward", headDim } as const;
  const tilings = [chooseTiling(gpu, headDim), ...tilingSpace(gpu.capabilities, kernel)];
  return firstSuited(walk, tilings, { tileOf, rows });
}

/** The plan of the portable kernel. */
export interface DensePortablePlan extends DenseAttentionPlan {
  readonly kernel: "portable";
  readonly tiling: Tiling;
}

/** Plans the portable kernel, even if the device has matrix units. */
export function planPortable(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseAttentionOptions,
  variant: DenseVariant = WHOLE_ROWS,
): DensePortablePlan {
  const { result, rowStride, outputType } = variant;
  requireDenseOptions("plan dense attention", gpu, options);
  const { heads, rows, headDim, dtype } = options;
  const { capabilities } = gpu;
  const { walk } = options;
  const group = groupOf(options);
  const tuned = () =>
    tunedTiling(capabilities, {
      kernel: "portable",
      pass: "forward",
      headDim,
      dtype,
      rows,
      heads: heads * rowStride,
    });
  const tiling = options.tiling ??
    (walk ? chooseWalked(gpu, options, walk) : tuned() ?? chooseTiling(gpu, headDim));
  const tile = tileOf(tiling);
  requireWalkable(walk, tile);
  const { workgroupBytes } = layOut(tiling, headDim);
  // Lanes of a row must be in one subgroup, and subgroups must be runs of consecutive threads.
  const subgroups = capabilities.subgroups && capabilities.subgroupMinSize >= tiling.threadsX;
  const { apart } = walk ?? {};
  const program = { tiling, headDim, dtype, rowStride, apart, group };
  const walked = walk !== undefined;
  const generated = denseCode(program, { subgroups, result, walked, outputType });
  const results = Array<"read-write">(result === "rows" ? 2 : 1).fill("read-write");
  const tiles = Math.ceil(rows / tiling.tileRows);
  const flops = 2 * pairFlops(walk, { heads, rows, headDim });
  return {
    ...options,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    kernel: "portable",
    outputType,
    tiling,
    variant: `portable ${tilingName(tiling)}${describeWalk(walk, rows, tile)}`,
    tile,
    pipeline: {
      label: `${walk?.kind ?? "dense"} attention ${result} d=${headDim} ${dtype}`,
      code: (subgroups ? capabilities.subgroupsDirective : "") +
        groupForward(walk ? walkForward(code, walk.code(tile, 6), { apart }) : code, group) +
        generated,
      bindings: ["uniform", "read", "read", "read", ...results, ...walk ? walk.bindings : []],
    },
    ranges: splitTiles({
      tiles,
      flops,
      limit: options.flopsPerDispatch,
      most: capabilities.maxWorkgroupsPerDimension,
      costOf: tileCost(walk, { tile, heads, headDim, products: 2 }),
    }),
    workgroupBytes,
    flops,
    bytes: denseForwardBytes(options),
  };
}
