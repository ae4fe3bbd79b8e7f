/**
 * An index that selects tokens for each query: its options, sizes and cost, and the passes that
 * find the lists, one strip of queries at a time.
 *
 * Without blocks a query ranks all tokens up to its own. With blocks it first ranks means of
 * blocks, keeps its own, the first and the best others, and ranks the tokens of these.
 *
 * @module
 */
import { showCount } from "../../gpu/require.ts";
import {
  type BufferSlice,
  bytesPerElement,
  createStorageBuffer,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import { showExcess } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import type { Stage } from "../../gpu/timing.ts";
import type { StagePlan } from "../../implementation.ts";
import type { ListBlock } from "../gathered_tokens/token_attention.ts";
import {
  candidateBitBytes,
  createCandidateScores,
  createKeyPool,
  whyPortableCandidates,
} from "./candidates.ts";
import {
  createIndexScores,
  type IndexBuffers,
  paddedKeys,
  planIndexScores,
  type Strip,
} from "./index_scores.ts";
import { createTopTokens } from "./top_tokens.ts";

/** Sizes of an index. */
export interface TokenIndex {
  /** N. */
  readonly rows: number;
  /** J, index heads. */
  readonly heads: number;
  /** c, elements of an index query and key. */
  readonly dim: number;
  /** Storage of index queries and keys. */
  readonly dtype: DType;
  /** k, tokens of a list. */
  readonly width: number;
  /** Blocks that are ranked first. Default: none are. */
  readonly candidates?: { readonly blockRows: number; readonly blockCount: number };
}

/** Bytes of scores above which strips are shorter, unless there would be more than 256 of them. */
const SCORE_BYTES = 2 ** 30;
const MOST_STRIPS = 256;

/** Maximum bytes of all lists: a host reads them back to check them. */
const MOST_LIST_BYTES = 5 * 2 ** 30;

/** Rows of a strip are whole tiles of every kernel, and begin where a binding may. */
const STRIP_UNIT = 128;

/** Everything about an index that is known without a device. */
export interface TokenIndexPlan extends TokenIndex {
  /** Strips of queries whose scores are in memory at the same time. */
  readonly strips: readonly Strip[];
  /** Scores of a query in a strip's buffer. */
  readonly stride: number;
  /** Queries of one buffer of lists. */
  readonly listRows: number;
  /** (query, key) pairs of one head. */
  readonly pairs: number;
  /** The passes in the order of execution. */
  readonly stages: readonly StagePlan[];
  /** Buffers, index inputs included. */
  readonly buffers: readonly { readonly name: string; readonly bytes: number }[];
}

/** Σ min(most, first + 1 + i) over `count` whole numbers i from 0. */
function sumOf(first: number, count: number, most: number): number {
  const below = Math.max(0, Math.min(count, most - first));
  const rising = below * first + below * (below + 1) / 2;
  return below === count ? rising : rising + (count - below) * most;
}

/** Entries of all lists of at most `width` of the tokens that queries may select. */
function entriesOf({ rows, candidates }: TokenIndex, width: number): number {
  if (!candidates) return sumOf(0, rows, width);
  const { blockRows, blockCount } = candidates;
  // As long as a query keeps all blocks up to its own, then with blocks left out between.
  const whole = Math.min(rows, blockRows * blockCount);
  const kept = (blockCount - 1) * blockRows;
  const rest = rows - whole;
  return sumOf(0, whole, width) +
    Math.floor(rest / blockRows) * sumOf(kept, blockRows, width) +
    sumOf(kept, rest % blockRows, width);
}

/**
 * Plans the passes.
 *
 * @throws {RangeError} when scores or lists of the fewest queries do not fit one binding.
 */
export function planTokenIndex(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  index: TokenIndex,
): TokenIndexPlan {
  const { rows, heads, dim, dtype, width, candidates } = index;
  const { maxBindingBytes, maxBufferBytes } = gpu.capabilities;
  const limit = Math.min(maxBindingBytes, maxBufferBytes);
  const blocks = candidates ? Math.ceil(rows / candidates.blockRows) : 0;
  const fine = candidates ? Math.min(blocks, candidates.blockCount) * candidates.blockRows : rows;
  const stride = Math.ceil(Math.max(fine, blocks) / 4) * 4;
  const requireFit = (what: string, each: number) => {
    const bytes = STRIP_UNIT * each * 4;
    if (bytes <= limit) return;
    const sizes = showExcess(bytes, limit);
    throw new RangeError(
      `plan token index: ${what} of ${STRIP_UNIT} queries need a binding of ${sizes.bytes}; ` +
        `the limit is ${sizes.limit}`,
    );
  };
  requireFit("scores", stride);
  requireFit(`lists of ${showCount(width, "token")}`, width);
  if (4 * rows * width > MOST_LIST_BYTES) {
    const sizes = showExcess(4 * rows * width, MOST_LIST_BYTES);
    throw new RangeError(
      `plan token index: lists of ${showCount(width, "token")} of ${rows} queries take ` +
        `${sizes.bytes}; the limit is ${sizes.limit}`,
    );
  }
  const wholeUnits = (count: number) => Math.max(1, Math.floor(count / STRIP_UNIT)) * STRIP_UNIT;
  const up = (count: number) => Math.ceil(count / STRIP_UNIT) * STRIP_UNIT;
  const budget = Math.min(limit, Math.max(SCORE_BYTES, up(rows / MOST_STRIPS) * stride * 4));
  const stripRows = Math.min(up(rows), wholeUnits(budget / (stride * 4)), 32_768);
  const perBuffer = wholeUnits(limit / (4 * Math.max(width, candidates?.blockCount ?? 0)));
  const listRows = Math.min(up(rows), Math.max(1, Math.floor(perBuffer / stripRows)) * stripRows);
  const perStrip = Math.min(stripRows, listRows);
  const strips = Array.from({ length: Math.ceil(rows / perStrip) }, (_, i) => ({
    firstRow: i * perStrip,
    endRow: Math.min(rows, (i + 1) * perStrip),
  }));
  const each = bytesPerElement(dtype);
  const indexBytes = (heads + 1) * rows * dim * each + 4 * heads * rows;
  const perScore = 2 * dim * heads;
  const fineScores = planIndexScores(gpu, { rows, heads, dim, dtype });
  const stages: StagePlan[] = [];
  let coarse = 0;
  if (candidates) {
    const { blockRows, blockCount } = candidates;
    const whole = Math.floor(rows / blockRows);
    coarse = blockRows * whole * (whole + 1) / 2 + (rows - whole * blockRows) * (whole + 1);
    const variant = planIndexScores(gpu, coarseOf(index)).variant;
    stages.push({
      name: "blocks",
      flops: perScore * coarse,
      bytes: indexBytes + 2 * blocks * dim * 4 + 4 * rows * blockCount,
      variant,
    });
  }
  stages.push({
    name: "index",
    flops: perScore * entriesOf(index, Infinity),
    bytes: indexBytes,
    variant: candidates ? candidateVariant(gpu, index, candidates) : fineScores.variant,
  }, { name: "select", flops: 0, bytes: 4 * rows * width });
  const listBytes = up(rows) * 4;
  const buffers = [
    { name: "index queries", bytes: heads * rows * dim * each },
    { name: "index keys", bytes: rows * dim * each },
    { name: "index weights", bytes: heads * rows * 4 },
    { name: "scores of a strip", bytes: perStrip * stride * 4 },
    { name: "lists of tokens", bytes: listBytes * width },
    ...candidates
      ? [
        { name: "means of index keys", bytes: paddedKeys(blocks) * dim * 4 },
        { name: "lists of blocks", bytes: listBytes * candidates.blockCount },
        {
          name: "queries of blocks",
          bytes: candidateBitBytes(gpu, { ...index, ...candidates }, strips[0]),
        },
      ]
      : [],
  ];
  return { ...index, strips, stride, listRows, pairs: entriesOf(index, width), stages, buffers };
}

/** The kernel of the scores of candidates, in a few words. */
function candidateVariant(
  gpu: Pick<Gpu, "capabilities">,
  index: TokenIndex,
  candidates: NonNullable<TokenIndex["candidates"]>,
): string {
  const portable = whyPortableCandidates(gpu, { ...index, ...candidates }) !== undefined;
  return portable ? "a candidate a thread" : "matrix units, by blocks";
}

/** The scores of means of blocks. */
function coarseOf({ rows, heads, dim, dtype, candidates }: TokenIndex) {
  const { blockRows } = candidates!;
  return {
    rows,
    heads,
    dim,
    dtype,
    keyType: "f32",
    keys: Math.ceil(rows / blockRows),
    keyRows: blockRows,
    kernel: "portable",
  } as const;
}

/** Compiles ahead the slow kernels. */
export function compileTokenIndex(gpu: Gpu, index: TokenIndex): Promise<unknown> {
  const { rows, heads, dim, dtype, candidates } = index;
  const scores = candidates ? coarseOf(index) : { rows, heads, dim, dtype };
  return createPipeline(gpu, planIndexScores(gpu, scores).pipeline);
}

/** The passes, bound. */
export interface BoundTokenIndex {
  /** For each strip of queries the passes in turn: names repeat. */
  readonly stages: readonly Stage[];
  /** Lists `[queries, width]`, in blocks of queries. */
  readonly lists: readonly ListBlock[];
  /** Lists of blocks `[queries, blockCount]`, of an index with blocks. */
  readonly blocks: readonly ListBlock[];
  readonly destroy: () => void;
}

/** Rows of lists from a row on. */
function rowsFrom(blocks: readonly ListBlock[], firstRow: number, width: number): BufferSlice {
  const found = blocks.findLast((block) => block.firstRow <= firstRow)!;
  const offset = (firstRow - found.firstRow) * width * 4;
  const { buffer, size } = found.data;
  return { buffer, offset: found.data.offset + offset, size: size - offset };
}

/**
 * Allocates and binds the passes.
 *
 * @throws {MemoryError} when the device has no room; nothing stays allocated then.
 */
export async function bindTokenIndex(
  gpu: Gpu,
  plan: TokenIndexPlan,
  inputs: IndexBuffers,
): Promise<BoundTokenIndex> {
  const { rows, heads, dim, dtype, width, candidates, stride, strips, listRows } = plan;
  const { own, destroy } = collectOwned();
  const buffer = async (label: string, bytes: number) =>
    slice(own(await createStorageBuffer(gpu, bytes, { label })));
  const listsOf = async (label: string, count: number): Promise<ListBlock[]> => {
    const blocks: ListBlock[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += listRows) {
      const own = Math.min(listRows, rows - firstRow);
      blocks.push({ firstRow, rows: own, data: await buffer(label, own * count * 4) });
    }
    return blocks;
  };
  try {
    const lists = await listsOf("lists of tokens", width);
    const [{ firstRow, endRow }] = strips;
    const scores = await buffer("scores of a strip", (endRow - firstRow) * stride * 4);
    const top = own(await createTopTokens(gpu, { rows, width, candidates }));
    const stages: { name: string; dispatches: Dispatch[] }[] = [];
    const add = (name: string, ...dispatches: Dispatch[]) => stages.push({ name, dispatches });
    if (!candidates) {
      const index = own(
        await createIndexScores(gpu, planIndexScores(gpu, { rows, heads, dim, dtype })),
      );
      for (const strip of strips) {
        add("index", index.bind({ ...inputs, scores, stride }, strip));
        const list = rowsFrom(lists, strip.firstRow, width);
        add("select", top.bind({ scores, stride, lists: list }, strip));
      }
      return { stages, lists, blocks: [], destroy };
    }
    const { blockRows, blockCount } = candidates;
    const blocks = await listsOf("lists of blocks", blockCount);
    const keys = Math.ceil(rows / blockRows);
    const means = await buffer("means of index keys", paddedKeys(keys) * dim * 4);
    const options = { rows, heads, dim, dtype, blockRows, blockCount };
    const pool = own(await createKeyPool(gpu, options));
    const coarse = own(await createIndexScores(gpu, planIndexScores(gpu, coarseOf(plan))));
    const best = own(
      await createTopTokens(gpu, { rows, width: blockCount, keyRows: blockRows, forced: true }),
    );
    const fine = own(await createCandidateScores(gpu, options));
    const bits = await buffer("queries of blocks", candidateBitBytes(gpu, options, strips[0]));
    add("blocks", pool.bind(inputs.k, means));
    for (const strip of strips) {
      const kept = rowsFrom(blocks, strip.firstRow, blockCount);
      add(
        "blocks",
        coarse.bind({ ...inputs, k: means, scores, stride }, strip),
        best.bind({ scores, stride, lists: kept }, strip),
      );
      add("index", ...fine.bind({ ...inputs, blocks: kept, scores, stride, bits }, strip));
      const list = rowsFrom(lists, strip.firstRow, width);
      add("select", top.bind({ scores, stride, blocks: kept, lists: list }, strip));
    }
    return { stages, lists, blocks, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}
