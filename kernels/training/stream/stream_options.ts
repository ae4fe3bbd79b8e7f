/**
 * What a stream of training sequences is made of: filler with needles, and a text.
 *
 * A share of the sequences is random alphanumeric filler. In `digit` sequences `=d` is planted m
 * times, always with the same digit d: whoever has seen it once can say the digit after every later
 * `=`. In `keyed` sequences `K:d` is planted, for 2 to 31 letters K that each have a digit. One
 * planting lies in each m-th of the sequence, at a random place; m is drawn anew for each sequence,
 * its logarithm about uniform, so that a needle's next place is between 2 and 2N/m characters away.
 *
 * All others are text: of a corpus, or of a synthetic language. Its lines have 64 characters. Words
 * come from 255 common ones, whose frequencies fall with their rank, and from 16 names of the
 * sequence's own. After a name comes the word that belongs to it, the same throughout the sequence.
 * One line in four repeats an earlier line; the logarithm of the distance is about uniform. So the
 * words of a line can be learnt, names and their words can only be recalled, from any distance.
 *
 * @module
 */
import { requireRecord, requireWhole, show } from "../../gpu/require.ts";

/** Options; each has a default. */
export interface StreamOptions {
  /** By which sequences are drawn. Default 1. */
  readonly seed?: number;
  /** Of the sequences, those with one digit. Default 0. */
  readonly digitShare?: number;
  /** Of the sequences, those with digits under keys. Default 0. */
  readonly keyedShare?: number;
  /**
   * Fewest and most plantings of a sequence, powers of two; the most is never reached. Default 4
   * and N/8.
   */
  readonly plantings?: readonly [least: number, most: number];
  /** Bytes of a text. Default: the synthetic language. */
  readonly corpus?: Uint8Array;
}

/** Options with defaults, as the device takes them. */
export interface Stream {
  /** By which sequences are drawn. */
  readonly seed: number;
  /** Of 65,536 sequences, those with one digit. */
  readonly digitLimit: number;
  /** Of 65,536 sequences, those with digits under keys. */
  readonly keyedLimit: number;
  /** log2 of the fewest plantings. */
  readonly leastPower: number;
  /** Powers of two from there to the most. */
  readonly powers: number;
  /** Bytes of a text. */
  readonly corpus?: Uint8Array;
}

const ACTION = "plan stream";

/** Places that a planting has at least, so that it does not fill all of them. */
const LEAST_SLOT = 4;

/**
 * Checks options and fills in defaults.
 *
 * @param size `context`: N.
 * @throws {TypeError} when something is of an unknown kind.
 * @throws {RangeError} one line, when an option is out of range or the corpus is shorter than a
 * sequence.
 */
export function fillStream(options: StreamOptions, { context }: { context: number }): Stream {
  requireRecord(ACTION, "the stream", options);
  requireWhole(ACTION, "context", context, { least: 8, most: 2 ** 24 });
  const { seed = 1, digitShare = 0, keyedShare = 0, corpus } = options;
  const mostPower = Math.floor(Math.log2(context / 8));
  const { plantings = [Math.min(4, 2 ** Math.max(0, mostPower - 1)), 2 ** mostPower] } = options;
  requireWhole(ACTION, "seed", seed, { least: 0, most: 2 ** 32 - 1 });
  for (const [name, share] of Object.entries({ digitShare, keyedShare })) {
    if (typeof share === "number" && share >= 0 && share <= 1) continue;
    throw new RangeError(`${ACTION}: ${name} ${show(share)} is not a number from 0 to 1`);
  }
  if (digitShare + keyedShare > 1 + 1e-9) {
    throw new RangeError(
      `${ACTION}: digitShare ${digitShare} and keyedShare ${keyedShare} are more than 1 together`,
    );
  }
  const digitLimit = Math.round(digitShare * 65536);
  const keyedLimit = Math.min(Math.round(keyedShare * 65536), 65536 - digitLimit);
  const [least, most] = plantings;
  for (const count of [least, most]) {
    if (Number.isInteger(Math.log2(count)) && count >= 1) continue;
    throw new RangeError(`${ACTION}: plantings ${show(count)} is not a power of two`);
  }
  const isNeedle = digitLimit + keyedLimit > 0;
  if (isNeedle && (least >= most || most * LEAST_SLOT > context)) {
    throw new RangeError(
      `${ACTION}: plantings ${least} to ${most}: the most is above the fewest and at most ` +
        `${Math.floor(context / LEAST_SLOT)} at context ${context}`,
    );
  }
  if (corpus !== undefined) {
    if (!(corpus instanceof Uint8Array)) {
      throw new TypeError(`${ACTION}: the corpus is ${show(corpus)}, not bytes`);
    }
    if (corpus.length <= context) {
      throw new RangeError(
        `${ACTION}: the corpus has ${corpus.length} bytes, a sequence needs ${context + 1}`,
      );
    }
  }
  const leastPower = Math.log2(least);
  const powers = Math.max(1, Math.log2(most) - leastPower);
  return { seed, digitLimit, keyedLimit, leastPower, powers, corpus };
}
