/**
 * The passes around attention over gathered queries: queries to their entries in the lists
 * (`query_lists.ts`), and the results of a query's entries back to one row.
 *
 * Shapes: entries `[key heads, packed, …]` (`list_sizes.ts`).
 *
 * @module
 */
import gatherCode from "./gather_queries.wgsl" with { type: "text" };
import statisticsCode from "./gather_statistics.wgsl" with { type: "text" };
import gradientsCode from "./merge_gradients.wgsl" with { type: "text" };
import outputsCode from "./merge_outputs.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import type { ListSizes } from "./list_sizes.ts";

const GATHER_PARAMS = {
  rows: "u32",
  group: "u32",
  packed: "u32",
  firstHead: "u32",
  gridWidth: "u32",
} as const;

const MERGE_PARAMS = {
  rows: "u32",
  count: "u32",
  group: "u32",
  packed: "u32",
  firstHead: "u32",
  turnRows: "u32",
  gridWidth: "u32",
} as const;

/** Key heads of one dispatch. */
export interface HeadRange {
  readonly firstHead: number;
  readonly heads: number;
}

/** Dispatches, and the uniforms that they read. */
export interface Bound {
  readonly dispatches: readonly Dispatch[];
  readonly destroy: () => void;
}

/** A grid of at least `groups` workgroups, at most 32,768 in x. */
export function foldGroups(groups: number): readonly [x: number, y: number] {
  const x = Math.min(Math.max(1, groups), 32768);
  return [x, Math.ceil(groups / x)];
}

/** The sizes that copies to entries need. */
export type PackedSizes = Pick<ListSizes, "rows" | "group" | "packed">;

