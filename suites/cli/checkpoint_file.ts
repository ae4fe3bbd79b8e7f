/**
 * The checkpoint of a training run in its output folder: one file, replaced as a whole.
 *
 * @module
 */
import { type CheckpointStore, unitOfCheckpoint } from "../experiments/train_unit.ts";
import { asOutputError } from "../result/file_errors.ts";

/** Name of the file. */
export const CHECKPOINT_FILE = "checkpoint.safetensors";

/** Keeps the checkpoint of the unit in progress in a folder that the caller has claimed. */
export function checkpointFile(folder: string): CheckpointStore {
  const path = `${folder}/${CHECKPOINT_FILE}`;
  const part = `${path}.part`;
  const removeIfThere = async (name: string) => {
    try {
      await Deno.remove(name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  return {
    async save(pieces) {
      try {
        using file = await Deno.open(part, { write: true, create: true, truncate: true });
        for await (const piece of pieces) {
          for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
        }
        await file.sync();
        await Deno.rename(part, path);
      } catch (error) {
        await removeIfThere(part).catch(() => {});
        // A fault of the device is not one of the file.
        throw isFileError(error) ? asOutputError(path, error) : error;
      }
    },
    async load(id) {
      const bytes = await Deno.readFile(path).catch((error) => {
        if (error instanceof Deno.errors.NotFound) return undefined;
        throw error;
      });
      if (bytes === undefined) return undefined;
      const blob = new Blob([bytes]);
      return await unitOfCheckpoint(blob) === id ? blob : undefined;
    },
    async remove() {
      await removeIfThere(path);
      await removeIfThere(part);
    },
  };
}

/** Whether the file system refused, and not the device that the pieces come from. */
function isFileError(error: unknown): boolean {
  return error instanceof Error && /os error|E[A-Z]{4,}/.test(error.message) ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
}
