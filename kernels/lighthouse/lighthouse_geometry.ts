/**
 * Sizes and offsets of a Lighthouse layer, and every constraint on them (specification, section 1).
 *
 * @module
 */
import { requireDType, requireRecord, requireWhole } from "../gpu/require.ts";
import type { AttentionShape, LighthouseOptions } from "../implementation.ts";

/** Parents per tile and level: 64 by query score and 64 by key score. */
export const PARENTS = 128;

/** Half of the parents: the number that each of the two rankings contributes. */
export const RANKED = 64;

/** Deepest pyramid that the selection kernel keeps parent lists for. */
export const MAX_LEVELS = 16;

/** Longest context: pyramid indices and element offsets fit 32 bits with room to spare. */
export const MAX_CONTEXT = 2 ** 24;

/** Sizes derived from N, L, p and k. Counts are per head. */
export interface LighthouseGeometry {
  /** N. */
  readonly context: number;
  /** L. */
  readonly levels: number;
  /** p. */
  readonly pooling: number;
  /** k. */
  readonly k: number;
  /** N/p^ℓ for ℓ = 0 … L-1. */
  readonly levelEntries: readonly number[];
  /** Pyramid index of the first entry of each level. */
  readonly levelOffsets: readonly number[];
  /** P, entries of all levels. */
  readonly entries: number;
  /** P - N, entries of the levels that are stored separately from the input. */
  readonly pooledEntries: number;
  /** p^(L-1), base rows under one coarsest entry. */
  readonly windowRows: number;
  /** T = k/128. */
  readonly tiles: number;
  /** Coarsest entries of one tile, at least 128. */
  readonly tileEntries: number;
  /** S, rows of the gathered sequence. */
  readonly gathered: number;
  /** S/T, rows that each tile emits. */
  readonly gatheredPerTile: number;
}

/**
 * Checks N, L, p, k and δ, and derives every size from them.
 *
 * @throws {RangeError} one line with the value and the limit, for each constraint of section 1.
 *
 * @example
 * ```ts
 * import { planGeometry } from "./lighthouse_geometry.ts";
 * import assert from "node:assert/strict";
 * const { gathered } = planGeometry(524288, { levels: 3, pooling: 4, k: 8192 });
 * assert.equal(gathered, 98304);
 * ```
 */
export function planGeometry(
  context: number,
  options: LighthouseOptions,
): LighthouseGeometry {
  requireRecord("plan lighthouse", "the options", options);
  const { levels, pooling, k, dilation } = options;
  requireInteger("context", context, { least: 1, most: MAX_CONTEXT });
  requireInteger("levels", levels, { least: 2, most: MAX_LEVELS });
  requireInteger("pooling", pooling, { least: 2, most: MAX_CONTEXT });
  requireInteger("k", k, { least: PARENTS, most: MAX_CONTEXT });
  if (!isPowerOfTwo(pooling)) fail(`pooling ${pooling} is not a power of two`);
  if (k % PARENTS !== 0) fail(`k ${k} is not a multiple of ${PARENTS}`);
  const windowRows = pooling ** (levels - 1);
  if (context % windowRows !== 0) {
    fail(`context ${context} is not a multiple of pooling^(levels-1) = ${windowRows}`);
  }
  const coarsest = context / windowRows;
  const tiles = k / PARENTS;
  if (coarsest < PARENTS) {
    fail(
      `context ${context} leaves ${coarsest} coarsest entries of ${windowRows} rows; ` +
        `any k needs at least ${PARENTS}`,
    );
  }
  if (coarsest % tiles !== 0) {
    fail(`the ${coarsest} coarsest entries do not divide into k/${PARENTS} = ${tiles} tiles`);
  }
  const tileEntries = coarsest / tiles;
  if (tileEntries < PARENTS) {
    fail(
      `k ${k} leaves ${tileEntries} coarsest entries per tile; at least ${PARENTS} are needed ` +
        `(k at most ${largestBudget(coarsest)} here)`,
    );
  }
  if (dilation !== undefined) {
    requireInteger("dilation", dilation, { least: 1, most: context });
    if (context % dilation !== 0) fail(`dilation ${dilation} does not divide context ${context}`);
  }
  const levelEntries = Array.from({ length: levels }, (_, level) => context / pooling ** level);
  const levelOffsets: number[] = [];
  let entries = 0;
  for (const count of levelEntries) {
    levelOffsets.push(entries);
    entries += count;
  }
  const gathered = coarsest + (levels - 1) * pooling * k;
  return {
    context,
    levels,
    pooling,
    k,
    levelEntries,
    levelOffsets,
    entries,
    pooledEntries: entries - context,
    windowRows,
    tiles,
    tileEntries,
    gathered,
    gatheredPerTile: gathered / tiles,
  };
}

/**
 * Checks the shape of a layer against what the row kernels can address: rows are read in 16-byte
 * words, so a row must be a power-of-two number of them.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} one line with the value and the limit.
 */
export function requireLayerShape(shape: AttentionShape): void {
  requireDType("plan lighthouse", shape.dtype);
  requireInteger("heads", shape.heads, { least: 1, most: 65535 });
  const least = shape.dtype === "f16" ? 16 : 8;
  requireInteger("headDim", shape.headDim, { least, most: 256 });
  if (!isPowerOfTwo(shape.headDim)) fail(`headDim ${shape.headDim} is not a power of two`);
}

/** Level and index within the level of a pyramid index. */
export function locateEntry(
  geometry: LighthouseGeometry,
  entry: number,
): { level: number; index: number } {
  let level = geometry.levels - 1;
  while (geometry.levelOffsets[level] > entry) level--;
  return { level, index: entry - geometry.levelOffsets[level] };
}

/**
 * A two-dimensional grid for `count` workgroups; the shader's flat index is `y * grid.x + x`, and
 * it ignores indices from `count` on.
 */
export function foldGrid(count: number, limit = 65535): [number, number] {
  const y = Math.ceil(count / limit);
  return [Math.ceil(count / y), y];
}

/** The largest k that divides this many coarsest entries into tiles that are large enough. */
function largestBudget(coarsest: number): number {
  let tiles = Math.floor(coarsest / PARENTS);
  while (coarsest % tiles !== 0) tiles--;
  return tiles * PARENTS;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function requireInteger(name: string, value: number, range: { least: number; most: number }): void {
  requireWhole("plan lighthouse", name, value, range);
}

function fail(reason: string): never {
  throw new RangeError(`plan lighthouse: ${reason}`);
}
