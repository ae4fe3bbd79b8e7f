/**
 * Selection: from scores to the selected entries in gathered order.
 *
 * Shapes: scores f32 `[heads, P]`, indices u32 `[heads, S]` (pyramid indices in gathered order),
 * slots u32 `[heads, P]` (gathered position of each pyramid entry, {@linkcode NOT_SELECTED} for the
 * others). Scores may be any f32: -0 counts as +0, NaN ranks last, equal scores rank by smaller
 * pyramid index. All arithmetic is integer arithmetic on the bits, so devices agree exactly.
 *
 * @module
 */
import cached from "./select_cached.wgsl" with { type: "text" };
import gatherCode from "./gather.wgsl" with { type: "text" };
import code from "./select.wgsl" with { type: "text" };
import gathering from "./select_gather.wgsl" with { type: "text" };
import inParts from "./select_parts.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type Dispatch, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid, type LighthouseGeometry, PARENTS } from "../lighthouse_geometry.ts";
import { wordsPerRow } from "../rows.ts";
import type { LighthouseTuning } from "../lighthouse_tuning.ts";
import { forTensor, functionsOf, TENSORS } from "./merged_passes.ts";
import { createPass } from "./pass.ts";

/** The slot of a pyramid entry that was not selected. */
export const NOT_SELECTED = 0xffffffff;

const PARAMS = {
  context: "u32",
  logPooling: "u32",
  levels: "u32",
  tiles: "u32",
  tileEntries: "u32",
  entries: "u32",
  gathered: "u32",
  gatheredPerTile: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planSelection}. */
export interface SelectionOptions {
  /**
   * Keep the candidates' keys in workgroup memory if no level has more than
   * {@linkcode MOST_CACHED}. Default false. Results are equal.
   */
  readonly cached?: boolean;
  /** Threads of a workgroup that caches keys: 256, 512 or 1,024. Default 512. */
  readonly threads?: number;
  /**
   * Workgroups of a tile, if keys are cached: each finds all parents and places its share of the
   * entries. Default 1. Results are equal.
   */
  readonly parts?: number;
  /**
   * With several workgroups a tile: also gather the selected rows of Q, K and V. Default: do not.
   */
  readonly gathers?: { readonly headDim: number; readonly dtype: DType };
}

/** Candidates of a level whose keys fit the 16 KiB of workgroup memory that every device has. */
export const MOST_CACHED = 512;

/** The fastest number of threads on an H200. */
const CACHED_THREADS = 512;

/** Storage buffers that a selection binds which gathers. */
const GATHERING_BINDINGS = 13;
/**
 * Tiles of all heads up to which a selection gathers, and its workgroups a tile: measured on an
 * H200.
 */
const MOST_GATHERING = 8;
const GATHERING_PARTS = 16;

/** The plan of a selection. */
export interface SelectionPlan {
  /** Heads of the block. */
  readonly heads: number;
  /** Sizes of the layer. */
  readonly geometry: LighthouseGeometry;
  /** One per tile and head. */
  readonly workgroups: readonly [number, number, number];
  /** WGSL of the pass. */
  readonly code: string;
  /** Bytes of each of the two score buffers. */
  readonly scoreBytes: number;
  /** Bytes of the indices. */
  readonly indexBytes: number;
  /** Bytes of the slots. */
  readonly slotBytes: number;
  /** Bytes of each tensor that the selection gathers from and to, if it does. */
  readonly gathers?: { readonly rows: number; readonly pooled: number; readonly gathered: number };
}

