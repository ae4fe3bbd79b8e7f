/**
 * The gradient of an embedding: rows of the table get the sum of the gradients at their tokens.
 *
 * Floats have no atomic addition in a fixed order, so tokens are sorted first: a stable radix sort
 * of (token, row) by digits of 8 bits, one round for V = 256, three for V = 128,256. Then the
 * workgroup of a token's first pair sums the gradients of all of them in the order in which they
 * came.
 *
 * Shapes: tokens u32 `[rows]`, gradient f32 `[rows, columns]`, table gradient f32
 * `[vocabulary, columns]`, added to.
 *
 * @module
 */
import countCode from "./count_digits.wgsl" with { type: "text" };
import placeCode from "./place_pairs.wgsl" with { type: "text" };
import scanCode from "./scan_counts.wgsl" with { type: "text" };
import sumCode from "./sum_rows.wgsl" with { type: "text" };
import type { BufferSlice, Dispatch } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { UniformLayout } from "../../gpu/uniform.ts";
import { range } from "../../gpu/wgsl.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { type EmbeddingOptions, requireEmbedding } from "./embedding.ts";

const SORT_PARAMS = { count: "u32", blocks: "u32" } as const;
const SUM_PARAMS = { count: "u32", vocabulary: "u32", gridWidth: "u32" } as const;

/** Pairs that a workgroup sorts. */
const BLOCK = 1024;

/** Buffers. */
export interface EmbeddingBackwardBindings {
  /** u32 `[rows]`. */
  readonly tokens: BufferSlice;
  /** f32 `[rows, columns]`. */
  readonly gradient: BufferSlice;
  /** f32 `[vocabulary, columns]`, added to. */
  readonly tableGradient: BufferSlice;
  /** Pairs of tokens and rows, u32 `[rows, 2]`, scratch. */
  readonly sorted: BufferSlice;
  /** The same, scratch; unused where one round sorts. */
  readonly other: BufferSlice;
  /** u32 `[256, blocks]`, scratch. */
  readonly counts: BufferSlice;
}

type Plan<Names extends string, Layout extends UniformLayout> = PassPlan<
  Record<Names, BufferSlice>,
  Layout
>;

/** One round of the sort. */
interface Round {
  readonly count: Plan<"pairs" | "counts", typeof SORT_PARAMS>;
  readonly scan: Plan<"counts", typeof SORT_PARAMS>;
  readonly place: Plan<"pairs" | "places" | "sorted", typeof SORT_PARAMS>;
}

/** The plan of the gradient. */
export interface EmbeddingBackwardPlan {
  readonly rounds: readonly Round[];
  readonly sum: Plan<"sorted" | "gradient" | "table", typeof SUM_PARAMS>;
  /** Bytes of the scratch buffers; `other` is 0 where one round sorts. */
  readonly scratch: { readonly sorted: number; readonly other: number; readonly counts: number };
}

/** Least bytes: tokens and gradients read, the table's gradient read and written. */
export function embeddingBackwardBytes({ rows, columns, vocabulary }: EmbeddingOptions): number {
  return rows * (4 + 4 * columns) + 8 * vocabulary * columns;
}

/** Plans the gradient. */
export function planEmbeddingBackward(options: EmbeddingOptions): EmbeddingBackwardPlan {
  requireEmbedding("plan embedding backward", options);
  const { rows, vocabulary, columns } = options;
  const blocks = Math.ceil(rows / BLOCK);
  const params = { count: rows, blocks };
  const counts = 256 * blocks * 4;
  const pairs = rows * 8;
  const digits = Math.max(1, Math.ceil(Math.log2(vocabulary) / 8));
  const round = (n: number): Round => {
    const reads = n === 0
      ? "@group(0) @binding(0) var<storage, read> pairs: array<u32>;\n" +
        "fn pairAt(i: u32) -> vec2u { return vec2u(pairs[i], i); }\n"
      : "@group(0) @binding(0) var<storage, read> pairs: array<vec2u>;\n" +
        "fn pairAt(i: u32) -> vec2u { return pairs[i]; }\n";
    const added = `const shift = ${8 * n}u;\n${reads}`;
    const from = n === 0 ? rows * 4 : pairs;
    return {
      count: {
        pipeline: {
          label: `sort tokens: count digits ${n}`,
          bindings: ["read", "read-write", "uniform"],
          code: `${countCode}\n${added}`,
        },
        layout: SORT_PARAMS,
        params,
        workgroups: [blocks, 1, 1],
        bytes: { pairs: from, counts },
      },
      scan: {
        pipeline: {
          label: "sort tokens: scan counts",
          bindings: ["read-write", "uniform"],
          code: scanCode,
        },
        layout: SORT_PARAMS,
        params,
        workgroups: [1, 1, 1],
        bytes: { counts },
      },
      place: {
        pipeline: {
          label: `sort tokens: place pairs ${n}`,
          bindings: ["read", "read", "read-write", "uniform"],
          code: `${placeCode}\n${added}`,
        },
        layout: SORT_PARAMS,
        params,
        workgroups: [blocks, 1, 1],
        bytes: { pairs: from, places: counts, sorted: pairs },
      },
    };
  };
  const [x, y] = foldGrid(rows);
  return {
    rounds: range(digits).map(round),
    sum: {
      pipeline: {
        label: "embedding backward",
        bindings: ["read", "read", "read-write", "uniform"],
        code: `${sumCode}\nconst columns = ${columns / 4}u;\n`,
      },
      layout: SUM_PARAMS,
      params: { count: rows, vocabulary, gridWidth: x },
      workgroups: [x, y, Math.ceil(columns / 64)],
      bytes: { sorted: pairs, gradient: rows * columns * 4, table: vocabulary * columns * 4 },
    },
    scratch: { sorted: pairs, other: digits > 1 ? pairs : 0, counts },
  };
}

/** A compiled gradient. */
export interface EmbeddingBackward {
  readonly bind: (buffers: EmbeddingBackwardBindings) => Dispatch[];
  readonly destroy: () => void;
}

/** Compiles the gradient. */
export async function createEmbeddingBackward(
  gpu: Gpu,
  plan: EmbeddingBackwardPlan,
): Promise<EmbeddingBackward> {
  const rounds = await Promise.all(plan.rounds.map(async ({ count, scan, place }) => ({
    count: await createPass<Record<"pairs" | "counts", BufferSlice>>(gpu, count),
    scan: await createPass<Record<"counts", BufferSlice>>(gpu, scan),
    place: await createPass<Record<"pairs" | "places" | "sorted", BufferSlice>>(gpu, place),
  })));
  const sum = await createPass<Record<"sorted" | "gradient" | "table", BufferSlice>>(gpu, plan.sum);
  return {
    bind({ tokens, gradient, tableGradient, sorted, other, counts }) {
      // The last round writes `sorted`.
      const target = (n: number) => (rounds.length - 1 - n) % 2 === 0 ? sorted : other;
      return [
        ...rounds.flatMap(({ count, scan, place }, n) => {
          const pairs = n === 0 ? tokens : target(n - 1);
          return [
            ...count.bind({ pairs, counts }),
            ...scan.bind({ counts }),
            ...place.bind({ pairs, places: counts, sorted: target(n) }),
          ];
        }),
        ...sum.bind({ sorted, gradient, table: tableGradient }),
      ];
    },
    destroy: () => {
      for (const { count, scan, place } of rounds) [count, scan, place].forEach((p) => p.destroy());
      sum.destroy();
    },
  };
}
