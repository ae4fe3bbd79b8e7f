/**
 * Turns: ranges of queries whose entries are in memory at the same time, where those of all queries
 * do not fit a binding. Each turn has lists of its own, over its queries alone and all blocks of
 * keys. Every query is in one turn with all of its entries, so outputs and dQ need no other turn;
 * dK and dV are sums of the turns, added in their order.
 *
 * A turn begins at a block of keys and at a multiple of 64 queries, so buffers with a row a query
 * are bound from its first query on.
 *
 * @module
 */
import sumsCode from "./turn_sums.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  type Dispatch,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { GatheredPlan } from "./gathered_plan.ts";
import type { ListSizes } from "./list_sizes.ts";
import { foldGroups, generateElements, type HeadRange } from "./packing.ts";

/** The slice from some bytes on. */
export function advance({ buffer, offset, size }: BufferSlice, bytes: number): BufferSlice {
  return { buffer, offset: offset + bytes, size: size - bytes };
}

/** Numbers of the turns of a plan, in order. */
export function turnsOf({ sizes }: Pick<GatheredPlan, "sizes">): number[] {
  return sizes.turns.map((_, turn) => turn);
}

/** The list buffers as one turn binds them. */
export function listsOfTurn(
  { sizes, listBytes }: Pick<GatheredPlan, "sizes" | "listBytes">,
  turn: number,
  lists: Readonly<Record<string, BufferSlice>>,
): Record<"lists" | "tables" | "sources" | "places", BufferSlice> {
  const { turns, count } = sizes;
  const own = (name: "tables" | "sources") => {
    const size = listBytes[name] / turns.length;
    return { ...advance(lists[name], turn * size), size };
  };
  const rows = (name: "lists" | "places") => advance(lists[name], turns[turn].first * count * 4);
  return {
    lists: rows("lists"),
    places: rows("places"),
    tables: own("tables"),
    sources: own("sources"),
  };
}

/** Rows `[heads, N, d]` of tensors from the first query of a turn on. */
export function rowsOfTurn(
  { sizes, headDim, dtype }: Pick<GatheredPlan, "sizes" | "headDim" | "dtype">,
  turn: number,
): (rows: BufferSlice) => BufferSlice {
  const bytes = sizes.turns[turn].first * headDim * bytesPerElement(dtype);
  return (rows) => advance(rows, bytes);
}

/** Numbers `[heads, N]` of 4 bytes from the first query of a turn on. */
export function numbersOfTurn(
  { sizes }: Pick<GatheredPlan, "sizes">,
  turn: number,
): (numbers: BufferSlice) => BufferSlice {
  return (numbers) => advance(numbers, 4 * sizes.turns[turn].first);
}

/** What a stage's variant, or a buffer's name, says of the turns; empty for one. */
export function describeTurns({ turns }: Pick<ListSizes, "turns">): string {
  if (turns.length === 1) return "";
  return `, ${turns.length} turns of ${turns[0].end - turns[0].first} queries`;
}

const SUM_PARAMS = {
  vectors: "u32",
  firstHead: "u32",
  first: "u32",
  gridWidth: "u32",
} as const;

/** Where dK and dV of some key heads go. */
type KeyGradients = readonly [key: BufferSlice, value: BufferSlice];

/** The passes around those that leave dK and dV of a turn. */
export interface BoundSums {
  /** Before them. */
  readonly clear: readonly Dispatch[];
  /** Where they write: where the sums go, if there is one turn. */
  readonly part: KeyGradients;
  /** After them. */
  readonly add: readonly Dispatch[];
  readonly destroy: () => void;
}

/** Binds the sums of key and value gradients over turns; no passes for one turn. */
export async function bindTurnSums(
  gpu: Gpu,
  { sizes, headDim, dtype }: Pick<GatheredPlan, "sizes" | "headDim" | "dtype">,
  { turn, range, sums, results, scratch, keys = sizes.rows }: {
    readonly turn: number;
    readonly range: HeadRange;
    /** f32 `[key heads, keys, d]`, if there are several turns. */
    readonly sums: KeyGradients;
    /** In the storage type, written after the last turn. Default: the sums are the results. */
    readonly results?: KeyGradients;
    /** With `turnKeyGradients` and `turnValueGradients`, as large. */
    readonly scratch: Readonly<Record<string, BufferSlice>>;
    /** Default N. */
    readonly keys?: number;
  },
): Promise<BoundSums> {
  const last = sizes.turns.length - 1;
  if (last === 0) return { clear: [], part: sums, add: [], destroy: () => {} };
  const vectors = keys * headDim / 4;
  const { firstHead, heads } = range;
  const part = [scratch.turnKeyGradients, scratch.turnValueGradients] as const;
  const uniforms: GPUBuffer[] = [];
  const bind = async (entryPoint: "clear" | "add" | "finish") => {
    const finishes = entryPoint === "finish";
    const pipeline = await createPipeline(gpu, {
      label: `dK or dV of a turn: ${entryPoint}`,
      code: sumsCode + generateElements(headDim, dtype),
      entryPoint,
      bindings: ["read-write", "read-write", "uniform", ...finishes ? ["read-write" as const] : []],
    });
    const shares = finishes && dtype === "f16" ? vectors / 2 : vectors;
    const [x, y] = foldGroups(Math.ceil(shares / 256));
    const first = turn === 0 ? 1 : 0;
    const uniform = createParams(gpu, SUM_PARAMS, { vectors, firstHead, first, gridWidth: x });
    uniforms.push(uniform);
    return sums.map((sum, i) =>
      bindDispatch(gpu, pipeline, {
        slices: [part[i], sum, slice(uniform), ...finishes ? [results![i]] : []],
        workgroups: [x, y, heads],
      })
    );
  };
  return {
    clear: await bind("clear"),
    part,
    add: await bind(results && turn === last ? "finish" : "add"),
    destroy: () => uniforms.forEach((uniform) => uniform.destroy()),
  };
}
