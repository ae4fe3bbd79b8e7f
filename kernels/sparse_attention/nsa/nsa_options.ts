/**
 * The options of NSA, and what they mean.
 *
 * @module
 */
import type { OptionDescriptor, Problem } from "../../implementation.ts";
import { requireProblem } from "../../layer_inputs.ts";
import { requireOptions } from "../../options.ts";
import { BLOCK_UNIT } from "../gathered_queries/gathered_plan.ts";
import { MOST_SELECTED } from "../selectors/block_selection.ts";
import type { LayerOptions } from "./nsa_layer.ts";

/** The options. */
export const NSA_OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "compressBlock",
    letter: "l",
    flag: "compress-block",
    least: 1,
    initial: 32,
    help: "keys of a compressed window",
  },
  {
    name: "compressStride",
    letter: "s",
    flag: "compress-stride",
    least: 1,
    initial: 16,
    help: "keys from one window to the next; divides the window",
  },
  {
    name: "block",
    letter: "b",
    flag: "block",
    least: BLOCK_UNIT,
    multipleOf: BLOCK_UNIT,
    initial: 64,
    help: "keys of a selected block; a multiple of the window",
  },
  {
    name: "count",
    letter: "n",
    flag: "count",
    least: 1,
    initial: 16,
    help: "blocks that a query attends to, forced ones included",
    sweep: "Blocks of a query",
  },
  {
    name: "initBlocks",
    letter: "i",
    flag: "init-blocks",
    least: 0,
    initial: 1,
    help: "first blocks, always selected",
  },
  {
    name: "localBlocks",
    letter: "o",
    flag: "local-blocks",
    least: 1,
    initial: 2,
    help: "blocks up to the query's own, always selected",
  },
  {
    name: "window",
    letter: "w",
    flag: "window",
    least: 1,
    initial: 512,
    help: "keys of the sliding window, the query's own included",
  },
  {
    name: "gateSeed",
    letter: "gs",
    flag: "gate-seed",
    least: 0,
    optional: true,
    initial: 1,
    help: "seed of the gates",
  },
];

/**
 * The options of a problem.
 *
 * @throws {RangeError} naming the option and the limit.
 */
export function nsaOptions(
  action: string,
  problem: Problem,
): LayerOptions & { readonly gateSeed: number } {
  requireProblem(action, problem, { sharedKeys: true });
  requireOptions(NSA_OPTIONS, problem.options ?? {}, action);
  const given = problem.options as Record<string, number>;
  const { compressBlock, compressStride, block, count, initBlocks, localBlocks, window } = given;
  const fail = (reason: string) => {
    throw new RangeError(`${action}: ${reason}`);
  };
  if (compressBlock % compressStride !== 0) {
    fail(`compressStride ${compressStride} does not divide compressBlock ${compressBlock}`);
  }
  if (block % compressBlock !== 0) {
    fail(`block ${block} is not a multiple of compressBlock ${compressBlock}`);
  }
  if (count < initBlocks + localBlocks) {
    fail(`count ${count} is below the ${initBlocks + localBlocks} blocks that are always selected`);
  }
  if (count - initBlocks - localBlocks > MOST_SELECTED) {
    fail(
      `count ${count} ranks ${
        count - initBlocks - localBlocks
      } blocks; the limit is ${MOST_SELECTED}`,
    );
  }
  const { context } = problem.shape;
  if (context < compressBlock) {
    fail(`context ${context} is shorter than one window of ${compressBlock} keys`);
  }
  const { gateSeed = 1 } = given;
  return {
    compression: { window: compressBlock, stride: compressStride },
    block,
    count,
    initial: initBlocks,
    local: localBlocks,
    window,
    gateSeed,
  };
}
