/**
 * Ranks the blocks of NSA's selected branch: the probabilities of the compressed branch, the importance of
 * blocks, and the best blocks of each query. `importance.wgsl` says how windows count for blocks.
 *
 * @module
 */
import importanceCode from "./importance.wgsl" with { type: "text" };
import probabilitiesCode from "./probabilities.wgsl" with { type: "text" };
import { generateConstants } from "../../dense_attention/portable/tile_codegen.ts";
import { generateFirstProduct } from "../../dense_attention/portable/first_product_codegen.ts";
import { layOut, type TileProgram } from "../../dense_attention/portable/tile_layout.ts";
import { bindDispatch, type BufferSlice, type Dispatch, slice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import type { HeadRange } from "../gathered_queries/packing.ts";
import { bindTop, scoreTiling, topSource } from "../selectors/block_selection.ts";
import { type Compression, windowCount } from "./branch_walks.ts";
import type { NsaSizes, Own } from "./nsa_passes.ts";

/** WGSL of the number of windows that a query sees. */
function seenWindows({ window, stride }: Compression): string {
  return wgsl`

    fn seenWindows(t: u32) -> u32 {
      return select(0u, (max(t + 1u, ${window}u) - ${window}u) / ${stride}u + 1u, t + 1u >= ${window}u);
    }
  `;
}

const PROBABILITIES_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  strip: "u32",
  windows: "u32",
  firstHead: "u32",
  scale: "f32",
} as const;

const IMPORTANCE_PARAMS = {
  rows: "u32",
  firstToken: "u32",
  tokens: "u32",
  windows: "u32",
  blocks: "u32",
} as const;

function probabilitiesSource(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  { headDim, dtype, group, compression }: NsaSizes,
) {
  const tiling = scoreTiling(gpu, headDim);
  const program: TileProgram = { tiling, headDim, dtype, apart: true };
  const { rowsPerThread, columnsPerThread } = layOut(tiling, headDim);
  const product = generateFirstProduct(program, {
    name: "Scores",
    rows: "queries",
    columns: "compressed",
    into: "s",
    scale: "params.scale",
  });
  const keep = (r: number, e: number) => {
    const weight = `exp2(s${r}_${e >> 2}.${"xyzw"[e & 3]} - lse${r})`;
    return `if (row + ${r}u < left) { weights[at + ${r}u] = ${weight}; }`;
  };
  const store = range(columnsPerThread).map((e) =>
    wgsl`
    { let window = c0 + tx + ${e * tiling.threadsX}u;
      if (window < params.windows) {
        let at = weight0 + window * params.strip + row;
        ${range(rowsPerThread).map((r) => keep(r, e))}
      } }
  `
  );
  const lse = range(rowsPerThread).map((r) =>
    `let lse${r} = logSumExp[headRow + min(row0 + row + ${r}u, params.rows - 1u)] * LOG2E;`
  );
  const source: PipelineSource = {
    label: `probabilities of windows d=${headDim} ${dtype}`,
    code: wgsl`
      ${probabilitiesCode}
      const GROUP = ${group}u;
      ${seenWindows(compression)}
      ${generateConstants(program)}
      ${product}
      fn keepWeights(c0: u32, weight0: u32) {
        let row = ty * ${rowsPerThread}u;
        let left = min(params.strip - (row0 - params.firstRow), params.rows - row0);
        ${lse}
        ${store}
      }

    `,
    bindings: ["read", "read", "read", "read-write", "uniform"],
  };
  return { source, tiling };
}

function importanceSource({ group, block, compression }: NsaSizes): PipelineSource {
  const { window, stride } = compression;
  return {
    label: "importance of blocks",
    code: wgsl`
      ${importanceCode}
      ${seenWindows(compression)}
      const GROUP = ${group}u;
      const BLOCK = ${block}u;
      const WINDOW = ${window}u;
      const STRIDE = ${stride}u;

    `,
    bindings: ["read", "read-write", "uniform"],
  };
}

/** Queries whose probabilities are in memory at a time: whole tiles of packed queries. */
export const STRIP_UNIT = 128;

/** Ranks blocks for the queries of some key heads, and keeps the best. */
export async function bindRanking(
  gpu: Gpu,
  sizes: NsaSizes,
  options: {
    readonly range: HeadRange;
    /** Queries of a strip, a multiple of `STRIP_UNIT`. */
    readonly tokens: number;
    readonly queries: BufferSlice;
    readonly compressedKeys: BufferSlice;
    readonly lse: BufferSlice;
    readonly weights: BufferSlice;
    readonly importances: BufferSlice;
    readonly lists: BufferSlice;
    readonly own: Own;
  },
): Promise<Dispatch[]> {
  const { group, rows, headDim, compression, block, count, initial, local } = sizes;
  const { range: { firstHead, heads }, tokens, own } = options;
  const windows = windowCount(rows, compression);
  const blocks = Math.ceil(rows / block);
  const { source, tiling } = probabilitiesSource(gpu, sizes);
  const free = count - initial - local;
  const [probabilities, importance, top] = await Promise.all(
    [source, importanceSource(sizes), topSource({ initial, free, local })].map((one) =>
      createPipeline(gpu, one)
    ),
  );
  const keep = (uniform: GPUBuffer) => slice(own(uniform));
  const dispatches: Dispatch[] = [];
  for (let firstRow = 0; firstRow < rows; firstRow += tokens) {
    const queries = Math.min(tokens, rows - firstRow);
    if (free > 0) {
      dispatches.push(
        bindDispatch(gpu, probabilities, {
          slices: [
            options.queries,
            options.compressedKeys,
            options.lse,
            options.weights,
            keep(createParams(gpu, PROBABILITIES_PARAMS, {
              rows: rows * group,
              firstRow: firstRow * group,
              strip: tokens * group,
              windows,
              firstHead,
              scale: Math.LOG2E / Math.sqrt(headDim),
            })),
          ],
          workgroups: [Math.ceil(queries * group / tiling.tileRows), 1, heads],
          flops: 2 * headDim * heads * group * queries * windows / 2,
        }),
        bindDispatch(gpu, importance, {
          slices: [
            options.weights,
            options.importances,
            keep(createParams(gpu, IMPORTANCE_PARAMS, {
              rows,
              firstToken: firstRow,
              tokens,
              windows,
              blocks,
            })),
          ],
          workgroups: [Math.ceil(queries / 64), blocks, heads],
        }),
      );
    }
    dispatches.push(
      bindTop(gpu, top, {
        sizes: { rows, firstRow, strip: tokens, block, blocks, firstHead },
        heads,
        scores: options.importances,
        lists: options.lists,
        keep,
      }),
    );
  }
  return dispatches;
}
