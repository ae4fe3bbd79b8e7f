/**
 * Copies and decodes the results of Lighthouse layers that compute only the last row.
 *
 * @module
 */
import type { BufferSlice } from "../gpu/buffers.ts";
import { type AttendedRow, type LastRow, mergePartials } from "./last_row.ts";
import { NOT_SELECTED } from "../lighthouse/passes/select.ts";
import type { LighthouseGeometry } from "../lighthouse/lighthouse_geometry.ts";
import type { Readback } from "./readback.ts";

/** The result of the last row of one head. */
export interface LighthouseRow {
  /** Attention of the last entry of each level, finest first; null if it was not selected. */
  readonly levels: readonly (AttendedRow | null)[];
  /** `[d]`, their sum. */
  readonly output: Float64Array;
}

/** The result of one layer. */
export interface LayerRows {
  /** S. */
  readonly gathered: number;
  /** By head. */
  readonly rows: readonly LighthouseRow[];
  /** For each watched row of a head, whether its entry at each level was selected, finest first. */
  readonly selected: boolean[][][];
}

/**
 * Copies the slots of all levels of the given base rows of every head.
 *
 * @returns the position of the first slot.
 */
export function takeSlots(
  { geometry, slots }: { readonly geometry: LighthouseGeometry; readonly slots: BufferSlice },
  options: { readback: Readback; encoder: GPUCommandEncoder; bases: readonly number[][] },
): number {
  const { readback, encoder, bases } = options;
  const { levels, levelOffsets, entries, pooling } = geometry;
  let first: number | undefined;
  for (const [head, own] of bases.entries()) {
    for (const base of own) {
      for (let level = 0; level < levels; level++) {
        const entry = levelOffsets[level] + Math.floor(base / pooling ** level);
        const place = readback.take(encoder, {
          buffer: slots.buffer,
          offset: slots.offset + (head * entries + entry) * 4,
          size: 4,
        });
        first ??= place;
      }
    }
  }
  return first!;
}

/** Reads the result of a layer from its bytes; `bases` are the last row and the watched ones. */
export function readLayer(
  bytes: ArrayBuffer,
  options: {
    geometry: LighthouseGeometry;
    lastRow: LastRow;
    bases: readonly number[][];
    at: { partials: number; slots: number };
  },
): LayerRows {
  const { geometry: { levels, gathered }, lastRow: { plan }, bases, at } = options;
  const attended = mergePartials(
    plan,
    new Float32Array(bytes, at.partials, plan.partialBytes / 4),
  );
  const perHead = bases[0].length * levels;
  const found = new Uint32Array(bytes, at.slots, bases.length * perHead);
  const chosen = (head: number, i: number) =>
    Array.from(
      { length: levels },
      (_, level) => found[head * perHead + i * levels + level] !== NOT_SELECTED,
    );
  return {
    gathered,
    rows: attended.map((parts, head) => {
      const present = chosen(head, 0);
      const output = new Float64Array(plan.headDim);
      for (const [level, part] of parts.entries()) {
        if (present[level]) part.output.forEach((x, c) => output[c] += x);
      }
      return { levels: parts.map((part, l) => present[l] ? part : null), output };
    }),
    selected: bases.map((own, head) => own.slice(1).map((_, i) => chosen(head, i + 1))),
  };
}
