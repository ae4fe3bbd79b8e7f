/**
 * Blocks of heads of layers whose buffers between passes are larger than their tensors.
 *
 * @module
 */
import type { BufferSlice } from "../gpu/buffers.ts";
import { showCount } from "../gpu/require.ts";
import { bytesPerHead, type Tensor } from "../gpu/tensors.ts";

/** Offsets of bindings are multiples of this many bytes on any device. */
const OFFSET_UNIT = 256;

/**
 * The heads of each block: as few blocks as have room, with about as many heads, in whole groups.
 */
export function cutHeads(
  heads: number,
  { most, group = 1 }: { readonly most: number; readonly group?: number },
): number[] {
  const groups = heads / group;
  const each = Math.ceil(groups / Math.ceil(groups / Math.floor(most / group))) * group;
  const blocks: number[] = [];
  for (let first = 0; first < heads; first += each) blocks.push(Math.min(each, heads - first));
  return blocks;
}

/**
 * The most heads whose plan fits the device, in whole groups.
 *
 * @param plan throws a `RangeError` where it does not fit.
 * @throws {RangeError} of the plan of one group.
 */
export function fittingHeads(
  plan: (heads: number) => unknown,
  { most, group }: { readonly most: number; readonly group: number },
): number {
  for (let heads = most; heads > group; heads -= group) {
    try {
      plan(heads);
      return heads;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  plan(group);
  return group;
}

/** The first head of each block. */
export function firstHeads(blocks: readonly { readonly heads: number }[]): number[] {
  let next = 0;
  return blocks.map(({ heads }) => (next += heads) - heads);
}

/**
 * The rows of some heads, which may be a part of a block of their tensor.
 *
 * @throws {RangeError} when the part begins where no device binds.
 */
export function headsOf(
  action: string,
  tensor: Tensor,
  { firstHead, heads }: { readonly firstHead: number; readonly heads: number },
): BufferSlice {
  const block = tensor.blocks.findLast((block) => block.firstHead <= firstHead)!;
  const { data } = block;
  if (block.firstHead === firstHead && block.heads === heads) return data;
  const each = bytesPerHead(tensor);
  const offset = (firstHead - block.firstHead) * each;
  if (offset % OFFSET_UNIT !== 0) {
    throw new RangeError(
      `${action}: ${tensor.label} has ${
        showCount(block.heads, "head")
      } in a block, the layer takes ` +
        `${heads} at a time, and head ${firstHead} begins at no multiple of ${OFFSET_UNIT} bytes`,
    );
  }
  return { buffer: data.buffer, offset: data.offset + offset, size: heads * each };
}