/** Buffers of one block of heads. */
export interface SelectionBindings {
  /** f32 `[heads, P]`. */
  readonly queryScores: BufferSlice;
  /** f32 `[heads, P]`. */
  readonly keyScores: BufferSlice;
  /** u32 `[heads, S]`, written. */
  readonly indices: BufferSlice;
  /** u32 `[heads, P]`, written. */
  readonly slots: BufferSlice;
  /** Queries `[heads, N, d]`; needed when the selection gathers, like all below. */
  readonly q?: BufferSlice;
  /** Keys `[heads, N, d]`. */
  readonly k?: BufferSlice;
  /** Values `[heads, N, d]`. */
  readonly v?: BufferSlice;
  /** Pooled queries `[heads, P - N, d]`. */
  readonly pooledQ?: BufferSlice;
  /** Pooled keys `[heads, P - N, d]`. */
  readonly pooledK?: BufferSlice;
  /** Pooled values `[heads, P - N, d]`. */
  readonly pooledV?: BufferSlice;
  /** Gathered queries `[heads, S, d]`, written. */
  readonly gatheredQ?: BufferSlice;
  /** Gathered keys `[heads, S, d]`, written. */
  readonly gatheredK?: BufferSlice;
  /** Gathered values `[heads, S, d]`, written. */
  readonly gatheredV?: BufferSlice;
}

/** A compiled selection. */
export interface Selection {
  /** Whether it also gathers. */
  readonly gathers: boolean;
  /** The dispatches that select for one block. */
  readonly bind: (slices: SelectionBindings) => Dispatch[];
  /** Frees the selection's buffers. */
  readonly destroy: () => void;
}

/**
 * Plans the selection of a block of heads.
 *
 * @throws {RangeError} when the number of heads is not a whole number from 1 to 65,535.
 */
export function planSelection(
  geometry: LighthouseGeometry,
  heads: number,
  options: SelectionOptions = {},
): SelectionPlan {
  requireWhole("plan selection", "heads", heads, { most: 65535 });
  const cached = options.cached && mostCandidates(geometry) <= MOST_CACHED;
  const { gathers, parts = 1 } = options;
  const [x, y] = foldGrid(geometry.tiles * (cached ? parts : 1));
  return {
    heads,
    geometry,
    workgroups: [x, y, heads],
    code: cached ? generateCached(geometry, options) : code,
    ...cached && parts > 1 && gathers && {
      gathers: {
        rows: heads * geometry.context * gathers.headDim * bytesPerElement(gathers.dtype),
        pooled: heads * geometry.pooledEntries * gathers.headDim * bytesPerElement(gathers.dtype),
        gathered: heads * geometry.gathered * gathers.headDim * bytesPerElement(gathers.dtype),
      },
    },
    scoreBytes: heads * geometry.entries * 4,
    indexBytes: heads * geometry.gathered * 4,
    slotBytes: heads * geometry.entries * 4,
  };
}

/** The fastest options on a device. */
export function fastestSelection(
  { capabilities }: Pick<Gpu, "capabilities">,
): SelectionOptions {
  return { cached: true, threads: Math.min(CACHED_THREADS, capabilities.maxInvocations) };
}

/**
 * The fastest options for a layer. Where tiles and heads are too few for a device, several
 * workgroups a tile also gather.
 *
 * @param size the heads of a block, and their rows. `tuning`: what to choose otherwise.
 */
export function chooseSelection(
  gpu: Pick<Gpu, "capabilities">,
  geometry: LighthouseGeometry,
  { heads, tuning = {}, ...row }: {
    readonly heads: number;
    readonly headDim: number;
    readonly dtype: DType;
    readonly tuning?: LighthouseTuning["selection"];
  },
): SelectionOptions {
  const { gathers, ...division } = tuning;
  const fastest = { ...fastestSelection(gpu), parts: GATHERING_PARTS, ...division };
  const { maxStorageBuffers, maxWorkgroupBytes } = gpu.capabilities;
  const fits = fastest.cached && fastest.parts > 1 && mostCandidates(geometry) <= MOST_CACHED &&
    maxStorageBuffers >= GATHERING_BINDINGS &&
    gatheringBytes(geometry, fastest.threads ?? CACHED_THREADS) <= maxWorkgroupBytes;
  const gathering = fits && (gathers ?? geometry.tiles * heads <= MOST_GATHERING);
  return {
    ...fastest,
    parts: gathering ? fastest.parts : division.parts,
    gathers: gathering ? row : undefined,
  };
}

