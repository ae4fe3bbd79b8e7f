/**
 * The interface for trained models: a digit passkey in alphanumeric filler, read at the last
 * position.
 *
 * Protocol (the paper's Fig. 4): random alphanumeric characters; at the given depth the needle
 * `=d`; the prompt ends with the question `=`. The answer is the digit, of ten, whose token has the
 * largest logit at the last position. Each cell is the mean over the ten digits; chance is 10 %.
 * Paper: depths 0, 15, 30, 50, 70, 85, 100 %, contexts 4K to 96K characters.
 *
 * A model is anything that gives logits for a text; `checkpoint.ts` makes one from a file, and
 * `trained_weights.ts` from the weights of a model that `train` kept.
 *
 * @module
 */
import { pcg } from "../../kernels/gpu/random.ts";
import { UsageError } from "../errors.ts";
import { DIGITS } from "./law.ts";

/** A language model as the needle test sees it. */
export interface NeedleModel {
  readonly name: string;
  /** Logits of the tokens `0` to `9` as the next token after the text. */
  readonly digitLogits: (text: string) => Promise<ArrayLike<number>> | ArrayLike<number>;
  /** The same for many texts at once, where that is faster. Default: one after the other. */
  readonly digitLogitsOf?: (texts: readonly string[]) => Promise<readonly ArrayLike<number>[]>;
}

/** The settings of a test of a model. */
export interface NeedleProtocol {
  /** Characters of the prompt. */
  readonly contexts: readonly number[];
  /** Percent. */
  readonly depths: readonly number[];
  readonly seed: number;
  /** Prompts for each digit. Default 1. */
  readonly prompts?: number;
  /** Needles with distinct keys, of which one is asked for; absent: one needle without a key. */
  readonly keys?: number;
}

/** A prompt of a protocol. */
export interface NeedlePrompt {
  readonly context: number;
  readonly depth: number;
  readonly digit: number;
  readonly text: string;
}

/** One cell: prompts for each of the ten digits. */
export interface NeedleCell {
  readonly context: number;
  readonly depth: number;
  /** Needles with distinct keys; absent: one needle without a key. */
  readonly keys?: number;
  readonly correct: number;
  readonly trials: number;
}

/** The paper's depths and contexts. */
export const PAPER_PROTOCOL: NeedleProtocol = {
  contexts: [4096, 8192, 16384, 32768, 65536, 98304],
  depths: [0, 15, 30, 50, 70, 85, 100],
  seed: 1010,
};

const ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LETTERS = ALPHANUMERIC.slice(DIGITS);

/** Most needles with distinct keys. */
export const MOST_KEYS = LETTERS.length;

/** Characters that a prompt has at least: one needle without a key, or several with keys. */
export function leastPrompt(keys?: number): number {
  return keys === undefined ? 4 : 3 * keys + 3;
}

/**
 * A prompt of exactly `context` characters.
 *
 * @throws {UsageError} when the context is too short or the depth is not a percentage.
 *
 * @example
 * ```ts
 * import { needlePrompt } from "./needle_model.ts";
 * import assert from "node:assert/strict";
 * const text = needlePrompt(7, { context: 16, depth: 0, seed: 1 });
 * assert.match(text, /^=7[0-9A-Za-z]{13}=$/);
 * ```
 */
export function needlePrompt(
  digit: number,
  options: { context: number; depth: number; seed: number },
): string {
  const { context, depth, seed } = options;
  requirePrompt({ context, depth, least: leastPrompt() });
  const count = context - 3;
  const filler = fillerOf(pcg((seed + digit) >>> 0), count);
  const at = Math.round(depth / 100 * count);
  return `${filler.slice(0, at)}=${digit}${filler.slice(at)}=`;
}

/**
 * A prompt of exactly `context` characters with several needles `K:d`, whose keys K are distinct
 * letters. The one that is asked for lies at the depth, the others anywhere; the prompt ends with
 * its `K:`.
 *
 * @throws {UsageError} when the context is too short, the depth is not a percentage, or there are
 * more keys than letters.
 *
 * @example
 * ```ts
 * import { keyedPrompt } from "./needle_model.ts";
 * import assert from "node:assert/strict";
 * const text = keyedPrompt(7, { context: 64, depth: 50, seed: 1, keys: 4 });
 * assert.equal(text.length, 64);
 * assert.equal(text.match(/[A-Za-z]:[0-9]/g)!.length, 4);
 * assert.ok(text.includes(`${text.slice(-2)}7`));
 * ```
 */
