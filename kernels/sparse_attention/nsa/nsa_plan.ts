/**
 * Plans NSA: the kernels of its three branches, how many heads at a time, and the memory.
 *
 * Queries are packed by key head, row t·G + g, so that query heads that share a key head share its
 * keys in every branch. The compressed branch and the window are the kernels of dense attention
 * with walks in closed form (`branch_walks.ts`), the selected branch is attention over gathered
 * queries. Where that takes its queries in turns, there is one key head at a time, and the other
 * branches and the ranking take as many turns at once as have room: a sweep. dK and dV of a branch
 * are sums over its turns or sweeps.
 *
 * @module
 */
import { planVariant } from "../../dense_attention/dense_attention.ts";
import { mostBytes } from "../../layer_plan.ts";
import type { TileWalk } from "../../dense_attention/tile_walk.ts";
import type { DenseAttentionPlan, DenseKernel } from "../../dense_attention/types.ts";
import { bytesPerElement } from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { GatheredCuts } from "../../implementation.ts";
import {
  type ApartBackward,
  apartScratch,
  type ApartShape,
  MOST_ROWS,
  planApartBackward,
  whyNotApart,
} from "../apart/apart_plan.ts";
import { type GatheredPlan, planGathered } from "../gathered_queries/gathered_plan.ts";
import type { QueryTurn } from "../gathered_queries/list_sizes.ts";
import {
  bandWidth,
  compressedPairs,
  compressedWalk,
  slidingWalk,
  windowCount,
} from "./branch_walks.ts";
import type { BranchStrides, NsaSizes } from "./nsa_passes.ts";
import { STRIP_UNIT } from "./nsa_ranking.ts";
import { whyNoMatrixRanking } from "./ranking_matrix_codegen.ts";

/** Sizes of a block of heads, and its kernels. */
export interface NsaOptions extends NsaSizes {
  /** w. */
  readonly window: number;
  readonly backward: boolean;
  readonly flopsPerDispatch?: number;
  /** Default: by room and work. */
  readonly cuts?: GatheredCuts;
}

/** A branch whose keys follow from a query's position. */
export interface BranchPlan {
  /** The walk of some key heads of a dispatch in a sweep. */
  readonly walkOf: (heads: number, sweep: number) => TileWalk;
  /** Of each sweep. */
  readonly forward: readonly DenseAttentionPlan[];
  /** Of each sweep. */
  readonly gradients?: readonly ApartBackward[];
  /** The passes over some key heads in a sweep. */
  readonly shapeOf: (heads: number, sweep: number) => ApartShape;
}

/** Queries that the compressed branch, the ranking and the window take at once. */
export interface Sweep extends QueryTurn {
  /** The turns that they are, of the selected branch. */
  readonly turns: readonly number[];
}

/** Everything that is known without a device. */
export interface NsaPlan extends NsaOptions {
  readonly gathered: GatheredPlan;
  /** In order; all but the last are as long. */
  readonly sweeps: readonly Sweep[];
  readonly compressed: BranchPlan;
  readonly sliding: BranchPlan;
  /** Key heads of a dispatch. */
  readonly groupHeads: number;
  /** The kernels that rank blocks. */
  readonly ranking: DenseKernel;
  /** Queries that are ranked at a time. */
  readonly tokens: number;
  readonly strides: BranchStrides;
  /** Pairs of all query heads by branch: compressed, selected, window. */
  readonly pairs: readonly [number, number, number];
  /** Bytes of buffers of all heads of the block. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Bytes of buffers that heads use in turns. */
  readonly scratchBytes: Readonly<Record<string, number>>;
}

/** Bytes of importances that are in memory at a time: queries enough to fill a device. */
const MOST_IMPORTANCE_BYTES = 2 ** 30;

/** Bytes of the results of a branch that are in memory at a time. */
const MOST_RESULT_BYTES = 2 ** 30;

/** Bytes of probabilities of the portable kernels. */
const MOST_WEIGHT_BYTES = 2 ** 28;

const up = (count: number, unit: number) => Math.ceil(count / unit) * unit;

/**
 * Plans a block of heads.
 *
 * @throws {RangeError} naming the value and the limit.
 */