/** Workgroup memory of a selection that caches keys and gathers, bytes. */
function gatheringBytes(geometry: LighthouseGeometry, threads: number): number {
  const search = 9_300 + mostCandidates(geometry) * 8.125 + 17 * 8;
  return search + threads * 8 + 4;
}

/** Candidates of the level that has most. */
function mostCandidates({ tileEntries, pooling }: LighthouseGeometry): number {
  return Math.max(tileEntries, PARENTS * pooling);
}

/** The shader whose search for parents is that of `select_cached.wgsl`. */
function generateCached(
  geometry: LighthouseGeometry,
  { threads = CACHED_THREADS, parts = 1, gathers }: SelectionOptions,
): string {
  const from = code.indexOf("// The rank key that exactly 64 candidates reach");
  const to = code.indexOf("// Parents of a level with an index below i.");
  const search = code.slice(0, from) + cached + "\n";
  const whole = parts === 1
    ? search + code.slice(to)
    : search + code.slice(to, code.indexOf("@compute")) + generateParts({ parts, gathers });
  return whole.replace("const threads = 256u;", `const threads = ${threads}u;`)
    .replace("@workgroup_size(256)", "@workgroup_size(threads)") +
    `const capacity = ${Math.ceil(mostCandidates(geometry) / 32) * 32}u;\n`;
}

/** The entry point of several workgroups a tile, with or without the gather. */
function generateParts({ parts, gathers }: { parts: number } & SelectionOptions): string {
  const constant = `const parts = ${parts}u;\n`;
  if (!gathers) {
    return `${inParts}${constant}fn placed(local: u32, head: u32, entry: u32, slot: u32) {}\n`;
  }
  const own = functionsOf(gatherCode, ["readRow", "writeRow"])
    .replaceAll("params.pooledEntries", "(params.entries - params.context)");
  return [
    inParts,
    constant,
    gathering,
    `const columns = ${wordsPerRow(gathers.headDim, gathers.dtype)}u;`,
    ...TENSORS.map((tensor) => forTensor(own, tensor)),
    "",
  ].join("\n");
}

/** Compiles the selection kernel. */
export async function createSelection(gpu: Gpu, plan: SelectionPlan): Promise<Selection> {
  const { geometry, workgroups, code, scoreBytes, indexBytes, slotBytes, gathers } = plan;
  const pass = await createPass<SelectionBindings>(gpu, {
    pipeline: {
      label: gathers ? "lighthouse select and gather" : "lighthouse select",
      code,
      bindings: [
        ...["read", "read", "read-write", "read-write", "uniform"] as const,
        ...gathers
          ? [...Array<"read">(6).fill("read"), ...Array<"read-write">(3).fill("read-write")]
          : [],
      ],
    },
    layout: PARAMS,
    params: {
      context: geometry.context,
      logPooling: Math.log2(geometry.pooling),
      levels: geometry.levels,
      tiles: geometry.tiles,
      tileEntries: geometry.tileEntries,
      entries: geometry.entries,
      gathered: geometry.gathered,
      gatheredPerTile: geometry.gatheredPerTile,
      gridWidth: workgroups[0],
    },
    workgroups,
    bytes: {
      queryScores: scoreBytes,
      keyScores: scoreBytes,
      indices: indexBytes,
      slots: slotBytes,
      ...gathers && {
        q: gathers.rows,
        k: gathers.rows,
        v: gathers.rows,
        pooledQ: gathers.pooled,
        pooledK: gathers.pooled,
        pooledV: gathers.pooled,
        gatheredQ: gathers.gathered,
        gatheredK: gathers.gathered,
        gatheredV: gathers.gathered,
      },
    },
  });
  return { ...pass, gathers: gathers !== undefined };
}
