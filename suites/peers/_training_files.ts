/**
 * The files that a peer which trains is given, for tests.
 *
 * @module
 */
import { join } from "node:path";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { saveCheckpoint } from "../../kernels/training/checkpoint/checkpoint.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import type { TrainingRequest } from "../plan/training_peer.ts";

/** Writes a model's checkpoint and its batches into a folder. */
export async function writeTrainingFiles(
  gpu: Gpu,
  model: TrainingModel,
  { folder, tokens }: { folder: string; tokens: readonly Uint32Array<ArrayBuffer>[] },
): Promise<TrainingRequest> {
  const [checkpoint, file] = ["start.safetensors", "tokens.u32"].map((one) => join(folder, one));
  const pieces: BlobPart[] = [];
  for await (const piece of saveCheckpoint(gpu, model)) pieces.push(piece);
  await Deno.writeFile(checkpoint, new Blob(pieces).stream());
  await Deno.writeFile(file, new Blob([...tokens]).stream());
  return { model: model.plan.model, checkpoint, tokens: file, batches: tokens.length };
}
