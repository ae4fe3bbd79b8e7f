/**
 * The portable backward passes of dense attention: tilings, plan, binding.
 * `dense_attention_backward.ts` documents the computation.
 *
 * @module
 */
import keyValueCode from "./dense_attention_backward_key_value.wgsl" with { type: "text" };
import queryCode from "./dense_attention_backward_query.wgsl" with { type: "text" };
import { bindDispatch, type BufferSlice, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Pipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { keepTexts } from "../../gpu/wgsl.ts";
import { groupOf, kvHeadsOf } from "../../key_heads.ts";
import {
  type DenseBackwardPlan,
  labelOf,
  productFlops,
  type TiledPasses,
  type TiledPipelines,
  type TiledPlan,
} from "../backward_plan.ts";
import { type BackwardTilings, type Tiling, tilingName } from "../tilings.ts";
import {
  describeWalk,
  firstSuited,
  requireWalkable,
  tileCost,
  type TileWalk,
  type WalkBuffers,
  type WalkTile,
} from "../tile_walk.ts";
import { tilingSpace, tunedTiling } from "../tuning.ts";
import type { DenseBackwardOptions } from "../types.ts";
import {
  generateKeyValueBackward,
  generateQueryBackward,
} from "./dense_attention_backward_codegen.ts";
import { groupKeyValueBackward, groupQueryBackward } from "./portable_group.ts";
import { walkKeyValueBackward, walkQueryBackward } from "./portable_walk.ts";
import { layOut } from "./tile_layout.ts";
import { splitTiles, splitTilesMirrored, type TileRange } from "./tile_ranges.ts";
import { showExcess } from "../../gpu/bytes.ts";

const queryBackwardCode = keepTexts(generateQueryBackward);
const keyValueBackwardCode = keepTexts(generateKeyValueBackward);

/** Parameters of both passes. */
export const PORTABLE_BACKWARD_PARAMS = {
  rows: "u32",
  tileCount: "u32",
  firstTile: "u32",
  scale: "f32",
} as const;

/**
 * Chooses tile sizes for an adapter. The tiled passes hold two score tiles and one or two gradients
 * in registers, so their tiles are smaller than the forward kernel's.
 */
export function chooseBackwardTilings(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  headDim: number,
): BackwardTilings {
  const threadsX = headDim % 64 === 0 ? 16 : 8;
  const { maxWorkgroupBytes, maxInvocations } = gpu.capabilities;
  const small: Tiling = { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 };
  const fits = (tiling: Tiling) =>
    layOut(tiling, headDim).workgroupBytes <= maxWorkgroupBytes &&
    tiling.threadsX * tiling.threadsY <= maxInvocations;
  const first = (...tilings: Tiling[]) => [...tilings, small].find(fits);
  const middle: Tiling = { tileRows: 64, tileColumns: 32, threadsX: 8, threadsY: 16, chunk: 16 };
  // The fastest of the nine tilings measured for each pass on an H100.
  const wide = (tileColumns: number): Tiling[] =>
    gpu.adapter.software ? [] : [{ tileRows: 128, tileColumns, threadsX, threadsY: 16, chunk: 16 }];
  const query = first(...wide(8 * threadsX), middle);
  const keyValue = first(...wide(4 * threadsX), middle);
  if (!query || !keyValue) {
    const sizes = showExcess(layOut(small, headDim).workgroupBytes, maxWorkgroupBytes);
    throw new RangeError(
      `plan dense attention backward: head dimension ${headDim} needs ${sizes.bytes} of workgroup ` +
        `memory; the device's limit is ${sizes.limit}`,
    );
  }
  return { query, keyValue };
}

/** The parts of the two passes' tilings that a walk uses. */
function tilesOf({ query, keyValue }: BackwardTilings): Record<keyof BackwardTilings, WalkTile> {
  return {
    query: { ownRows: query.tileRows, columns: query.tileColumns, own: "queries" },
    keyValue: { ownRows: keyValue.tileRows, columns: keyValue.tileColumns, own: "keys" },
  };
}

/** The first tilings that fit the device and suit a walk. Dense attention's choice comes first. */
function chooseWalked(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { headDim, rows }: { readonly headDim: number; readonly rows: number },
  walk: TileWalk,
): BackwardTilings {
  const dense = chooseBackwardTilings(gpu, headDim);
  const suited = (pass: "query" | "key-value", name: keyof BackwardTilings) => {
    const space = tilingSpace(gpu.capabilities, { kernel: "portable", pass, headDim });
    return firstSuited(walk, [dense[name], ...space], {
      tileOf: (tiling) => tilesOf({ query: tiling, keyValue: tiling })[name],
      rows,
    });
  };
  return { query: suited("query", "query"), keyValue: suited("key-value", "keyValue") };
}

/** Plans the two tiled passes. */
export function planPortablePasses(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: DenseBackwardOptions,
): TiledPlan {
  const { heads, headDim, dtype, rows, gradientType: stored, walk } = options;
  const group = groupOf(options);
  const tuned = (pass: "query" | "key-value") =>
    tunedTiling(gpu.capabilities, { kernel: "portable", pass, headDim, dtype, rows, heads });
  const preferred = () => {
    const chosen = chooseBackwardTilings(gpu, headDim);
    return {
      query: tuned("query") ?? chosen.query,
      keyValue: tuned("key-value") ?? chosen.keyValue,
    };
  };
  const tilings = options.tilings ?? (walk ? chooseWalked(gpu, options, walk) : preferred());
  const { query, keyValue } = tilings;
  const tiles = tilesOf(tilings);
  for (const tile of Object.values(tiles)) requireWalkable(walk, tile);
  const walked = walk !== undefined;
  const bound = walk ? walk.bindings : [];
  const name = `portable ${tilingName(query)} and ${tilingName(keyValue)}`;
  const product = productFlops(options);
  const most = gpu.capabilities.maxWorkgroupsPerDimension;
  const limit = options.flopsPerDispatch;
  const inputs = Array<"read">(6).fill("read");
  return {
    kernel: "portable",
    variant: name + describeWalk(walk, rows, tiles.query),
    tiles,
    scratchBytes: 0,
    pipelines: {
      query: {
        label: labelOf("queries", options),
        code: groupQueryBackward(
          walk ? walkQueryBackward(queryCode, walk.code(tiles.query, 8)) : queryCode,
          group,
        ) + queryBackwardCode({ tiling: query, headDim, dtype, stored, group }, { walked }),
        bindings: [...inputs, "read-write", "uniform", ...bound],
      },
      keyValue: {
        label: labelOf("keys and values", options),
        code: groupKeyValueBackward(
          walk ? walkKeyValueBackward(keyValueCode, walk.code(tiles.keyValue, 9)) : keyValueCode,
          group,
        ) + keyValueBackwardCode(
          { tiling: keyValue, headDim, dtype, stored, group },
          { walked },
        ),
        bindings: [...inputs, "read-write", "read-write", "uniform", ...bound],
      },
    },
    ranges: {
      query: splitTiles({
        tiles: Math.ceil(rows / query.tileRows),
        flops: 3 * product,
        limit,
        most,
        costOf: tileCost(walk, { tile: tiles.query, heads, headDim, products: 3 }),
      }),
      keyValue: splitTilesMirrored({
        tiles: Math.ceil(rows / keyValue.tileRows),
        flops: 4 * product,
        limit,
        most,
        costOf: tileCost(walk, { tile: tiles.keyValue, heads, headDim, products: 4 }),
      }),
    },
  };
}

/** Binds the two tiled passes. */
export function bindPortablePasses(
  gpu: Gpu,
  { plan, pipelines, walks }: {
    plan: DenseBackwardPlan;
    pipelines: TiledPipelines;
    walks?: Record<keyof BackwardTilings, WalkBuffers>;
  },
): TiledPasses {
  const uniform = ({ tileCount, firstTile }: TileRange) =>
    createParams(gpu, PORTABLE_BACKWARD_PARAMS, {
      rows: plan.rows,
      tileCount,
      firstTile,
      scale: plan.scale * Math.LOG2E,
    });
  const bindRanges = (ranges: readonly TileRange[], pipeline: Pipeline, heads: number) => {
    const uniforms = ranges.map(uniform);
    return {
      bind: (slices: readonly BufferSlice[], walked: readonly BufferSlice[]) =>
        ranges.map((range, i) =>
          bindDispatch(gpu, pipeline, {
            slices: [...slices, slice(uniforms[i]), ...walked],
            workgroups: [heads, range.tileCount, 1],
            flops: range.flops,
          })
        ),
      destroy: () => uniforms.forEach((buffer) => buffer.destroy()),
    };
  };
  const query = bindRanges(plan.ranges.query, pipelines.query, plan.heads);
  const keyValue = bindRanges(plan.ranges.keyValue, pipelines.keyValue, kvHeadsOf(plan));
  return {
    bind: (b) => {
      const shared = [b.q, b.k, b.v, b.outputGradient, b.lse, b.delta];
      const walked = (pass: keyof BackwardTilings) => walks?.[pass].slices(b.firstHead ?? 0) ?? [];
      return {
        query: query.bind([...shared, b.queryGradient], walked("query")),
        keyValue: keyValue.bind([...shared, b.keyGradient, b.valueGradient], walked("keyValue")),
      };
    },
    destroy: () => {
      query.destroy();
      keyValue.destroy();
    },
  };
}
