/**
 * What `draw_stream.wgsl` draws, on the host: for tests, held-out sequences, and a look at the
 * data.
 *
 * @module
 */
import { pcg } from "../../gpu/random.ts";
import { fillStream, type StreamOptions } from "./stream_options.ts";

/** One of the numbers that belong to `key`. */
function pick(key: number, number: number): number {
  return pcg((pcg(key) + number) >>> 0);
}

/** A number from 2^least to 2^(least + powers) - 1 whose logarithm is about uniform. */
function logUniform(key: number, least: number, powers: number): number {
  const power = least + pick(key, 0) % powers;
  return 2 ** power + (pick(key, 1) & (2 ** power - 1));
}

function letter(i: number): number {
  return i < 26 ? 65 + i : 97 + i - 26;
}

function alphanumeric(i: number): number {
  return i < 10 ? 48 + i : letter(i - 10);
}

const STRIDES = [1, 5, 7, 9, 11, 15, 17, 19];

function needleByte(
  draw: number,
  i: number,
  { context, keyed, leastPower, powers }: {
    context: number;
    keyed: boolean;
    leastPower: number;
    powers: number;
  },
): number {
  const count = logUniform(pick(draw, 2), leastPower, powers);
  const slot = Math.floor(context / count);
  const j = Math.floor(i / slot);
  const length = keyed ? 3 : 2;
  const place = i - j * slot - pick(pick(draw, 3), j) % (slot - length + 1);
  if (j >= count || place < 0 || place >= length) {
    return alphanumeric(pcg((pick(draw, 4) + i) >>> 0) % 62);
  }
  if (!keyed) return place === 0 ? 61 : 48 + pick(draw, 5) % 10;
  const keys = logUniform(pick(draw, 6), 1, 4);
  const key = pick(pick(draw, 7), j) % keys;
  if (place === 0) {
    const first = pick(draw, 8);
    return letter((first % 52 + key * STRIDES[first >>> 29]) % 52);
  }
  return place === 1 ? 58 : 48 + pick(pick(draw, 9), key) % 10;
}

interface Word {
  readonly key: number;
  readonly length: number;
  readonly capital: boolean;
  readonly attribute: number;
}

const NAMES = 16;
const COMMON = 255;

function commonWord(id: number): Word {
  const key = pick(1729, id);
  return { key, length: 2 + key % 6, capital: false, attribute: COMMON };
}

function nextWord(draw: number, line: number, t: number, attribute: number): Word {
  if (attribute < COMMON) return commonWord(attribute);
  const u = pick(line, t);
  if ((u & 3) > 0) return commonWord(logUniform(u, 0, 8) - 1);
  const key = pick(pick(draw, 10), (u >>> 2) % NAMES);
  return { key, length: 4 + key % 4, capital: true, attribute: pick(key, 20) % COMMON };
}

const CONSONANTS = [..."bcdfghklmnprstvw"].map((one) => one.charCodeAt(0));
const VOWELS = [..."aeiou"].map((one) => one.charCodeAt(0));

function spell({ key, capital }: Word, at: number): number {
  const u = pick(key, at);
  const byte = ((key >>> 16) + at) % 2 === 1 ? VOWELS[u % 5] : CONSONANTS[u % 16];
  return capital && at === 0 ? byte - 32 : byte;
}

function lineKey(draw: number, line: number): number {
  const lines = pick(draw, 11);
  const u = pick(lines, line);
  if (line === 0 || (u & 3) > 0) return pcg(u);
  const back = logUniform(u, 0, 32 - Math.clz32(line));
  return pcg(pick(lines, line - Math.min(back, line)));
}

function languageLine(draw: number, line: number): Uint8Array {
  const bytes = new Uint8Array(64);
  const key = lineKey(draw, line);
  let [t, at] = [0, 0];
  let word = nextWord(draw, key, t, COMMON);
  for (let p = 0; p < 63; p++) {
    if (at < word.length) bytes[p] = spell(word, at++);
    else {
      bytes[p] = 32;
      word = nextWord(draw, key, ++t, word.attribute);
      at = 0;
    }
  }
  bytes[63] = 10;
  return bytes;
}

/** What a drawn sequence is. */
export type SequenceKind = "digit" | "keyed" | "language" | "corpus";

/** A drawn sequence. */
export interface DrawnSequence {
  /** What it is. */
  readonly kind: SequenceKind;
  /** `N + 1` bytes: tokens, and the target of the last one. */
  readonly bytes: Uint8Array;
}

/**
 * The sequences of a step.
 *
 * @param options of the stream, as the device draws it.
 * @param which `context`: N; `step`: number of the step, from 0; `sequences`: how many.
 * @throws {RangeError} one line, when an option is out of range.
 *
 * @example
 * ```ts
 * import { drawSequences } from "./stream_twin.ts";
 * import assert from "node:assert/strict";
 * const [{ bytes }] = drawSequences({ digitShare: 1 }, { context: 1024, step: 0, sequences: 1 });
 * const needles = new TextDecoder().decode(bytes).match(/=\d/g)!;
 * assert.equal(new Set(needles).size, 1);
 * ```
 */
export function drawSequences(
  options: StreamOptions,
  { context, step, sequences }: { context: number; step: number; sequences: number },
): DrawnSequence[] {
  const stream = fillStream(options, { context });
  const { corpus, digitLimit, keyedLimit, seed } = stream;
  return Array.from({ length: sequences }, (_, sequence): DrawnSequence => {
    const draw = pcg((pcg((pcg(seed) + step) >>> 0) + sequence) >>> 0);
    const of = pick(draw, 0) & 65535;
    const needle = { context, leastPower: stream.leastPower, powers: stream.powers };
    if (of < digitLimit + keyedLimit) {
      const keyed = of >= digitLimit;
      const bytes = Uint8Array.from(
        { length: context + 1 },
        (_, i) => needleByte(draw, i, { ...needle, keyed }),
      );
      return { kind: keyed ? "keyed" : "digit", bytes };
    }
    if (corpus) {
      const start = pick(draw, 1) % (corpus.length - context);
      return { kind: "corpus", bytes: corpus.slice(start, start + context + 1) };
    }
    const bytes = new Uint8Array(Math.floor(context / 64) * 64 + 64);
    for (let line = 0; line * 64 < bytes.length; line++) {
      bytes.set(languageLine(draw, line), line * 64);
    }
    return { kind: "language", bytes: bytes.subarray(0, context + 1) };
  });
}
