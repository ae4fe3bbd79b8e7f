/**
 * What a checkpoint is of, and whether it is damaged, without a model or a device.
 *
 * @module
 */
import { requireWhole, show } from "../../gpu/require.ts";
import { modelParameters } from "../model/parameters.ts";
import {
  type CheckpointSource,
  type Header,
  readChecksums,
  readHeader,
  requireFormat,
  requireTensors,
  requireUndamaged,
} from "./checkpoint.ts";

/** Sizes of the model that a checkpoint is of. */
export interface CheckpointModel {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
  readonly vocabulary: number;
}

/** What a checkpoint is. */
export interface CheckpointSummary {
  readonly model: CheckpointModel;
  /** CRC-32 of every tensor, in the order of their offsets: equal ones, equal checkpoints. */
  readonly checksums: Uint32Array<ArrayBuffer>;
}

const SIZES = ["layers", "width", "heads", "ffn", "vocabulary"] as const;

/**
 * Reads a whole checkpoint and checks it.
 *
 * @throws {RangeError} one line, when the file is no checkpoint, or is damaged.
 */
export async function inspectCheckpoint(source: CheckpointSource): Promise<CheckpointSummary> {
  const header = await readHeader(source);
  requireFormat(header);
  const model = readSizes(header);
  requireTensors(header.tensors, modelParameters(model));
  const names = [...header.tensors].filter(([name]) => name !== "checksums")
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]).map(([name]) => name);
  const checksums = await readChecksums(header, source, names.length);
  await requireUndamaged(header, source, { names, checksums });
  return { model, checksums: new Uint32Array(checksums) };
}

function readSizes({ metadata, tensors }: Header): CheckpointModel {
  const action = "load checkpoint";
  const { model: text } = metadata;
  let sizes: Record<string, unknown>;
  try {
    sizes = JSON.parse(text ?? "");
  } catch {
    throw new RangeError(`${action}: the file's model is ${show(text)}, not sizes`);
  }
  for (const name of SIZES) {
    // A layer has more than one tensor: a wrong number of them is refused before they are listed.
    const most = name === "layers" ? tensors.size : 2 ** 24;
    requireWhole(action, `${name} of the file`, sizes?.[name], { most });
  }
  return sizes as unknown as CheckpointModel;
}
