/**
 * The checkpoint that models begin with, where a run names one.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import {
  type CheckpointSource,
  loadCheckpoint,
} from "../../kernels/training/checkpoint/checkpoint.ts";
import {
  type CheckpointModel,
  inspectCheckpoint,
} from "../../kernels/training/checkpoint/inspect_checkpoint.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import { errorLine, UsageError } from "../errors.ts";
import { sha256 } from "../result/digest.ts";

/** A checkpoint that was read and is whole. */
export interface Start {
  readonly name: string;
  readonly model: CheckpointModel;
  /** SHA-256 of the checksums of its tensors. */
  readonly digest: string;
}

/**
 * Reads a checkpoint.
 *
 * @throws {UsageError} one line, when it cannot be read, is no checkpoint, or is damaged.
 */
export async function readStart(name: string): Promise<Start> {
  try {
    const { model, checksums } = await inspectCheckpoint(await fileSource(name));
    return { name, model, digest: await sha256(checksums) };
  } catch (error) {
    throw new UsageError(
      `checkpoint ${name}: ${errorLine(error).replace(/^load checkpoint: /, "")}`,
    );
  }
}

/** Why a checkpoint does not fit a model; undefined if it does. */
export function refuseStart({ name, model }: Start, wanted: CheckpointModel): string | undefined {
  const sizes = Object.keys(model) as (keyof CheckpointModel)[];
  const other = sizes.find((size) => model[size] !== wanted[size]);
  return other &&
    `checkpoint ${name} is of a model with ${other} ${model[other]}, the run's has ${
      wanted[other]
    }`;
}

/**
 * Replaces a model's weights, moments and step state; its data may be others than the checkpoint's.
 */
export async function loadStart(gpu: Gpu, model: TrainingModel, { name }: Start): Promise<void> {
  await loadCheckpoint(gpu, { ...model, sampler: undefined }, await fileSource(name));
}

async function fileSource(name: string): Promise<CheckpointSource> {
  const { size } = await Deno.stat(name);
  return {
    size,
    read: async (offset, length) => {
      using file = await Deno.open(name);
      await file.seek(offset, Deno.SeekMode.Start);
      const bytes = new Uint8Array(length);
      let at = 0;
      while (at < length) {
        const count = await file.read(bytes.subarray(at));
        if (count === null) break;
        at += count;
      }
      return bytes.subarray(0, at);
    },
  };
}