export function keyedPrompt(
  digit: number,
  options: { context: number; depth: number; seed: number; keys: number },
): string {
  const { context, depth, seed, keys } = options;
  if (!Number.isInteger(keys) || keys < 1 || keys > MOST_KEYS) {
    throw new UsageError(
      `needle prompt: ${keys} keys are not a whole number from 1 to ${MOST_KEYS}`,
    );
  }
  requirePrompt({ context, depth, least: leastPrompt(keys) });
  const count = context - 3 * keys - 2;
  const draw = pcg((seed + digit) >>> 0);
  const of = (number: number) => pcg((pcg((draw + 1) >>> 0) + number) >>> 0);
  const letters = [...LETTERS];
  const needles = Array.from({ length: keys }, (_, i) => {
    const [key] = letters.splice(of(3 * i) % letters.length, 1);
    // The first is the one that is asked for.
    return i === 0
      ? { key, digit, at: Math.round(depth / 100 * count) }
      : { key, digit: of(3 * i + 1) % DIGITS, at: of(3 * i + 2) % (count + 1) };
  });
  const filler = fillerOf(draw, count);
  let text = "";
  let from = 0;
  for (const { key, digit, at } of needles.toSorted((a, b) => a.at - b.at)) {
    text += `${filler.slice(from, at)}${key}:${digit}`;
    from = at;
  }
  return `${text}${filler.slice(from)}${needles[0].key}:`;
}

function requirePrompt(
  { context, depth, least }: { context: number; depth: number; least: number },
) {
  if (!Number.isInteger(context) || context < least) {
    throw new UsageError(
      `needle prompt: context ${context} is not a whole number from ${least} on`,
    );
  }
  if (!(depth >= 0 && depth <= 100)) {
    throw new UsageError(`needle prompt: depth ${depth} is not a percentage from 0 to 100`);
  }
}

function fillerOf(key: number, count: number): string {
  return Array.from(
    { length: count },
    (_, i) => ALPHANUMERIC[pcg((key + i) >>> 0) % ALPHANUMERIC.length],
  ).join("");
}

/** All prompts of a protocol, cell by cell. */
export function planPrompts(protocol: NeedleProtocol): NeedlePrompt[] {
  const { contexts, depths, prompts = 1, keys, seed } = protocol;
  return contexts.flatMap((context) =>
    depths.flatMap((depth) =>
      Array.from({ length: DIGITS * prompts }, (_, i): NeedlePrompt => {
        const digit = i % DIGITS;
        const own = { context, depth, seed: seed + i - digit };
        const text = keys === undefined
          ? needlePrompt(digit, own)
          : keyedPrompt(digit, { ...own, keys });
        return { context, depth, digit, text };
      })
    )
  );
}

/**
 * Runs the protocol.
 *
 * @param options `prompts`: those of the protocol, where they are known already.
 * @throws {UsageError} when a model gives anything but ten finite logits.
 */
export async function evaluateNeedles(
  model: NeedleModel,
  protocol: NeedleProtocol = PAPER_PROTOCOL,
  { prompts = planPrompts(protocol) }: { prompts?: readonly NeedlePrompt[] } = {},
): Promise<NeedleCell[]> {
  const { keys } = protocol;
  const all = await model.digitLogitsOf?.(prompts.map(({ text }) => text));
  const cells = new Map<
    string,
    { context: number; depth: number; correct: number; trials: number }
  >();
  for (const [i, { context, depth, digit, text }] of prompts.entries()) {
    const logits = Array.from(all ? all[i] : await model.digitLogits(text));
    if (logits.length !== DIGITS || !logits.every(Number.isFinite)) {
      throw new UsageError(
        `evaluate ${model.name}: ${logits.filter(Number.isFinite).length} finite logits of ` +
          `${logits.length} for the digits, ${DIGITS} are needed`,
      );
    }
    const name = `${context} ${depth}`;
    const cell = cells.get(name) ?? { context, depth, correct: 0, trials: 0 };
    cells.set(name, cell);
    cell.trials++;
    // An answer counts only if it is the single best one.
    if (logits.every((logit, other) => other === digit || logit < logits[digit])) cell.correct++;
  }
  return [...cells.values()].map((cell) => ({ ...cell, ...(keys !== undefined && { keys }) }));
}