/** Binds the copies of rows `[heads, N, d]` to their entries. */
export async function bindGather(
  gpu: Gpu,
  options: {
    readonly sizes: PackedSizes;
    readonly headDim: number;
    readonly dtype: DType;
    readonly range: HeadRange;
    readonly sources: BufferSlice;
    /** Pairs of rows and their entries. */
    readonly tensors: readonly (readonly [rows: BufferSlice, entries: BufferSlice])[];
  },
): Promise<Bound> {
  const { sizes: { rows, group, packed }, headDim, dtype, range, sources } = options;
  const columns = headDim * bytesPerElement(dtype) / 16;
  const pipeline = await createPipeline(gpu, {
    label: "gather queries",
    code: `${gatherCode}\nconst COLUMNS = ${columns}u;\n`,
    bindings: ["read", "read", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(packed * columns / 256));
  const { firstHead, heads } = range;
  const uniform = createParams(gpu, GATHER_PARAMS, {
    rows,
    group,
    packed,
    firstHead,
    gridWidth: x,
  });
  return {
    dispatches: options.tensors.map(([from, to]) =>
      bindDispatch(gpu, pipeline, {
        slices: [sources, from, to, slice(uniform)],
        workgroups: [x, y, heads],
      })
    ),
    destroy: () => uniform.destroy(),
  };
}

/** Binds the copy of log-sum-exp and delta to their entries. */
export async function bindStatistics(
  gpu: Gpu,
  options: {
    readonly sizes: PackedSizes;
    readonly range: HeadRange;
    readonly sources: BufferSlice;
    readonly lse: BufferSlice;
    readonly delta: BufferSlice;
    readonly entryLse: BufferSlice;
    readonly entryDelta: BufferSlice;
  },
): Promise<Bound> {
  const { sizes: { rows, group, packed }, range: { firstHead, heads } } = options;
  const pipeline = await createPipeline(gpu, {
    label: "gather statistics of queries",
    code: statisticsCode,
    bindings: ["read", "read", "read", "read-write", "read-write", "uniform"],
  });
  const [x, y] = foldGroups(Math.ceil(packed / 256));
  const uniform = createParams(gpu, GATHER_PARAMS, {
    rows,
    group,
    packed,
    firstHead,
    gridWidth: x,
  });
  const { sources, lse, delta, entryLse, entryDelta } = options;
  const dispatch = bindDispatch(gpu, pipeline, {
    slices: [sources, lse, delta, entryLse, entryDelta, slice(uniform)],
    workgroups: [x, y, heads],
  });
  return { dispatches: [dispatch], destroy: () => uniform.destroy() };
}

/**
 * Binds the copies that the backward pass of some entries reads: Q if given, dO, log-sum-exp and
 * delta.
 */
export async function bindEntries(
  gpu: Gpu,
  options: {
    readonly sizes: PackedSizes;
    readonly headDim: number;
    readonly dtype: DType;
    readonly range: HeadRange;
    readonly sources: BufferSlice;
    readonly q?: BufferSlice;
    readonly outputGradient: BufferSlice;
    readonly lse: BufferSlice;
    readonly delta: BufferSlice;
    /** With `queries`, `outputGradients`, `entryLse` and `entryDelta`, written. */
    readonly scratch: Readonly<Record<string, BufferSlice>>;
  },
): Promise<Bound> {
  const { q, outputGradient, scratch, ...shared } = options;
  const { queries, outputGradients, entryLse, entryDelta } = scratch;
  const { own, destroy } = collectOwned();
  try {
    const copies = own(
      await bindGather(gpu, {
        ...shared,
        tensors: [...q ? [[q, queries] as const] : [], [outputGradient, outputGradients]],
      }),
    );
    const statistics = own(await bindStatistics(gpu, { ...shared, entryLse, entryDelta }));
    return { dispatches: [...copies.dispatches, ...statistics.dispatches], destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}

/** Constants of the merging passes, and the conversion of a thread's sums to the storage type. */
export function generateElements(headDim: number, dtype: DType): string {
  const pack = (name: string) => `pack2x16float(${name}.xy), pack2x16float(${name}.zw)`;
  return dtype === "f16"
    ? wgsl`

      const VECTORS = 2u; // of four f32 numbers
      const COLUMNS = ${headDim / 8}u;
      alias Elements = vec4u;
      fn elements(sums: array<vec4f, 2>) -> Elements {
        let low = nearestHalf(sums[0]);
        let high = nearestHalf(sums[1]);
        return vec4u(${pack("low")}, ${pack("high")});
      }
      ${NEAREST_HALF}
    `
    : wgsl`

      const VECTORS = 1u; // of four f32 numbers
      const COLUMNS = ${headDim / 4}u;
      alias Elements = vec4f;
      fn elements(sums: array<vec4f, 1>) -> Elements { return sums[0]; }
    `;
}

/**
 * WGSL of an entry's statistics: what its result refers to, and the sum of its weights.
 *
 * @param sums whether entries have sums of rows; else normalised rows and their log-sum-exp.
 */
export function generateEntryStatistics(sums: boolean): string {
  const value = sums
    ? "vec2f(entryStatistics[2u * at], entryStatistics[2u * at + 1u])"
    : "vec2f(entryStatistics[at], 1.0)";
  return `\nfn statisticsOf(at: u32) -> vec2f { return ${value}; }\n`;
}

/** What a merging pass reads and writes. */
interface Merge {
  readonly sizes: ListSizes;
  readonly headDim: number;
  readonly dtype: DType;
  readonly range: HeadRange;
  /** Whose queries: buffers begin at its first one. Default the first. */
  readonly turn?: number;
  readonly places: BufferSlice;
}

async function bindMerge(
  gpu: Gpu,
  { sizes, headDim, dtype, range, turn = 0, places }: Merge,
  given: {
    readonly label: string;
    readonly code: string;
    readonly slices: readonly BufferSlice[];
    readonly kinds: readonly ("read" | "read-write")[];
  },
): Promise<Bound> {
  const { rows, count, group, packed, turns } = sizes;
  const pipeline = await createPipeline(gpu, {
    label: given.label,
    code: given.code + generateElements(headDim, dtype),
    bindings: ["read", ...given.kinds, "uniform"],
  });
  const perRow = headDim / (dtype === "f16" ? 8 : 4);
  const queries = turns[turn].end - turns[turn].first;
  const [x, y] = foldGroups(Math.ceil(queries * perRow / 256));
  const { firstHead, heads } = range;
  const uniform = createParams(gpu, MERGE_PARAMS, {
    rows,
    count,
    group,
    packed,
    firstHead,
    turnRows: queries,
    gridWidth: x,
  });
  const dispatch = bindDispatch(gpu, pipeline, {
    slices: [places, ...given.slices, slice(uniform)],
    workgroups: [x, y, heads * group],
  });
  return { dispatches: [dispatch], destroy: () => uniform.destroy() };
}

/** Binds the pass that joins the outputs of a query's entries. */
export function bindMergeOutputs(
  gpu: Gpu,
  options: Merge & {
    readonly entryOutputs: BufferSlice;
    readonly entryStatistics: BufferSlice;
    /** Whether entries have sums of rows ({@linkcode generateEntryStatistics}). */
    readonly sums: boolean;
    readonly output: BufferSlice;
    readonly lse: BufferSlice;
  },
): Promise<Bound> {
  return bindMerge(gpu, options, {
    label: "merge outputs of entries",
    code: outputsCode + generateEntryStatistics(options.sums),
    slices: [options.entryOutputs, options.entryStatistics, options.output, options.lse],
    kinds: ["read", "read", "read-write", "read-write"],
  });
}

/** Binds the pass that adds the dQ of a query's entries. */
export function bindMergeGradients(
  gpu: Gpu,
  options: Merge & { readonly entryGradients: BufferSlice; readonly queryGradient: BufferSlice },
): Promise<Bound> {
  return bindMerge(gpu, options, {
    label: "merge dQ of entries",
    code: gradientsCode,
    slices: [options.entryGradients, options.queryGradient],
    kinds: ["read", "read-write"],
  });
}
