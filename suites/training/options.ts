/**
 * The options of the training suite.
 *
 * @module
 */
import { MOST_LAYERS } from "../../kernels/training/model/model_options.ts";
import { RECOMPUTE_MODES } from "../../kernels/training/attention/types.ts";
import type { Recompute } from "../../kernels/training/attention/types.ts";
import type { SuiteFlag } from "../suite.ts";

/** Sizes of a model, besides its vocabulary and context. */
export interface ModelSizes {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
}

/** Models that have a name. */
export const MODELS: Readonly<Record<string, ModelSizes>> = {
  paper: { layers: 30, width: 1024, heads: 8, ffn: 1536 },
  tiny: { layers: 2, width: 64, heads: 2, ffn: 96 },
};

/** Options of this suite alone; a profile's model settings keep what is left out. */
export interface TrainingOptions {
  readonly model?: ModelSizes;
  readonly vocabularies?: readonly number[];
  readonly recompute?: readonly Recompute[];
  readonly batch?: number;
  readonly accumulate?: number;
  /** File whose bytes are the tokens. */
  readonly corpus?: string;
  /** File of a checkpoint that models begin with. */
  readonly start?: string;
}

/** The same options as command-line flags. */
export const TRAINING_FLAGS: readonly (SuiteFlag & { readonly name: keyof TrainingOptions })[] = [
  {
    name: "model",
    flag: "model",
    value: "<sizes>",
    help: `${Object.keys(MODELS).join(", ")}, or layers×width×heads×ffn like 6x256x4x384`,
    parse: parseModel,
  },
  {
    name: "vocabularies",
    flag: "vocabulary",
    value: "<list>",
    help: "rows of embedding and head: 256 holds all bytes, 128256 is the paper's",
    parse: (text) => text.split(",").map((part) => parseCount(part)),
  },
  {
    name: "recompute",
    flag: "recompute",
    value: "<list>",
    help: `what the backward pass computes again: ${RECOMPUTE_MODES.join(", ")}`,
    parse: (text) => text.split(",").map(parseRecompute),
  },
  {
    name: "batch",
    flag: "batch",
    value: "<number>",
    help: "sequences that run at once",
    parse: (text) => parseCount(text),
  },
  {
    name: "accumulate",
    flag: "accumulate",
    value: "<number>",
    help: "batches whose gradients make one update",
    parse: (text) => parseCount(text),
  },
  {
    name: "corpus",
    flag: "corpus",
    value: "<file>",
    help: "text to train on, its bytes as they are; default: seeded random bytes",
    file: true,
    parse: (text) => text,
  },
  {
    name: "start",
    flag: "start",
    value: "<file>",
    help: "training checkpoint to begin with; default: seeded weights",
    file: true,
    parse: (text) => text,
  },
];

function parseModel(text: string): ModelSizes {
  const name = text.trim();
  if (Object.hasOwn(MODELS, name)) return MODELS[name];
  const sizes = name.split(/[x×]/);
  if (sizes.length !== 4) {
    const names = Object.keys(MODELS).join(", ");
    throw new RangeError(`"${text}" is none of ${names} and not like 6x256x4x384.`);
  }
  const [width, heads, ffn] = sizes.slice(1).map((size) => parseCount(size));
  return { layers: parseCount(sizes[0], { most: MOST_LAYERS }), width, heads, ffn };
}

function parseRecompute(text: string): Recompute {
  const found = RECOMPUTE_MODES.find((mode) => mode === text.trim());
  if (found) return found;
  throw new RangeError(`"${text}" is not one of ${RECOMPUTE_MODES.join(", ")}.`);
}

function parseCount(text: string, { most = 999_999_999 }: { most?: number } = {}): number {
  if (!/^[1-9]\d{0,8}$/.test(text.trim()) || Number(text) > most) {
    throw new RangeError(`"${text}" is not a whole number from 1 to ${most}.`);
  }
  return Number(text);
}
