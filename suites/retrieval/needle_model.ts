/**
 * The interface for trained models: a digit passkey in alphanumeric filler, read at the last position.
 *
 * Protocol (the paper's Fig. 4): random alphanumeric characters; at the given depth the needle `=d`;
 * the prompt ends with the question `=`. The answer is the digit, of ten, whose token has the largest
 * logit at the last position. Each cell is the mean over the ten digits; chance is 10 %. Paper:
 * depths 0, 15, 30, 50, 70, 85, 100 %, contexts 4K to 96K characters.
 *
 * A model is anything that gives logits for a text; {@linkcode loadCheckpoint} makes one from a file.
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
}

/** The settings of a test of a model. */
export interface NeedleProtocol {
  /** Characters of the prompt. */
  readonly contexts: readonly number[];
  /** Percent. */
  readonly depths: readonly number[];
  readonly seed: number;
}

/** One cell: ten prompts, one for each digit. */
export interface NeedleCell {
  readonly context: number;
  readonly depth: number;
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
  if (!Number.isInteger(context) || context < 4) {
    throw new UsageError(`needle prompt: context ${context} is not a whole number from 4 on`);
  }
  if (!(depth >= 0 && depth <= 100)) {
    throw new UsageError(`needle prompt: depth ${depth} is not a percentage from 0 to 100`);
  }
  const count = context - 3;
  const key = pcg((seed + digit) >>> 0);
  const filler = Array.from(
    { length: count },
    (_, i) => ALPHANUMERIC[pcg((key + i) >>> 0) % ALPHANUMERIC.length],
  );
  const at = Math.round(depth / 100 * count);
  return `${filler.slice(0, at).join("")}=${digit}${filler.slice(at).join("")}=`;
}

/**
 * Runs the protocol.
 *
 * @throws {UsageError} when a model gives anything but ten finite logits.
 */
export async function evaluateNeedles(
  model: NeedleModel,
  protocol: NeedleProtocol = PAPER_PROTOCOL,
): Promise<NeedleCell[]> {
  const cells: NeedleCell[] = [];
  for (const context of protocol.contexts) {
    for (const depth of protocol.depths) {
      let correct = 0;
      for (let digit = 0; digit < DIGITS; digit++) {
        const text = needlePrompt(digit, { context, depth, seed: protocol.seed });
        const logits = Array.from(await model.digitLogits(text));
        if (logits.length !== DIGITS || !logits.every(Number.isFinite)) {
          throw new UsageError(
            `evaluate ${model.name}: ${logits.filter(Number.isFinite).length} finite logits of ` +
              `${logits.length} for the digits, ${DIGITS} are needed`,
          );
        }
        // An answer counts only if it is the single best one.
        const best = logits.every((logit, other) => other === digit || logit < logits[digit]);
        if (best) correct++;
      }
      cells.push({ context, depth, correct, trials: DIGITS });
    }
  }
  return cells;
}
