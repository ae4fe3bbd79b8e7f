/**
 * What models are trained on: bytes, each a token.
 *
 * @module
 */
import { pcg } from "../../kernels/gpu/random.ts";
import { errorLine, UsageError } from "../errors.ts";
import { sha256 } from "../result/digest.ts";
import type { TrainingRecord } from "../result/result_schema.ts";
import { MOST_CORPUS_BYTES, type PlannedStep } from "./plan_training.ts";

/** Bytes to draw batches from. */
export interface StepData {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly record: NonNullable<TrainingRecord["data"]>;
}

/** A corpus that was read before a device was opened. */
export interface Corpus {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Reads the beginning of a corpus.
 *
 * @throws {UsageError} one line, when it cannot be read or is empty.
 */
export async function readCorpus(name: string): Promise<Corpus> {
  try {
    using file = await Deno.open(name);
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(size, MOST_CORPUS_BYTES));
    let at = 0;
    while (at < bytes.length) {
      const count = await file.read(bytes.subarray(at));
      if (count === null) break;
      at += count;
    }
    if (at === 0) throw new UsageError(`corpus ${name} is empty`);
    return { name, bytes: bytes.subarray(0, at) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`corpus ${name} cannot be read: ${errorLine(error)}`);
  }
}

/** Why a corpus cannot train a model; undefined if it can. */
export function refuseCorpus(
  { name, bytes }: Corpus,
  { context, vocabulary }: { readonly context: number; readonly vocabulary: number },
): string | undefined {
  if (bytes.length <= context) {
    return `corpus ${name} has ${bytes.length} bytes, a sequence needs ${context + 1}`;
  }
  const largest = bytes.reduce((most, byte) => Math.max(most, byte), 0);
  if (largest < vocabulary) return undefined;
  return `corpus ${name} has byte ${largest}, the vocabulary ends at ${vocabulary - 1}: ` +
    `a vocabulary of ${Math.ceil((largest + 1) / 8) * 8} holds it`;
}

/** The data of a case: the corpus, or seeded bytes that are the same on every machine. */
export async function dataOf(
  { options: { vocabulary }, corpusBytes }: Pick<PlannedStep, "options" | "corpusBytes">,
  { corpus, seed }: { readonly corpus?: Corpus; readonly seed: number },
): Promise<StepData> {
  const bytes = corpus?.bytes ?? seededData({ bytes: corpusBytes, vocabulary, seed });
  const kind = corpus ? "corpus" : "seeded";
  return { bytes, record: { kind, bytes: bytes.length, digest: await sha256(bytes) } };
}

/** Seeded bytes below the vocabulary. */
export function seededData(
  { bytes, vocabulary, seed }: { bytes: number; vocabulary: number; seed: number },
): Uint8Array<ArrayBuffer> {
  const first = pcg(seed);
  const most = Math.min(256, vocabulary);
  return Uint8Array.from({ length: bytes }, (_, i) => (pcg((first + i) >>> 0) >>> 8) % most);
}