export function planNsa(gpu: Pick<Gpu, "capabilities" | "adapter">, options: NsaOptions): NsaPlan {
  const { heads, group, rows, headDim, dtype, compression, block, count, window } = options;
  const { backward, flopsPerDispatch, cuts } = options;
  const windows = windowCount(rows, compression);
  const keyHeads = heads / group;
  const { maxStorageBuffers, maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  if (maxStorageBuffers < MERGE_BUFFERS) {
    throw new RangeError(
      `plan nsa: ${MERGE_BUFFERS} storage buffers are more than a shader may bind here, ` +
        `${maxStorageBuffers}`,
    );
  }
  const small = whyNotApart(gpu, { rows: windows, headDim, dtype });
  const gathered = planGathered(gpu, {
    heads: keyHeads,
    group,
    rows,
    headDim,
    dtype,
    block,
    count,
    forced: options.initial,
    backward,
    keyResultType: "f32",
    flopsPerDispatch,
    cuts,
    ...small !== undefined && { kernel: "portable" },
  });
  const { groupHeads } = gathered;
  const kernel: DenseKernel = gathered.forward.kernel;
  const queries = rows * group;
  const { turns } = gathered.sizes;
  const limit = Math.min(maxBindingBytes, maxBufferBytes);
  const sweeps = sweepsOf(turns, {
    queries: Math.min(limit, MOST_RESULT_BYTES) / (groupHeads * group * headDim * 4),
    turns: cuts?.sweepTurns,
  });
  const branchOf = (
    walkOf: BranchPlan["walkOf"],
    shape: Pick<ApartShape, "keys" | "width" | "pairs">,
  ): BranchPlan => {
    const lengthOf = (sweep: number) => sweeps[sweep].end - sweeps[sweep].first;
    const shapeOf = (heads: number, sweep: number): ApartShape => ({
      ...shape,
      pairs: shape.pairs * lengthOf(sweep) / rows,
      heads,
      queries: lengthOf(sweep) * group,
      tileRows: MOST_ROWS,
      headDim,
      dtype,
      flopsPerDispatch,
      partQueries: cuts?.partQueries,
    });
    const perSweep = <Plan>(planSweep: (sweep: number) => Plan): Plan[] => {
      const first = planSweep(0);
      const last = sweeps.length > 1 ? planSweep(sweeps.length - 1) : first;
      return sweeps.map((_, sweep) => sweep === sweeps.length - 1 ? last : first);
    };
    const planForward = (sweep: number) => {
      const size = {
        heads: groupHeads,
        rows: lengthOf(sweep) * group,
        headDim,
        dtype,
        kernel,
        walk: walkOf(groupHeads, sweep),
        flopsPerDispatch,
      };
      return planVariant(gpu, size, { result: "rows", rowStride: 1, outputType: "f32" });
    };
    const planGradients = (sweep: number) =>
      planApartBackward(gpu, shapeOf(groupHeads, sweep), {
        kernel,
        walk: walkOf(groupHeads, sweep),
      });
    return {
      walkOf,
      shapeOf,
      forward: perSweep(planForward),
      gradients: backward ? perSweep(planGradients) : undefined,
    };
  };
  const shape = (heads: number, sweep: number) => ({
    heads,
    group,
    rows,
    ...sweeps.length > 1 && { turn: sweeps[sweep] },
  });
  const w = Math.min(window, rows);
  const windowPairs = w * (w + 1) / 2 + (rows - w) * w;
  const compressed = branchOf((heads, sweep) => compressedWalk(shape(heads, sweep), compression), {
    keys: windows,
    width: up(windows, MOST_ROWS),
    pairs: group * compressedPairs(rows, compression),
  });
  const sliding = branchOf((heads, sweep) => slidingWalk(shape(heads, sweep), window), {
    keys: rows,
    width: bandWidth(w, group),
    pairs: group * windowPairs,
  });
  const ranking: DenseKernel = kernel === "portable" || whyNoMatrixRanking(gpu, options)
    ? "portable"
    : "matrix";
  const budget = ranking === "matrix" ? MOST_IMPORTANCE_BYTES : MOST_WEIGHT_BYTES;
  const most = Math.min(budget, limit);
  const blocks = Math.ceil(rows / block);
  const perToken = ranking === "matrix" ? blocks : windows * group;
  const fitting = Math.floor(most / (4 * groupHeads * perToken) / STRIP_UNIT);
  const tokens = Math.max(1, Math.min(fitting, Math.ceil(sweeps[0].end / STRIP_UNIT))) * STRIP_UNIT;
  const element = bytesPerElement(dtype);
  const perRow = headDim * element / 16;
  const strides = {
    tensor: up(heads * turns[0].end * perRow, 16),
    rows: up(heads * rows, 64),
    statistics: up(groupHeads * queries, 64),
  };
  const keyRows = keyHeads * rows * headDim * 4;
  const compressedRows = keyHeads * windows * headDim;
  const tensor = groupHeads * queries * headDim;
  const results = groupHeads * sweeps[0].end * group * headDim * 4;
  const bytes = {
    compressedKeys: compressedRows * element,
    compressedValues: compressedRows * element,
    identity: keyHeads * queries * 4,
    ...Object.fromEntries(turns.map((_, turn) => [
      branchesOfTurn(turn),
      backward ? 3 * strides.tensor * 16 : 16,
    ])),
    lse: 3 * strides.rows * 4,
    ...backward && {
      gatedLse: 3 * strides.rows * 4,
      gateGradients: 3 * strides.rows * 4,
      selectedKeyGradients: keyRows,
      selectedValueGradients: keyRows,
      slidingKeyGradients: keyRows,
      slidingValueGradients: keyRows,
      compressedKeyGradients: compressedRows * 4,
      compressedValueGradients: compressedRows * 4,
    },
  };
  const parts = [compressed, sliding].flatMap(({ gradients, shapeOf }) =>
    (gradients ?? []).map((plan, sweep) => apartScratch(plan, shapeOf(groupHeads, sweep)))
  );
  const scratchBytes = mostBytes([
    gathered.scratchBytes,
    ...parts,
    {
      packedQueries: tensor * element,
      compressedResults: results,
      slidingResults: results,
      statistics: 2 * strides.statistics * 4,
      weights: ranking === "matrix" ? 16 : groupHeads * windows * tokens * group * 4,
      importances: groupHeads * blocks * tokens * 4,
      ...backward && {
        packedGradients: tensor * element,
        branchLse: strides.statistics * 4,
        branchDelta: strides.statistics * 4,
      },
    },
  ]);
  for (const [name, size] of Object.entries({ ...bytes, ...scratchBytes })) {
    if (size <= limit) continue;
    const excess = showExcess(size, limit);
    const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    throw new RangeError(
      `plan nsa: ${words} need a binding of ${excess.bytes}; the limit is ${excess.limit}`,
    );
  }
  return {
    ...options,
    gathered,
    sweeps,
    compressed,
    sliding,
    groupHeads,
    ranking,
    tokens,
    strides,
    pairs: [
      heads * compressedPairs(rows, compression),
      keyHeads * gathered.sizes.pairs,
      heads * windowPairs,
    ],
    bytes,
    scratchBytes,
  };
}

/** Cuts turns into as few sweeps as have room for so many queries; of a whole number of turns. */
function sweepsOf(
  turns: readonly QueryTurn[],
  { queries, turns: most }: { readonly queries: number; readonly turns?: number },
): Sweep[] {
  const fitting = most ?? Math.max(1, Math.floor(queries / turns[0].end));
  const length = Math.ceil(turns.length / Math.ceil(turns.length / fitting));
  const sweeps: Sweep[] = [];
  for (let first = 0; first < turns.length; first += length) {
    const own = turns.slice(first, first + length);
    sweeps.push({
      first: own[0].first,
      end: own.at(-1)!.end,
      turns: own.map((_, i) => first + i),
    });
  }
  return sweeps;
}

/** The buffer of the branches' outputs in a turn, `[3, heads, queries, d]`. */
export function branchesOfTurn(turn: number): string {
  return turn === 0 ? "branches" : `branchesOfTurn${turn}`;
}

/** Storage buffers that the merge of the branches binds. */
const MERGE_BUFFERS = 10;
