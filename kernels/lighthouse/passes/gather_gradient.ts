/**
 * Gradient of the forward scatter: for each gathered row, the sum of the output gradients of the
 * base rows that its entry reaches.
 *
 * Shapes: outputGradient `[heads, N, d]`, indices u32 `[heads, S]` (pyramid indices in gathered
 * order), gathered f32 `[heads, S, d]`. Sums of at most p^(L-1) rows in f32, in an order that
 * depends only on the shape. They are stored as f32 for every storage type: a sum may exceed f16
 * even if the final gradients do not. An entry that reaches one row copies it.
 *
 * @module
 */
import code from "./gather_gradient.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, requirePowerOfTwo, wideCellCode, wordsPerRow } from "../rows.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

const PARAMS = {
  context: "u32",
  gathered: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planGatherGradient}. */
export interface GatherGradientOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /**
   * Rows that a thread loads before it uses the first, a power of two. Default 8; results are
   * equal.
   */
  readonly rowsInFlight?: number;
  /** Threads of a workgroup, a power of two, at least the lanes of an entry. Default 256. */
  readonly threads?: number;
}

/** The plan of a gather of gradients. */
export type GatherGradientPlan = PassPlan<GatherGradientBindings, typeof PARAMS>;

/** Buffers of one block of heads. */
export interface GatherGradientBindings {
  readonly outputGradient: BufferSlice;
  readonly indices: BufferSlice;
  readonly gathered: BufferSlice;
}

/**
 * Threads that share the rows of one entry: each takes at least 128 rows of the longest window, and
 * their number fits a workgroup of 256 threads, whatever the actual workgroup size.
 */
function lanesOf(geometry: LighthouseGeometry, columns: number): number {
  return Math.max(1, Math.min(geometry.windowRows / 128, 256 / columns));
}

/** The function `joinLanes()`: gives the first lane the sum of all. */
function generateJoinLanes(lanes: number): string {
  if (lanes === 1) {
    return "fn joinLanes(sum: Cell, local: u32, lane: u32) -> Cell { return sum; }\n";
  }
  return wgsl`

    var<workgroup> partials: array<Cell, threads>;
    fn joinLanes(own: Cell, local: u32, lane: u32) -> Cell {
      partials[local] = own;
      workgroupBarrier();
      var sum = own;
      if (lane == 0u) {
        for (var other = 1u; other < lanes; other++) { sum = sum + partials[local + other * columns]; }
      }
      return sum;
    }

  `;
}

/** The function `addRows()`: all loads come before the first use, so that they overlap. */
function generateAddRows({ rowsInFlight, lanes }: { rowsInFlight: number; lanes: number }): string {
  const rows = range(rowsInFlight);
  return wgsl`
    fn addRows(before: Cell, head: u32, row: u32, end: u32, column: u32) -> Cell {
      ${rows.map((r) => `let word${r} = rowAt(head, row + ${r * lanes}u, end, column);`)}
      var sum = before;
      ${rows.map((r) => `sum = sum + unpackCell(word${r});`)}
      return sum;
    }
  `;
}

/** Plans the pass over a block of heads. */
export function planGatherGradient(
  geometry: LighthouseGeometry,
  options: GatherGradientOptions,
): GatherGradientPlan {
  const { heads, headDim, dtype } = options;
  const threads = options.threads ?? 256;
  const rowsInFlight = Math.min(options.rowsInFlight ?? 8, geometry.windowRows);
  const columns = wordsPerRow(headDim, dtype);
  const lanes = lanesOf(geometry, columns);
  requirePowerOfTwo("gather gradient threads", threads, { least: columns * lanes, most: 1024 });
  requirePowerOfTwo("gather gradient rowsInFlight", rowsInFlight, { least: 1, most: 64 });
  const [x, y] = foldGrid(Math.ceil(geometry.gathered / (threads / columns / lanes)));
  const elements = heads * headDim * bytesPerElement(dtype);
  return {
    pipeline: {
      label: "lighthouse gather gradient",
      bindings: ["read", "read", "read-write", "uniform"],
      code: [
        code,
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const levels = ${geometry.levels}u;`,
        `const logPooling = ${Math.log2(geometry.pooling)}u;`,
        `const rowsInFlight = ${rowsInFlight}u;`,
        `const lanes = ${lanes}u;`,
        cellCode(dtype),
        wideCellCode(dtype, "rows").store,
        generateAddRows({ rowsInFlight, lanes }),
        generateJoinLanes(lanes),
      ].join("\n"),
    },
    layout: PARAMS,
    params: { context: geometry.context, gathered: geometry.gathered, gridWidth: x },
    workgroups: [x, y, heads],
    bytes: {
      outputGradient: geometry.context * elements,
      indices: heads * geometry.gathered * 4,
      gathered: geometry.gathered * heads * headDim * 4,
    },
  };
}

/** Compiles the pass. */
export function createGatherGradient(
  gpu: Gpu,
  plan: GatherGradientPlan,
): Promise<Pass<GatherGradientBindings>> {
  return createPass<GatherGradientBindings>(gpu, plan);
}
