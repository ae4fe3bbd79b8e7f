/**
 * A trained model as a run tests it: read from a file before a device is open, with the cells of
 * its test.
 *
 * @module
 */
import { showExcess } from "../../kernels/gpu/bytes.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { UsageError } from "../errors.ts";
import { hashJson, sha256 } from "../result/digest.ts";
import { describeFileError } from "../result/file_errors.ts";
import { checkpointModel, loadCheckpoint } from "./checkpoint.ts";
import type { AnswerOptions } from "./dense_models.ts";
import { DIGITS } from "./law.ts";
import {
  leastPrompt,
  MOST_KEYS,
  type NeedleModel,
  type NeedleProtocol,
  PAPER_PROTOCOL,
} from "./needle_model.ts";
import type { NeedleOptions } from "./options.ts";
import { namesWeights, parseWeights, placeWeights } from "./trained_weights.ts";

/** Largest file of weights. */
const LIMIT_BYTES = 2 ** 31;

/** Cells of a test without the seed of its prompts. */
export type AnswerCells = Omit<NeedleProtocol, "seed">;

/** A model of a file. */
export interface TestedModel {
  readonly name: string;
  /** Of the file; of a JSON document, of its values with sorted keys. */
  readonly sha256: string;
  readonly heads: number;
  readonly headDim: number;
  /** Characters of the longest prompt. Default: no limit. */
  readonly longest?: number;
  /** Cells of its own evaluation: one needle, and several with keys. */
  readonly cells: readonly AnswerCells[];
  /** Puts it on a device. */
  readonly place: (
    gpu: Gpu,
    options: AnswerOptions & { readonly dtype: DType },
  ) => { readonly model: NeedleModel; readonly destroy: () => void };
}

/**
 * Reads a model: weights that `train` kept, or the JSON document of `checkpoint.ts`.
 *
 * @throws {UsageError} one line, when it cannot be read, is damaged, or of another form.
 */
export async function openModel(path: string): Promise<TestedModel> {
  if (!namesWeights(path)) {
    const checkpoint = await loadCheckpoint(path);
    const { name, heads, headDim } = checkpoint;
    const { contexts, depths } = PAPER_PROTOCOL;
    return {
      name,
      sha256: await hashJson(checkpoint),
      heads,
      headDim,
      cells: [{ contexts, depths }],
      place: () => ({ model: checkpointModel(checkpoint), destroy: () => {} }),
    };
  }
  const bytes = await readWeights(path);
  const { name, model, protocol: { keyed, ...one }, tensors } = parseWeights(bytes, path);
  const { heads, width, context } = model;
  return {
    name,
    sha256: await sha256(bytes),
    heads,
    headDim: width / heads,
    longest: context,
    cells: keyed ? [one, keyed] : [one],
    place: (gpu, { dtype, ...options }) => {
      const placed = placeWeights(gpu, { model, tensors }, { dtype });
      return { model: placed.needleModel(name, options), destroy: () => placed.destroy() };
    },
  };
}

async function readWeights(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const fail = (reason: string, cause?: unknown) =>
    new UsageError(`checkpoint ${path}: ${reason}`, { cause });
  try {
    const { isDirectory, size } = await Deno.stat(path);
    if (isDirectory) throw fail("it is a folder, a file was expected");
    if (size >= LIMIT_BYTES) {
      const shown = showExcess(size, LIMIT_BYTES);
      throw fail(`it has ${shown.bytes}, the limit is ${shown.limit}`);
    }
    return await Deno.readFile(path);
  } catch (error) {
    throw error instanceof UsageError ? error : fail(describeFileError(error), error);
  }
}

/**
 * The cells that a run tests: those of the model's file, as far as options do not say otherwise.
 *
 * @throws {UsageError} one line that names the value and the limit.
 *
 * @example
 * ```ts
 * import { chooseCells } from "./tested_model.ts";
 * import assert from "node:assert/strict";
 * const model = { name: "x", longest: 64, cells: [{ contexts: [32, 64], depths: [0, 50] }] };
 * assert.deepEqual(chooseCells(model, { contexts: [32], keys: 4 }), [
 *   { contexts: [32], depths: [0, 50] },
 *   { contexts: [32], depths: [0, 50], keys: 4 },
 * ]);
 * assert.throws(() => chooseCells(model, { contexts: [128] }), /128 is above the 64 characters of x/);
 * ```
 */
export function chooseCells(
  { name, longest = Infinity, cells }: Pick<TestedModel, "name" | "longest" | "cells">,
  options: Pick<NeedleOptions, "depths" | "trials" | "keys"> & {
    readonly contexts?: readonly number[];
  },
): AnswerCells[] {
  const { contexts, depths, trials, keys } = options;
  const fail = (reason: string): never => {
    throw new UsageError(`retrieval: ${reason}`);
  };
  if (trials !== undefined && trials % DIGITS !== 0) {
    fail(`trials ${trials} is not a multiple of ${DIGITS}: one prompt or more for each digit`);
  }
  if (keys !== undefined && keys > MOST_KEYS) fail(`keys ${keys} is above ${MOST_KEYS}`);
  const [one] = cells;
  const keyed = cells.find((own) => own.keys !== undefined);
  const chosen = keys === undefined ? cells : [one, { ...keyed ?? one, keys }];
  return chosen.map((own) => {
    const found = {
      ...own,
      contexts: [...new Set(contexts ?? own.contexts)].sort((a, b) => a - b),
      depths: [...new Set(depths ?? own.depths)],
      ...(trials !== undefined && { prompts: trials / DIGITS }),
    };
    const least = leastPrompt(own.keys);
    for (const context of found.contexts) {
      if (context > longest) {
        fail(`context ${context} is above the ${longest} characters of ${name}`);
      }
      if (context < least) {
        const what = own.keys === undefined ? "a needle" : `${own.keys} needles with keys`;
        fail(`context ${context} is below the ${least} characters of a prompt with ${what}`);
      }
    }
    for (const depth of found.depths) {
      if (!(depth >= 0 && depth <= 100)) fail(`depth ${depth} is not a percentage from 0 to 100`);
    }
    return found;
  });
}
