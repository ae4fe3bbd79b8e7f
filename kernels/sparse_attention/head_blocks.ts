/**
 * Blocks of heads of layers whose buffers between passes are larger than their tensors.
 *
 * @module
 */

/** The heads of each block. */
export function cutHeads(heads: number, headBlock: number): number[] {
  const blocks: number[] = [];
  for (let first = 0; first < heads; first += headBlock) {
    blocks.push(Math.min(headBlock, heads - first));
  }
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
