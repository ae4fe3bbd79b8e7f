/**
 * Which rows see which: spans of rows, and the parts of them within a chunk.
 *
 * @module
 */
import type { RowSpan } from "../../kernels/implementation.ts";

/** Key rows that a query row sees: those of an implementation, or of causal attention. */
export interface Visible {
  (row: number): readonly RowSpan[];
  /** Whether a row sees a key, where that is faster to tell than its spans. */
  readonly sees?: (row: number, key: number) => boolean;
}

/** Causal attention: all rows up to and including its own. */
export const causal: Visible = (row) => [{ first: 0, end: row + 1 }];

/** Positions within a chunk of the rows that spans cover, ascending. */
export function spansWithin(
  spans: readonly RowSpan[],
  { first, count }: { first: number; count: number },
): RowSpan[] {
  return spans.flatMap((span) => {
    const within = {
      first: Math.max(0, span.first - first),
      end: Math.min(count, span.end - first),
    };
    return within.first < within.end ? [within] : [];
  });
}

/** {@linkcode spansWithin}, with each position listed. */
export function* placesOf(
  spans: readonly RowSpan[],
  chunk: { first: number; count: number },
): Generator<number> {
  for (const { first, end } of spansWithin(spans, chunk)) {
    for (let i = first; i < end; i++) yield i;
  }
}

/** How many rows spans cover, or cover within a chunk if one is given. */
export function countRows(
  spans: readonly RowSpan[],
  chunk: { first: number; count: number } = { first: 0, count: Infinity },
): number {
  return spansWithin(spans, chunk).reduce((sum, { first, end }) => sum + end - first, 0);
}

/** One past the last row of any of the spans. */
export function endOf(spans: readonly (readonly RowSpan[])[]): number {
  return spans.reduce((most, some) => Math.max(most, some.at(-1)?.end ?? 0), 0);
}

/** The first row of any of the spans. */
export function startOf(spans: readonly (readonly RowSpan[])[]): number {
  return spans.reduce((least, some) => Math.min(least, some[0]?.first ?? Infinity), Infinity);
}

/** For each of some key rows, the spans of query rows that see it, in a sequence of `rows`. */
export function seenBy(
  keys: readonly number[],
  { visible, rows }: { visible: Visible; rows: number },
): RowSpan[][] {
  if (visible === causal) return keys.map((key) => [{ first: key, end: rows }]);
  const found = keys.map((): { first: number; end: number }[] => []);
  for (let row = 0; row < rows; row++) {
    const spans = visible.sees ? [] : visible(row);
    keys.forEach((key, i) => {
      const sees = visible.sees
        ? visible.sees(row, key)
        : spans.some(({ first, end }) => first <= key && key < end);
      if (!sees) return;
      const last = found[i].at(-1);
      if (last?.end === row) last.end++;
      else found[i].push({ first: row, end: row + 1 });
    });
  }
  return found;
}
