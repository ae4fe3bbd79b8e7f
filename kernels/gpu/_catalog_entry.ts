/**
 * Entries of the kernel catalog: see `_kernel_catalog.ts`.
 *
 * @module
 */
import { openRecordingDevice, type RecordedShader } from "./_recording_device.ts";
import { type BufferSlice, createStorageBuffer, slice } from "./buffers.ts";
import type { Capabilities, Gpu } from "./device.ts";

/** A kernel with one set of options. */
export interface CatalogEntry {
  /** Unique in the catalog. */
  readonly name: string;
  /** Capabilities that the device needs beyond a plain desktop GPU. */
  readonly capabilities?: Partial<Capabilities>;
  /** Creates and binds the kernel. */
  readonly run: (gpu: Gpu) => Promise<unknown>;
}

/** Runs an entry on its own recording device and returns the shaders that it compiled. */
export async function recordEntry(entry: CatalogEntry): Promise<RecordedShader[]> {
  const { gpu, shaders } = openRecordingDevice({ capabilities: entry.capabilities });
  await entry.run(gpu);
  return shaders;
}

/** Storage types. */
export const DTYPES = ["f16", "f32"] as const;
/** A buffer of the given number of bytes. */
export async function bufferOf(gpu: Gpu, bytes: number): Promise<BufferSlice> {
  return slice(await createStorageBuffer(gpu, bytes));
}

/** Buffers by name, each separate. */
export async function buffersOf<Name extends string>(
  gpu: Gpu,
  sizes: { readonly [_ in Name]?: number },
): Promise<Record<Name, BufferSlice>> {
  const made: Partial<Record<Name, BufferSlice>> = {};
  for (const name in sizes) made[name] = await bufferOf(gpu, sizes[name]!);
  return made as Record<Name, BufferSlice>;
}
