/**
 * Ranks the blocks of NSA's selected branch: the probabilities of the compressed branch, the
 * importance of blocks, and the best blocks of each query. `importance.wgsl` says how windows count
 * for blocks.
 *
 * On matrix units one kernel computes importances from scores (`ranking_matrix_codegen.ts`); the
 * portable kernels keep probabilities between two passes.
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
import type { QueryTurn } from "../gathered_queries/list_sizes.ts";
import type { HeadRange } from "../gathered_queries/packing.ts";
import { bindTop, scoreTiling, topSource } from "../selectors/block_selection.ts";
import { type Compression, windowCount } from "./branch_walks.ts";
import type { NsaSizes, Own } from "./nsa_passes.ts";
import { generateMatrixRanking, MATRIX_RANKING_TILE } from "./ranking_matrix_codegen.ts";

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

const MATRIX_PARAMS = {
  rows: "u32",
  firstRow: "u32",
  endRow: "u32",
  windows: "u32",
  firstHead: "u32",
  firstToken: "u32",
  tokens: "u32",
  blocks: "u32",
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

function matrixSource(sizes: NsaSizes, columns?: number): PipelineSource {
  return {
    label: `importance of blocks on matrix units d=${sizes.headDim}`,
    code: generateMatrixRanking(sizes, seenWindows(sizes.compression), columns),
    bindings: ["read", "read", "read", "read-write", "uniform"],
  };
}

/** Queries that are ranked at a time: whole tiles of packed queries. */
export const STRIP_UNIT = 128;

/** What ranking reads and writes. */
interface RankingOptions {
  /** Whether importances are computed on matrix units. */
  readonly kernel: "portable" | "matrix";
  readonly range: HeadRange;
  /** Queries to rank. Default: all. */
  readonly queriesOf?: QueryTurn;
  /** Queries of a strip, a multiple of `STRIP_UNIT`. */
  readonly tokens: number;
  /**
   * Windows of a workgroup on matrix units, a multiple of 16. Default: those of
   * `MATRIX_RANKING_TILE`.
   */
  readonly columns?: number;
  readonly queries: BufferSlice;
  readonly compressedKeys: BufferSlice;
  readonly lse: BufferSlice;
  /** Probabilities, of the portable kernels. */
  readonly weights: BufferSlice;
  readonly importances: BufferSlice;
  readonly lists: BufferSlice;
  readonly own: Own;
}

/** The importances of a strip of queries from `firstRow` on. */
type Rank = (firstRow: number, queries: number) => Dispatch[];

/** Ranks blocks for the queries of some key heads, and keeps the best. */
export async function bindRanking(
  gpu: Gpu,
  sizes: NsaSizes,
  options: RankingOptions,
): Promise<Dispatch[]> {
  const { rows, block, count, initial, local } = sizes;
  const { range: { firstHead, heads }, tokens, own, kernel } = options;
  const blocks = Math.ceil(rows / block);
  const free = count - initial - local;
  const top = await createPipeline(gpu, topSource({ initial, free, local }));
  const keep = (uniform: GPUBuffer) => slice(own(uniform));
  const dispatches: Dispatch[] = [];
  const rank: Rank = free === 0
    ? () => []
    : await (kernel === "matrix" ? matrixRank : portableRank)(gpu, sizes, options);
  const { first, end } = options.queriesOf ?? { first: 0, end: rows };
  for (let firstRow = first; firstRow < end; firstRow += tokens) {
    dispatches.push(
      // Lists past these queries belong to the next ones, which are ranked before they are read.
      ...rank(firstRow, Math.min(tokens, end - firstRow)),
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

async function matrixRank(gpu: Gpu, sizes: NsaSizes, options: RankingOptions): Promise<Rank> {
  const { group, rows, headDim, compression, block } = sizes;
  const { range: { firstHead, heads }, tokens, own } = options;
  const windows = windowCount(rows, compression);
  const { columns = MATRIX_RANKING_TILE.columns } = options;
  const pipeline = await createPipeline(gpu, matrixSource(sizes, columns));
  return (firstToken, queries) => [
    bindDispatch(gpu, pipeline, {
      slices: [
        options.queries,
        options.compressedKeys,
        options.lse,
        options.importances,
        slice(own(createParams(gpu, MATRIX_PARAMS, {
          rows: rows * group,
          firstRow: firstToken * group,
          endRow: (firstToken + queries) * group,
          windows,
          firstHead,
          firstToken,
          tokens,
          blocks: Math.ceil(rows / block),
          scale: Math.LOG2E / Math.sqrt(headDim),
        }))),
      ],
      workgroups: [
        Math.ceil(queries * group / MATRIX_RANKING_TILE.rows),
        Math.ceil(windows / columns),
        heads,
      ],
      flops: 2 * headDim * heads * group * queries * windows / 2,
    }),
  ];
}

async function portableRank(gpu: Gpu, sizes: NsaSizes, options: RankingOptions): Promise<Rank> {
  const { group, rows, headDim, compression, block } = sizes;
  const { range: { firstHead, heads }, tokens, own } = options;
  const windows = windowCount(rows, compression);
  const blocks = Math.ceil(rows / block);
  const { source, tiling } = probabilitiesSource(gpu, sizes);
  const [probabilities, importance] = await Promise.all(
    [source, importanceSource(sizes)].map((one) => createPipeline(gpu, one)),
  );
  const keep = (uniform: GPUBuffer) => slice(own(uniform));
  return (firstRow, queries) => [
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
  ];
}
