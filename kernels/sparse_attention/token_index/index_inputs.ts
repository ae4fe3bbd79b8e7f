/**
 * Inputs and lists of an index that selects tokens.
 *
 * @module
 */
import { createTensor, readBuffer, type TensorShape } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { fillSeeded } from "../../gpu/random.ts";
import type { IndexInputs } from "../../implementation.ts";
import type { ListBlock } from "../gathered_tokens/token_attention.ts";
import type { TokenIndex } from "./token_index.ts";

/**
 * Seed of the index queries of a layer that is given no index; keys and weights use the next two.
 */
export const INDEX_SEED = 5;

/** Shapes of an index's inputs. */
export function indexShapes(
  { rows, heads, dim, dtype }: TokenIndex,
): Record<keyof IndexInputs, TensorShape> {
  return {
    q: { heads, rows, dim, dtype },
    k: { heads: 1, rows, dim, dtype },
    w: { heads, rows, dim: 1, dtype: "f32" },
  };
}

/** Seeded inputs of an index, which the layer owns. */
export async function seededIndex(
  gpu: Gpu,
  index: TokenIndex,
  own: <T extends { readonly destroy: () => void }>(thing: T) => T,
): Promise<IndexInputs> {
  const shapes = indexShapes(index);
  const make = async (name: keyof IndexInputs, seed: number) => {
    const { heads } = shapes[name];
    const tensor = own(
      await createTensor(gpu, shapes[name], { label: `index ${name}`, headsPerBlock: heads }),
    );
    await fillSeeded(gpu, tensor, seed);
    return tensor;
  };
  return {
    q: await make("q", INDEX_SEED),
    k: await make("k", INDEX_SEED + 1),
    w: await make("w", INDEX_SEED + 2),
  };
}

/**
 * Checks given inputs of an index: their shapes, each in one block.
 *
 * @throws {RangeError} naming the input, its shape and the required one.
 */
export function requireIndex(action: string, index: TokenIndex, inputs: IndexInputs): void {
  for (const [name, want] of Object.entries(indexShapes(index))) {
    const tensor = inputs[name as keyof IndexInputs];
    const fits = tensor.blocks.length === 1 && tensor.heads === want.heads &&
      tensor.rows === want.rows && tensor.dim === want.dim && tensor.dtype === want.dtype;
    if (fits) continue;
    throw new RangeError(
      `${action}: index ${name} is ${tensor.dtype} [${tensor.heads}, ${tensor.rows}, ${tensor.dim}], ` +
        `the layer needs ${want.dtype} [${want.heads}, ${want.rows}, ${want.dim}] in 1 block`,
    );
  }
}

/** Bytes that are read at once: lists may be larger than a staging buffer. */
const READ_BYTES = 64 * 2 ** 20;

/** Reads lists `[queries, width]` back. */
export async function readLists(
  gpu: Gpu,
  lists: readonly ListBlock[],
  width: number,
): Promise<Int32Array> {
  const rows = lists.reduce((sum, list) => sum + list.rows, 0);
  const all = new Int32Array(rows * width);
  const each = Math.max(1, Math.floor(READ_BYTES / (4 * width)));
  for (const { firstRow, rows: count, data } of lists) {
    for (let at = 0; at < count; at += each) {
      const size = Math.min(each, count - at) * width * 4;
      const bytes = await readBuffer(gpu, { ...data, offset: data.offset + at * width * 4, size });
      const part = new Int32Array(bytes.buffer, bytes.byteOffset, size / 4);
      all.set(part, (firstRow + at) * width);
    }
  }
  return all;
}
