/**
 * Properties of a selection, as data: which rows it covers and how often, how its budget
 * is spread over the levels, and how far two selections agree. Pure functions of index lists.
 *
 * A selection is `[heads, S]` pyramid indices. Entry i of level ℓ, c = p^ℓ, contributes to base
 * rows c·i + c - 1 … c·i + 2c - 2 (specification, section 5).
 *
 * @module
 */
import {
  type LighthouseGeometry,
  locateEntry,
} from "../../kernels/lighthouse/lighthouse_geometry.ts";
import type { OverlapRecord, SelectionQualityRecord } from "../result/result_schema.ts";

/** The part of {@linkcode SelectionQualityRecord} that depends on one selection alone. */
export type SelectionShape = Pick<
  SelectionQualityRecord,
  "rows" | "uncoveredRows" | "fanIn" | "levelShares"
>;

/**
 * Coverage, fan-in and level shares of a selection.
 *
 * @example
 * ```ts
 * import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
 * import { describeSelection } from "./selection_quality.ts";
 * import assert from "node:assert/strict";
 * // 128 of 128 coarsest entries are parents, so that every entry of the pyramid is selected.
 * const geometry = planGeometry(256, { levels: 2, pooling: 2, k: 128 });
 * const all = Int32Array.from({ length: 384 }, (_, i) => i);
 * const { fanIn, uncoveredRows } = describeSelection(all, geometry);
 * assert.deepEqual([fanIn, uncoveredRows], [[0, 1, 255], 0]);
 * ```
 *
 * @throws {RangeError} when the list does not consist of whole heads, or has an index outside the
 * pyramid.
 */
export function describeSelection(
  selection: Int32Array,
  geometry: LighthouseGeometry,
): SelectionShape {
  const { context, levels, pooling, levelOffsets, gathered } = geometry;
  const heads = countHeads(selection, geometry);
  const counts = new Array<number>(levels).fill(0);
  const fanIn = new Array<number>(levels + 1).fill(0);
  for (let head = 0; head < heads; head++) {
    const own = selection.subarray(head * gathered, (head + 1) * gathered);
    const selected = markEntries(own, geometry);
    const contributors = new Uint8Array(context);
    for (let level = 0; level < levels; level++) {
      const window = pooling ** level;
      const offset = levelOffsets[level];
      for (let i = 0; i < geometry.levelEntries[level]; i++) {
        if (selected[offset + i] === 0) continue;
        counts[level]++;
        const first = window * i + window - 1;
        const end = Math.min(context, first + window);
        for (let row = first; row < end; row++) contributors[row]++;
      }
    }
    for (let row = 0; row < context; row++) fanIn[contributors[row]]++;
  }
  return {
    rows: heads * context,
    uncoveredRows: fanIn[0],
    fanIn,
    levelShares: counts.map((count) => count / selection.length),
  };
}

/**
 * How far two selections of the same geometry agree: the Jaccard index |A ∩ B| / |A ∪ B| over all
 * heads, of each level and of all levels but the coarsest. The coarsest level is always gathered
 * whole, so it carries no information.
 *
 * @throws {RangeError} when a list does not consist of whole heads, or the lengths differ.
 */
export function compareSelections(
  a: Int32Array,
  b: Int32Array,
  geometry: LighthouseGeometry,
): OverlapRecord {
  const { gathered, levels } = geometry;
  const heads = countHeads(a, geometry);
  if (b.length !== a.length) {
    throw new RangeError(`compare selections: ${b.length} entries beside ${a.length}`);
  }
  const shared = new Array<number>(levels).fill(0);
  const either = new Array<number>(levels).fill(0);
  for (let head = 0; head < heads; head++) {
    const part = (list: Int32Array) => list.subarray(head * gathered, (head + 1) * gathered);
    const inA = markEntries(part(a), geometry);
    const inB = markEntries(part(b), geometry);
    for (let entry = 0; entry < geometry.entries; entry++) {
      if (inA[entry] === 0 && inB[entry] === 0) continue;
      const { level } = locateEntry(geometry, entry);
      either[level]++;
      if (inA[entry] === inB[entry]) shared[level]++;
    }
  }
  const sum = (counts: readonly number[]) =>
    counts.slice(0, -1).reduce((total, count) => total + count, 0);
  return {
    jaccard: sum(shared) / sum(either),
    levels: shared.map((count, level) => count / either[level]),
  };
}

function countHeads(selection: Int32Array, { gathered }: LighthouseGeometry): number {
  const heads = selection.length / gathered;
  if (!Number.isInteger(heads) || heads < 1) {
    throw new RangeError(
      `describe selection: ${selection.length} entries are not whole heads of ${gathered}`,
    );
  }
  return heads;
}

/** 1 for every selected entry of one head, `[P]`. */
function markEntries(selection: Int32Array, { entries }: LighthouseGeometry): Uint8Array {
  const selected = new Uint8Array(entries);
  for (const entry of selection) {
    if (entry < 0 || entry >= entries) {
      throw new RangeError(`describe selection: ${entry} is not one of ${entries} pyramid entries`);
    }
    selected[entry] = 1;
  }
  return selected;
}
