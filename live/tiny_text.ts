/**
 * A text to learn from, made by code: sentences whose words are drawn at random, so that it is known
 * how well the best model can do.
 *
 * @module
 */
import { pcg } from "../kernels/gpu/random.ts";

/** A text and what can be known of it. */
export interface TinyText {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Nats of a byte, on average: no model of the sentences gets below. */
  readonly entropy: number;
}

const ADJECTIVES = ["old", "young", "quiet", "bright", "hungry", "gentle", "clever", "tired"];
const NOUNS = ["fox", "dog", "keeper", "sailor", "child", "farmer", "gull", "horse"];
const VERBS = ["sees", "follows", "greets", "warns", "carries", "finds", "watches", "calls"];
const PLACES = ["harbour", "meadow", "tower", "river", "garden", "market", "forest", "island"];

/** A sentence: words as they are, and lists of which one is drawn, each as likely as the others. */
const SENTENCE: readonly (string | readonly string[])[] = [
  ...["the ", ADJECTIVES, " ", NOUNS, " ", VERBS, " the ", ADJECTIVES, " ", NOUNS],
  ...[" in the ", PLACES, ". "],
];

const mean = (words: readonly string[]) =>
  words.reduce((sum, { length }) => sum + length, 0) / words.length;

/** Of a sentence, in nats: its draws are independent, and its words tell them all. */
const SENTENCE_NATS = SENTENCE.reduce(
  (sum, part) => sum + (typeof part === "string" ? 0 : Math.log(part.length)),
  0,
);

/** Of a sentence, on average. */
const SENTENCE_BYTES = SENTENCE.reduce(
  (sum, part) => sum + (typeof part === "string" ? part.length : mean(part)),
  0,
);

/**
 * A text of at least so many bytes, the same for the same seed.
 *
 * @example
 * ```ts
 * import { tinyText } from "./tiny_text.ts";
 * import assert from "node:assert/strict";
 * const { bytes, entropy } = tinyText(1000);
 * assert.ok(bytes.length >= 1000 && entropy > 0.2 && entropy < 0.3);
 * ```
 */
export function tinyText(leastBytes: number, seed = 1): TinyText {
  const sentences: string[] = [];
  for (let length = 0, draw = 0; length < leastBytes; length += sentences.at(-1)!.length) {
    const words = SENTENCE.map((part) =>
      typeof part === "string" ? part : part[pcg((seed + draw++) >>> 0) % part.length]
    );
    sentences.push(words.join(""));
  }
  return {
    bytes: new TextEncoder().encode(sentences.join("")),
    entropy: SENTENCE_NATS / SENTENCE_BYTES,
  };
}
