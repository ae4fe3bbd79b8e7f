/**
 * The plan of the forward kernel of dense attention on matrix units. `dense_attention.ts` documents
 * the computation.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import type { PipelineSource } from "../../gpu/pipeline.ts";
import { keepTexts } from "../../gpu/wgsl.ts";
import { groupOf } from "../../key_heads.ts";
import { denseForwardBytes } from "../dense_attention_cost.ts";
import { splitTiles } from "../portable/tile_ranges.ts";
import { type MatrixTiling, tilingName } from "../tilings.ts";
import {
  describeWalk,
  MOST_FORWARD_PAIRS,
  pairFlops,
  requireWalkable,
  suitedTilings,
  tileCost,
  type WalkTile,
} from "../tile_walk.ts";
import { tunedTiling } from "../tuning.ts";
import type { DenseAttentionOptions, DenseAttentionPlan, DenseVariant } from "../types.ts";
import { chooseMatrixTiling, takesWalks } from "./dense_matrix.ts";
import { generateDenseMatrix } from "./dense_matrix_codegen.ts";
import { matrixTileRows, matrixWorkgroupBytes } from "./matrix_layout.ts";
import { type InputAccess, ringAccess } from "./row_staging_codegen.ts";
import { showExcess } from "../../gpu/bytes.ts";

const matrixCode = keepTexts(generateDenseMatrix);

/** The part of the forward kernel's tiling that a walk uses. */
function tileOf(tiling: MatrixTiling): WalkTile {
  return { ownRows: matrixTileRows(tiling), columns: tiling.tileColumns, own: "queries" };
}

/** A ring with one block of rows was slower on every walk than a single stage with as many rows. */
function walksWell({ stages, blocks }: MatrixTiling): boolean {
  return stages === 1 || blocks === 2;
}

/**
 * Plans the kernel on matrix units, for a shape that they support.
 *
 * @throws {RangeError} when the tiling does not fit the device.
 */
export function planMatrix(
  { capabilities }: Pick<Gpu, "capabilities">,
  options: DenseAttentionOptions,
  { result, rowStride, outputType }: DenseVariant,
): DenseAttentionPlan {
  const { heads, rows, headDim, dtype, walk } = options;
  const key = {
    kernel: "matrix",
    pass: "forward",
    headDim,
    dtype,
    rows,
    heads: heads * rowStride,
  } as const;
  const tiling = options.matrixTiling ??
    (walk
      ? chooseMatrixTiling(
        capabilities,
        key,
        (_, tilings) =>
          suitedTilings(walk, tilings.filter(takesWalks).filter(walksWell), {
            tileOf,
            rows,
            most: MOST_FORWARD_PAIRS,
          }),
      )
      : tunedTiling(capabilities, key) ?? chooseMatrixTiling(capabilities, key));
  const tile = tileOf(tiling);
  requireWalkable(walk, tile);
  const workgroupBytes = matrixWorkgroupBytes(tiling, headDim);
  const { maxWorkgroupBytes, maxWorkgroupsPerDimension } = capabilities;
  if (workgroupBytes > maxWorkgroupBytes) {
    const { bytes, limit } = showExcess(workgroupBytes, maxWorkgroupBytes);
    throw new RangeError(
      `plan dense attention on matrix units: tiling ${tilingName(tiling)} needs ${bytes} of ` +
        `workgroup memory; the device's limit is ${limit}`,
    );
  }
  const flops = 2 * pairFlops(walk, { heads, rows, headDim });
  const access = ringAccess(tiling);
  const results = Array<"read-write">(result === "rows" ? 2 : 1).fill("read-write");
  const source = (inputs: InputAccess): PipelineSource => ({
    label: `${walk?.kind ?? "dense"} attention ${result} on matrix units d=${headDim}`,
    code: matrixCode(tiling, {
      headDim,
      rowStride,
      result,
      inputs,
      group: groupOf(options),
      walk: walk?.code(tile, 5 + results.length),
      apart: walk?.apart,
      near: walk?.apart || walk?.near,
      seesFirst: walk?.seesFirst,
      outputType,
    }),
    bindings: [
      "uniform",
      inputs,
      inputs,
      inputs,
      ...results,
      "read-write",
      ...walk ? walk.bindings : [],
    ],
  });
  return {
    ...options,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    kernel: "matrix",
    outputType,
    variant: `matrix units ${tilingName(tiling)}${describeWalk(walk, rows, tile)}`,
    tile,
    pipeline: access === "read" ? source("read") : { ...source(access), shared: source("read") },
    ranges: splitTiles({
      tiles: Math.ceil(rows / matrixTileRows(tiling)),
      flops,
      limit: options.flopsPerDispatch,
      most: maxWorkgroupsPerDimension,
      costOf: tileCost(walk, { tile, heads, headDim, products: 2 }),
    }),
    workgroupBytes,
    flops,
    bytes: denseForwardBytes(options),
  };
}
