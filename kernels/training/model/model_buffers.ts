/**
 * Buffers of a model: what one may take on a device, and which option makes it smaller.
 *
 * @module
 */
import { bytesPerElement } from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Model } from "./model_options.ts";

/** What a buffer is for. */
export type BufferGroup = "weights" | "optimizer" | "kept" | "scratch" | "data";

/** A buffer of the model. */
export interface TrainingBuffer {
  /** Unique in the model. */
  readonly name: string;
  /** Its size. */
  readonly bytes: number;
  /** What it is for. */
  readonly group: BufferGroup;
}

/** Fewer rows of logits at a time, where the device's buffers are small. */
export function fitChunks(model: Model, most: number): Model {
  const fitting = Math.floor(most / 4 / model.vocabulary / 128) * 128;
  return { ...model, chunkRows: Math.min(model.chunkRows, Math.max(128, fitting)) };
}

/** The widest matrices of a batch, which decide whether products and attention can be planned. */
export function rowBuffers({ rows, width, ffn, dtype }: Model): TrainingBuffer[] {
  const size = bytesPerElement(dtype);
  return [
    { name: "layer 0 x", bytes: rows * width * 4, group: "kept" },
    { name: "qkv", bytes: 3 * rows * width * size, group: "kept" },
    { name: "gate-up", bytes: 2 * rows * ffn * size, group: "kept" },
  ];
}

/** Refuses a buffer beyond the device's limit, and says which option makes it smaller. */
export function requireBuffers(
  buffers: readonly TrainingBuffer[],
  { model, most }: { model: Model; most: number },
): void {
  const found = buffers.find(({ bytes }) => bytes > most);
  if (!found) return;
  const { bytes, limit } = showExcess(found.bytes, most);
  throw new RangeError(
    `plan training: ${found.name} needs ${bytes}; the device's limit of one buffer is ` +
      `${limit}: a smaller ${sizeOf(found, model)} would fit`,
  );
}

/** Which option decides the size of a buffer. */
function sizeOf({ name, group }: TrainingBuffer, { chunkRows, rows, batch }: Model): string {
  if (name.startsWith("logit")) {
    return chunkRows > 128 && chunkRows < rows ? "chunkRows" : "vocabulary";
  }
  if (group === "weights" || group === "optimizer") {
    return /^(embedding|head) /.test(name)
      ? "vocabulary or width"
      : name.includes("attention")
      ? "width"
      : "width or ffn";
  }
  if (name === "corpus") return "corpus";
  if (name === "tokens" || name === "targets") return "accumulate, batch or context";
  return batch > 1 ? "batch or context" : "context";
}
