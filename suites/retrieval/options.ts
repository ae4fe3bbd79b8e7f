/**
 * The options of the retrieval suite.
 *
 * @module
 */
import type { SuiteFlag } from "../suite.ts";

/** Options of this suite alone. */
export interface NeedleOptions {
  /** Percent of the context before the needle. */
  readonly depths?: readonly number[];
  /** μ: how much planting adds to the needle's logit. */
  readonly margins?: readonly number[];
  /** Trials of each cell. */
  readonly trials?: number;
  /** File of a trained model, whose answers are tested instead of the mechanism. */
  readonly checkpoint?: string;
  /** For a trained model: needles with distinct keys, of which one is asked for. */
  readonly keys?: number;
}

/** The same options as command-line flags. */
export const NEEDLE_FLAGS: readonly (SuiteFlag & { readonly name: keyof NeedleOptions })[] = [
  {
    name: "depths",
    flag: "depth",
    value: "<list>",
    help: "percent of the context before the needle",
    parse: parseNumbers,
  },
  {
    name: "margins",
    flag: "margin",
    value: "<list>",
    help: "logit margins of the needle",
    parse: parseNumbers,
  },
  {
    name: "trials",
    flag: "trials",
    value: "<number>",
    help: "trials of each cell; with --checkpoint a multiple of ten",
    parse: parseCount,
  },
  {
    name: "checkpoint",
    flag: "checkpoint",
    value: "<file>",
    help: "test the answers of a trained model instead, its .safetensors or JSON",
    file: true,
    decides: true,
    parse: (text) => text,
  },
  {
    name: "keys",
    flag: "keys",
    value: "<number>",
    help: "with --checkpoint: needles with keys, one asked for; default: as its file says",
    parse: parseCount,
  },
];

function parseNumbers(text: string): number[] {
  return text.split(",").map((part) => {
    const value = Number(part);
    if (part.trim() === "" || !Number.isFinite(value)) {
      throw new RangeError(`"${part}" is not a finite number.`);
    }
    return value;
  });
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text.trim())) {
    throw new RangeError(`"${text}" is not a whole number from 1 to 999999999.`);
  }
  return Number(text);
}
