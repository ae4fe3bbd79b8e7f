/**
 * Causal BigBird attention: blocks of queries hold global blocks in front, a window of blocks up to
 * their own, and seeded random blocks (arXiv 2007.14062; its causal half as DeepSpeed's sparse
 * attention cuts it). Of its own block a query sees the keys up to itself. Every head draws its own
 * blocks.
 *
 * The kernels are those of dense attention with a walk over lists of tiles
 * (`tile_lists/block_walk.ts`), made on the host: they depend on the seed and the shape alone.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import { createDenseAttention, planDenseAttention } from "../../dense_attention/dense_attention.ts";
import { denseImplementation } from "../../dense_attention/dense_layer.ts";
import type { TileWalk } from "../../dense_attention/tile_walk.ts";
import { showExcess } from "../../gpu/bytes.ts";
import { fewHeads } from "../../key_heads.ts";
import type { Implementation, OptionDescriptor, Problem, RowSpan } from "../../implementation.ts";
import { type BlockLists, blockWalk } from "../tile_lists/block_walk.ts";
import { bigBirdLists, type BigBirdPattern } from "./bigbird_pattern.ts";

const OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "block",
    letter: "b",
    flag: "block",
    least: 16,
    powerOfTwo: true,
    rule: true,
    initial: 64,
    help: "rows of a block",
    sweep: "Block",
  },
  {
    name: "globalBlocks",
    letter: "g",
    flag: "global-blocks",
    least: 0,
    initial: 2,
    help: "blocks in front that all queries see",
  },
  {
    name: "windowBlocks",
    letter: "w",
    flag: "window-blocks",
    least: 1,
    initial: 2,
    help: "blocks up to and with the query's own",
  },
  {
    name: "randomBlocks",
    letter: "r",
    flag: "random-blocks",
    least: 0,
    rule: true,
    rounding: "down",
    initial: 3,
    help: "blocks drawn of those between, at most 32",
    sweep: "Random blocks",
  },
  {
    name: "patternSeed",
    letter: "ps",
    flag: "pattern-seed",
    least: 0,
    initial: 1,
    help: "seed of the random blocks",
  },
];

/** Blocks that 64 draws find of enough others. */
const MOST_RANDOM = 32;

/** Bytes of the largest lists of blocks that the host makes. */
const MOST_LIST_BYTES = 2 ** 29;

/** Patterns that plans, checks and kernels ask for in turns. */
const known = new Map<string, { readonly lists: BlockLists; walk?: TileWalk }>();
/** Bytes of their lists; what is derived from them takes twice as much again. */
const MOST_KNOWN_BYTES = 2 ** 24;

/**
 * The pattern of a problem.
 *
 * @throws {RangeError} naming the option and the limit.
 */
function patternOf({ options = {}, shape }: Problem) {
  const { heads, context: rows } = shape;
  const { randomBlocks = 0, patternSeed = 0 } = options;
  if (randomBlocks > MOST_RANDOM) {
    throw new RangeError(
      `plan bigbird: randomBlocks ${randomBlocks} exceeds the limit of ${MOST_RANDOM}`,
    );
  }
  if (patternSeed >= 2 ** 32) {
    throw new RangeError(`plan bigbird: patternSeed ${patternSeed} exceeds ${2 ** 32 - 1}`);
  }
  const pattern = { heads, rows, ...options } as unknown as BigBirdPattern;
  const width = pattern.globalBlocks + pattern.windowBlocks + randomBlocks;
  const bytes = 4 * heads * Math.ceil(rows / pattern.block) * width;
  if (bytes > MOST_LIST_BYTES) {
    const sizes = showExcess(bytes, MOST_LIST_BYTES);
    throw new RangeError(
      `plan bigbird: lists of ${showCount(width, "block")} need ${sizes.bytes}; the limit is ` +
        sizes.limit,
    );
  }
  const key = JSON.stringify(Object.values(pattern));
  let found = known.get(key);
  if (!found) {
    found = { lists: bigBirdLists(pattern) };
    known.set(key, found);
    let held = [...known.values()].reduce((sum, { lists }) => sum + lists.lists.byteLength, 0);
    for (const [oldest, { lists: { lists } }] of known) {
      if (held <= MOST_KNOWN_BYTES || oldest === key) break;
      known.delete(oldest);
      held -= lists.byteLength;
    }
  }
  return { pattern, found };
}

/** Keys of the blocks that a query's own block holds; of the own one up to the query. */
function visible(row: number, problem: Problem, head: number): readonly RowSpan[] {
  const { lists: { rows, block, width, lists } } = patternOf(problem).found;
  const list = head * Math.ceil(rows / block) + Math.floor(row / block);
  const spans: { first: number; end: number }[] = [];
  for (let n = 0; n < width && lists[list * width + n] >= 0; n++) {
    const first = lists[list * width + n] * block;
    const end = Math.min(first + block, row + 1);
    const last = spans.at(-1);
    if (last?.end === first) last.end = end;
    else spans.push({ first, end });
  }
  return spans;
}

/** Blocks that a short context has several of. */
const SHORT = { block: 16, globalBlocks: 1, windowBlocks: 2, randomBlocks: 2, patternSeed: 1 };

/** Rows of the problem that stands for a longer one: odd, past every tile size. */
const SHORT_CONTEXT = 193;

/** Causal BigBird attention. */
export const bigBird: Implementation = denseImplementation({
  name: "bigbird",
  title: "BigBird blocks, causal",
  family: "sparse",
  descriptors: OPTIONS,
  presets: [
    {
      name: "published",
      options: { block: 64, globalBlocks: 2, windowBlocks: 2, randomBlocks: 3, patternSeed: 1 },
    },
    {
      // 9N/512 keys a query, as a Lighthouse layer with k = N/64, L = 3, p = 4 has pairs: N/64 ·
      // 9/512 blocks, of which four are no random ones.
      name: "matched",
      options: {
        block: 64,
        globalBlocks: 2,
        windowBlocks: 2,
        randomBlocks: "9N/32768-4",
        patternSeed: 1,
      },
    },
    {
      // The same pairs where the lists of blocks of 64 would be too long, or shorter than four:
      // nine blocks.
      name: "matched-blocks",
      options: {
        block: "N/512",
        globalBlocks: 2,
        windowBlocks: 2,
        randomBlocks: 5,
        patternSeed: 1,
      },
    },
  ],
  style: { color: { light: "#8a5a9e", dark: "#c39bd6" }, mark: "diamond" },
  visible,
  shortOptions: () => SHORT,
  smallest: (problem) => {
    const { options = {} } = problem;
    const least = Object.entries(SHORT).map(([name, value]) => [
      name,
      Math.min(value, options[name] ?? value),
    ]);
    return {
      ...problem,
      shape: { ...problem.shape, ...fewHeads(problem.shape), context: SHORT_CONTEXT },
      options: Object.fromEntries(least),
    };
  },
  walk: (problem) => {
    const { pattern, found } = patternOf(problem);
    const { block, globalBlocks, windowBlocks, randomBlocks } = pattern;
    return found.walk ??= blockWalk(found.lists, {
      kind: "blocks of tiles",
      name: `blocks of ${block}: ${globalBlocks} global, ${windowBlocks} in the window, ` +
        `${randomBlocks} random`,
    });
  },
  create: (gpu, size) => createDenseAttention(gpu, planDenseAttention(gpu, size)),
});
