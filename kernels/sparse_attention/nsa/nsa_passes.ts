/**
 * The passes of NSA that are not attention: compression of keys and values, and the merges of the
 * three branches in both directions.
 *
 * @module
 */
import branchDeltaCode from "./branch_delta.wgsl" with { type: "text" };
import compressCode from "./compress.wgsl" with { type: "text" };
import gateStatisticsCode from "./gate_statistics.wgsl" with { type: "text" };
import mergeBranchesCode from "./merge_branches.wgsl" with { type: "text" };
import mergeKeysCode from "./merge_key_gradients.wgsl" with { type: "text" };
import mergeQueriesCode from "./merge_query_gradients.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { Owned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import type { ListSizes } from "../gathered_queries/list_sizes.ts";
import {
  foldGroups,
  generateElements,
  generateEntryStatistics,
  type HeadRange,
} from "../gathered_queries/packing.ts";
import { type Compression, windowCount } from "./branch_walks.ts";

/** Sizes that the passes share. */
export interface NsaSizes {
  /** Query heads of a block. */
  readonly heads: number;
  /** G. */
  readonly group: number;
  /** N. */
  readonly rows: number;
  /** d. */
  readonly headDim: number;
  readonly dtype: DType;
  readonly compression: Compression;
  /** l′. */
  readonly block: number;
  /** n. */
  readonly count: number;
  /** i₀. */
  readonly initial: number;
  /** i₁. */
  readonly local: number;
}

/** Adds to what a binder owns. */
export type Own = Owned["own"];

const COMPRESS_PARAMS = {
  rows: "u32",
  windows: "u32",
  window: "u32",
  stride: "u32",
  gridWidth: "u32",
} as const;

/** Columns of a row in threads' shares. */
function columnsOf({ headDim, dtype }: Pick<NsaSizes, "headDim" | "dtype">): number {
  return headDim / (dtype === "f16" ? 8 : 4);
}

/** WGSL of the numbers of a thread's share of a row. */
function generateFours(dtype: DType): string[] {
  return dtype === "f16"
    ? [
      "fn fours(x: vec4u) -> array<vec4f, 2> {",
      "  return array<vec4f, 2>(",
      "    vec4f(unpack2x16float(x.x), unpack2x16float(x.y)),",
      "    vec4f(unpack2x16float(x.z), unpack2x16float(x.w)),",
      "  );",
      "}",
    ]
    : ["fn fours(x: vec4f) -> array<vec4f, 1> { return array<vec4f, 1>(x); }"];
}

