/**
 * The largest logits of a trial, and how planting changes them.
 *
 * @module
 */
import { normalQuantile } from "../statistics/normal.ts";

/** Most edits of a trial: needles, decoys, a window. */
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
      // Logits are close to unit normal; if they are not, all are sorted.
      const cut = normalQuantile(1 - share);
      kept = logits.filter((logit) => logit >= cut);
      if (kept.length < needed) kept = logits;
    }
    this.#sorted = Float32Array.from(kept).sort().reverse().subarray(0, needed);
  }

  /**
   * The largest logit after some rows have new logits, and a threshold that exactly S of them
   * reach.
   *
   * @throws {RangeError} for more edits than there is room for.
   */
  withEdits(
    edits: readonly { readonly row: number; readonly logit: number }[],
  ): { largest: number; threshold: number } {
    if (edits.length > MOST_EDITS) {
      throw new RangeError(`top logits: ${edits.length} edits exceed ${MOST_EDITS}`);
    }
    const gone = edits.map(({ row }) => this.#logits[row]);
    const added = edits.map(({ logit }) => logit).sort((a, b) => b - a);
    // No edit moves a rank by more than one, so the merge starts just before rank S, above a value
    // that no other equals; earlier values are only counted.
    let start = Math.max(0, this.#count - edits.length - 1);
    while (start > 0 && this.#sorted[start - 1] === this.#sorted[start]) start--;
    const above = start === 0 ? Infinity : this.#sorted[start - 1];
    const skipped = start - gone.filter((logit) => logit >= above).length +
      added.filter((logit) => logit >= above).length;
    const { values } = this.#merge({
      gone,
      added,
      below: above,
      start,
      most: this.#count + 1 - skipped,
    });
    const [before, value = -Infinity] = values.slice(this.#count - 1 - skipped);
    const [largest] = start === 0
      ? values
      : this.#merge({ gone, added, below: Infinity, start: 0, most: 1 }).values;
    return { largest, threshold: value === -Infinity ? -Infinity : (before + value) / 2 };
  }

  /** The first values below a bound, descending, with what was added and without what is gone. */
  #merge(
    options: { gone: number[]; added: number[]; below: number; start: number; most: number },
  ): { values: number[] } {
    const { below, most } = options;
    const gone = options.gone.filter((logit) => logit < below);
    const added = options.added.filter((logit) => logit < below);
    let [i, a] = [options.start, 0];
    const values: number[] = [];
    while (values.length < most) {
      const old = i < this.#sorted.length ? this.#sorted[i] : -Infinity;
      const replaced = gone.indexOf(old);
      if (replaced >= 0) {
        gone.splice(replaced, 1);
        i++;
        continue;
      }
      const fresh = a < added.length ? added[a] : -Infinity;
      if (Math.max(old, fresh) === -Infinity) break;
      if (fresh > old) values.push(added[a++]);
      else values.push(this.#sorted[i++]);
    }
    return { values };
  }
}
