/**
 * HISA: DSA's list found in two steps (arXiv 2603.28458). Means of blocks of index keys are scored
 * first; a query keeps the first block, its own and the best of the others, `indexBlocks` in all,
 * and only tokens of these are scored and ranked. The index is no longer quadratic but in the
 * number of blocks.
 *
 * Attention and its backward pass are DSA's. HISA is published for inference; the backward pass is
 * ours.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import type { Implementation, OptionDescriptor } from "../../implementation.ts";
import { INDEX_OPTIONS, indexedImplementation } from "../token_index/indexed_layer.ts";

const [HEADS, DIM, TOPK] = INDEX_OPTIONS;

const OPTIONS: readonly OptionDescriptor[] = [
  HEADS,
  DIM,
  {
    name: "indexBlock",
    letter: "B",
    flag: "index-block",
    least: 1,
    initial: 128,
    help: "tokens of a block of the index",
  },
  {
    name: "indexBlocks",
    letter: "m",
    flag: "index-blocks",
    least: 2,
    rule: true,
    initial: 64,
    help: "blocks that a query keeps",
    sweep: "Kept blocks",
  },
  TOPK,
];

/** HISA with its published settings, scaled to H = 8, and with as many pairs as Lighthouse has. */
export const hisa: Implementation = indexedImplementation({
  name: "hisa",
  title: "indexed tokens of kept blocks (HISA)",
  descriptors: OPTIONS,
  presets: [
    {
      name: "published",
      options: { indexHeads: 4, indexDim: 128, indexBlock: 128, indexBlocks: 64, topk: 2048 },
    },
    {
      // As many kept blocks of 128 tokens at 128K, and enough for the list everywhere else.
      name: "matched",
      options: {
        indexHeads: 4,
        indexDim: 128,
        indexBlock: 128,
        indexBlocks: "N/2048",
        topk: "9N/512",
      },
    },
  ],
  style: { color: { light: "#b5446e", dark: "#f093b4" }, mark: "cross" },
  candidates: ({ indexBlock: blockRows, indexBlocks: blockCount, topk }) => {
    if (blockRows * blockCount < topk) {
      throw new RangeError(
        `plan hisa: ${showCount(blockCount, "block")} of ${showCount(blockRows, "token")} ` +
          `${blockCount === 1 ? "holds" : "hold"} fewer than topk ${topk}`,
      );
    }
    return { blockRows, blockCount };
  },
  short: (context) => {
    const indexBlock = Math.max(1, Math.ceil(context / 12));
    return {
      indexHeads: 4,
      indexDim: 32,
      indexBlock,
      indexBlocks: 4,
      topk: Math.min(4 * indexBlock, Math.ceil(context / 5)),
    };
  },
});