/** Means of the windows of keys and values of all key heads. */
export async function bindCompress(
  gpu: Gpu,
  sizes: NsaSizes,
  { tensors, own }: {
    readonly tensors: readonly (readonly [rows: BufferSlice, compressed: BufferSlice])[];
    readonly own: Own;
  },
): Promise<Dispatch[]> {
  const { heads, group, rows, headDim, dtype, compression } = sizes;
  const { window, stride } = compression;
  const windows = windowCount(rows, compression);
  const fours = generateFours(dtype);
  const pipeline = await createPipeline(gpu, {
    label: `compress windows d=${headDim} ${dtype}`,
    code: wgsl`
      ${compressCode}
      ${generateElements(headDim, dtype)}
      ${fours}

    `,
    bindings: ["read", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(windows * columnsOf(sizes) / 256));
  const params = { rows, windows, window, stride, gridWidth: x };
  const uniform = slice(own(createParams(gpu, COMPRESS_PARAMS, params)));
  return tensors.map(([from, to]) =>
    bindDispatch(gpu, pipeline, {
      slices: [from, to, uniform],
      workgroups: [x, y, heads / group],
    })
  );
}

const MERGE_PARAMS = {
  rows: "u32",
  count: "u32",
  packed: "u32",
  firstHead: "u32",
  window: "u32",
  turnRows: "u32",
  gridWidth: "u32",
} as const;

/** Buffers that a merge reads, or writes, in the order of its bindings. */
interface MergeOptions {
  readonly range: HeadRange;
  readonly lists: Pick<ListSizes, "packed" | "turns">;
  /** Whose queries: buffers with a row a query begin at its first one. */
  readonly turn: number;
  readonly reads: readonly BufferSlice[];
  readonly writes: readonly BufferSlice[];
  readonly own: Own;
}

async function bindMerge(
  gpu: Gpu,
  sizes: NsaSizes,
  { label, code, range, lists, turn, reads, writes, own }: MergeOptions & {
    readonly label: string;
    readonly code: string;
  },
): Promise<Dispatch> {
  const { group, rows, headDim, dtype, count, compression } = sizes;
  const pipeline = await createPipeline(gpu, {
    label,
    code: wgsl`
      ${code}
      const GROUP = ${group}u;
      ${generateElements(headDim, dtype)}

    `,
    bindings: [
      ...reads.map(() => "read" as const),
      ...writes.map(() => "read-write" as const),
      "uniform",
    ],
  });
  const { first, end } = lists.turns[turn];
  const [x, y] = foldGroups(Math.ceil((end - first) * columnsOf(sizes) / 256));
  const { firstHead, heads } = range;
  // Queries of a turn are counted from its first one.
  const window = Math.max(0, compression.window - first);
  const turnRows = end - first;
  const params = { rows, count, packed: lists.packed, firstHead, window, turnRows, gridWidth: x };
  return bindDispatch(gpu, pipeline, {
    slices: [...reads, ...writes, slice(own(createParams(gpu, MERGE_PARAMS, params)))],
    workgroups: [x, y, heads * group],
  });
}

/**
 * Distances between the branches in buffers that hold all three, in elements; aligned for bindings.
 */
export interface BranchStrides {
  /** Of outputs, in 16 bytes. */
  readonly tensor: number;
  /** Of one number a row of all heads. */
  readonly rows: number;
  /** Of one number a packed query of the heads of a dispatch. */
  readonly statistics: number;
}

/**
 * Joins the outputs of the branches of some key heads.
 *
 * @param options `keeps`: whether each branch's output is kept for the backward pass. `sums`:
 * whether entries of the selected branch have sums of rows.
 */
export function bindMergeBranches(
  gpu: Gpu,
  sizes: NsaSizes,
  options: MergeOptions & {
    readonly keeps: boolean;
    readonly sums: boolean;
    readonly strides: BranchStrides;
  },
): Promise<Dispatch> {
  return bindMerge(gpu, sizes, {
    ...options,
    label: "merge branches",
    code: wgsl`
      ${mergeBranchesCode}
      ${generateEntryStatistics(options.sums)}
      const KEEPS = ${String(options.keeps)};
      const TENSOR = ${options.strides.tensor}u;
      const ROWS = ${options.strides.rows}u;
      const STATISTICS = ${options.strides.statistics}u;
    `,
  });
}

/** Adds dQ of the branches of some key heads. */
export function bindMergeQueryGradients(
  gpu: Gpu,
  sizes: NsaSizes,
  options: MergeOptions,
): Promise<Dispatch> {
  return bindMerge(gpu, sizes, {
    ...options,
    label: "merge dQ of branches",
    code: mergeQueriesCode,
  });
}

/** Adds dK or dV of the branches of all key heads. */
export async function bindMergeKeyGradients(
  gpu: Gpu,
  sizes: NsaSizes,
  { tensors, own }: {
    /** Selected, sliding, compressed, and the result. */
    readonly tensors: readonly (readonly BufferSlice[])[];
    readonly own: Own;
  },
): Promise<Dispatch[]> {
  const { heads, group, rows, headDim, dtype, compression } = sizes;
  const { window, stride } = compression;
  const pipeline = await createPipeline(gpu, {
    label: "merge dK of branches",
    code: wgsl`
      ${mergeKeysCode}
      ${generateElements(headDim, dtype)}

    `,
    bindings: ["read", "read", "read", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(rows * columnsOf(sizes) / 256));
  const params = { rows, windows: windowCount(rows, compression), window, stride, gridWidth: x };
  const uniform = slice(own(createParams(gpu, COMPRESS_PARAMS, params)));
  return tensors.map((slices) =>
    bindDispatch(gpu, pipeline, {
      slices: [...slices, uniform],
      workgroups: [x, y, heads / group],
    })
  );
}

const GATE_PARAMS = { rows: "u32", gridWidth: "u32" } as const;

/** Folds the gates into the log-sum-exp of the branches. */
export async function bindGateStatistics(
  gpu: Gpu,
  { heads, rows }: Pick<NsaSizes, "heads" | "rows">,
  { slices, strides, own }: {
    readonly slices: readonly BufferSlice[];
    readonly strides: BranchStrides;
    readonly own: Own;
  },
): Promise<Dispatch> {
  const pipeline = await createPipeline(gpu, {
    label: "gates of branches",
    code: `${gateStatisticsCode}\nconst ROWS = ${strides.rows}u;\n`,
    bindings: ["read", "read", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(heads * rows / 256));
  const params = { rows: heads * rows, gridWidth: x };
  return bindDispatch(gpu, pipeline, {
    slices: [...slices, slice(own(createParams(gpu, GATE_PARAMS, params)))],
    workgroups: [x, y, 1],
  });
}

const DELTA_PARAMS = { rows: "u32", queries: "u32", gridWidth: "u32" } as const;

/**
 * Binds the delta of a branch for the queries of one of several turns.
 *
 * @param options `slices`: the branch's output `[heads, queries, d]`; dO and delta of all heads
 * from the turn's first query on.
 */
export async function bindBranchDelta(
  gpu: Gpu,
  sizes: NsaSizes,
  { queries, slices, own }: {
    readonly queries: number;
    readonly slices: readonly BufferSlice[];
    readonly own: Own;
  },
): Promise<Dispatch> {
  const { heads, rows, headDim, dtype } = sizes;
  const pipeline = await createPipeline(gpu, {
    label: `delta of a branch in a turn d=${headDim} ${dtype}`,
    code: wgsl`
      ${branchDeltaCode}
      alias Vector = ${dtype === "f16" ? "vec4u" : "vec4f"};
      const VECTORS = ${dtype === "f16" ? 2 : 1}u; // of four f32 numbers
      const COLUMNS = ${columnsOf(sizes)}u;
      ${generateFours(dtype)}

    `,
    bindings: ["read", "read", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(queries / 256));
  const params = { rows, queries, gridWidth: x };
  return bindDispatch(gpu, pipeline, {
    slices: [...slices, slice(own(createParams(gpu, DELTA_PARAMS, params)))],
    workgroups: [x, y, heads],
  });
}
