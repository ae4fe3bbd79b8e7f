/**
 * The largest logits of a trial, and what planting makes of them.
 *
 * @module
 */
import { normalQuantile } from "./normal.ts";

/** Edits that a trial may have: needles, decoys, a window. */
const MOST_EDITS = 64;

/** The largest of a trial's logits, kept so that planting a few rows needs no new sort. */
export class TopLogits {
  readonly #logits: Float32Array;
  readonly #count: number;
  /** Descending, at least `count` plus {@linkcode MOST_EDITS} of them where there are as many. */
  readonly #sorted: Float32Array;

  /** `logits` are those of all rows before planting; `count` is S. */
  constructor(logits: Float32Array, { count }: { count: number }) {
    this.#logits = logits;
    this.#count = count;
    const needed = Math.min(logits.length, count + MOST_EDITS);
    let kept = logits;
    const share = 1.2 * needed / logits.length;
    if (share < 0.9) {
      // Logits are close to unit normal; where they are not, all are sorted.
      const cut = normalQuantile(1 - share);
      kept = logits.filter((logit) => logit >= cut);
      if (kept.length < needed) kept = logits;
    }
    this.#sorted = Float32Array.from(kept).sort().reverse().subarray(0, needed);
  }

  /**
   * The largest logit once some rows have others, and a threshold that exactly S of them reach.
   *
   * @throws {RangeError} for more edits than were kept room for.
   */
  withEdits(
    edits: readonly { readonly row: number; readonly logit: number }[],
  ): { largest: number; threshold: number } {
    if (edits.length > MOST_EDITS) {
      throw new RangeError(`top logits: ${edits.length} edits exceed ${MOST_EDITS}`);
    }
    const gone = edits.map(({ row }) => this.#logits[row]);
    const added = edits.map(({ logit }) => logit).sort((a, b) => b - a);
    let [i, a, rank] = [0, 0, 0];
    let largest = -Infinity;
    let before = Infinity;
    // A merge of two descending lists that leaves out the values that were replaced.
    while (rank <= this.#count) {
      const old = i < this.#sorted.length ? this.#sorted[i] : -Infinity;
      const replaced = gone.indexOf(old);
      if (replaced >= 0) {
        gone.splice(replaced, 1);
        i++;
        continue;
      }
      const fresh = a < added.length ? added[a] : -Infinity;
      const value = Math.max(old, fresh);
      if (value === -Infinity) return { largest, threshold: -Infinity };
      if (fresh > old) a++;
      else i++;
      if (rank === 0) largest = value;
      if (rank === this.#count) return { largest, threshold: (before + value) / 2 };
      before = value;
      rank++;
    }
    return { largest, threshold: -Infinity };
  }
}
