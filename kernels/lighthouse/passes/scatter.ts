/**
 * Scatter: gathered rows back to the base rows that their entries cover. One kernel serves both
 * directions. Forward, an entry's attended row is added to the rows that it reaches. As the
 * gradient of gather and pyramid, an entry's gradient is added to the rows that it is the mean of,
 * divided by their number (specification, sections 5 and 6).
 *
 * Shapes: gathered `[heads, S, d]`, f32 for gradients of every storage type; slots u32 `[heads, P]`
 * (as written by `select.ts`), output `[heads, N, d]`. Sums of at most L rows in f32, rounded once
 * to the storage type; rows that no entry covers are exactly zero.
 *
 * @module
 */
import code from "./scatter.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, requirePowerOfTwo, wideCellCode, wordsPerRow } from "../rows.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

const PARAMS = {
  context: "u32",
  entries: "u32",
  gathered: "u32",
  units: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planScatter}. */
export interface ScatterOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** True: the gradient of gather and pyramid. Default false: the forward scatter. */
  readonly gradient?: boolean;
  /**
   * Base rows that a thread writes, a power of two, at most p. Default 4, or p if that is smaller.
   */
  readonly rowsPerThread?: number;
  /** Threads of a workgroup, a power of two, at least the words of a row. Default 256. */
  readonly threads?: number;
}

/** The plan of a scatter. */
export type ScatterPlan = PassPlan<ScatterBindings, typeof PARAMS>;

/** Buffers of one block of heads. */
export interface ScatterBindings {
  readonly gathered: BufferSlice;
  readonly slots: BufferSlice;
  readonly output: BufferSlice;
}

/** Plans the scatter of a block of heads. */
export function planScatter(geometry: LighthouseGeometry, options: ScatterOptions): ScatterPlan {
  const { heads, headDim, dtype } = options;
  const threads = options.threads ?? 256;
  const rowsPerThread = Math.min(options.rowsPerThread ?? 4, geometry.pooling);
  const columns = wordsPerRow(headDim, dtype);
  requirePowerOfTwo("scatter threads", threads, { least: columns, most: 1024 });
  requirePowerOfTwo("scatter rowsPerThread", rowsPerThread, { least: 1, most: 64 });
  const shift = options.gradient ? 0 : 1;
  const units = geometry.context / rowsPerThread + shift;
  const [x, y] = foldGrid(Math.ceil(units / (threads / columns)));
  const elements = heads * headDim * bytesPerElement(dtype);
  return {
    pipeline: {
      label: "lighthouse scatter",
      bindings: ["read", "read", "read-write", "uniform"],
      code: [
        code,
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const rowsPerThread = ${rowsPerThread}u;`,
        `const shift = ${shift}u;`,
        cellCode(dtype),
        options.gradient
          ? wideCellCode(dtype, "gathered").load
          : "fn loadCell(at: u32) -> Cell { return unpackCell(gathered[at]); }\n",
        generateSumRows(geometry, { rowsPerThread, mean: options.gradient ?? false }),
      ].join("\n"),
    },
    layout: PARAMS,
    params: {
      context: geometry.context,
      entries: geometry.entries,
      gathered: geometry.gathered,
      units,
      gridWidth: x,
    },
    workgroups: [x, y, heads],
    bytes: {
      gathered: options.gradient
        ? geometry.gathered * heads * headDim * 4
        : geometry.gathered * elements,
      slots: heads * geometry.entries * 4,
      output: geometry.context * elements,
    },
  };
}

/** The function `sumRows()`: all slots are looked up before the first row is read. */
export function generateSumRows(
  geometry: LighthouseGeometry,
  options: { rowsPerThread: number; mean: boolean },
): string {
  const { pooling, levels } = geometry;
  const logPooling = Math.log2(pooling);
  const upper = range(levels).slice(1);
  const rows = range(options.rowsPerThread);
  const offset = (level: number) =>
    range(level).map((m) => `(params.context >> ${m * logPooling}u)`).join(" + ");
  const lookUp = (level: number) =>
    `let slot${level} = slotAt(head, ${offset(level)}, next >> ${level * logPooling}u);`;
  // Past the last row, only the first position of the unit has a row.
  const lookUpOwn = (r: number) =>
    `let own${r} = slotAt(head, 0u, ` +
    `select(0u, next + ${r}u, next + ${r}u < params.context + shift));`;
  const share = (level: number) => {
    const row = `rowAt(head, slot${level}, column)`;
    return options.mean ? `${row} * ${pooling ** -level}f` : row;
  };
  return wgsl`
    fn sumRows(head: u32, unit: u32, column: u32) {
      let next = unit * rowsPerThread;
      ${upper.map(lookUp)}
      ${rows.map(lookUpOwn)}
      let coarse = ${upper.map(share).join(" + ")};
      ${rows.map((r) => `let cell${r} = rowAt(head, own${r}, column) + coarse;`)}
      ${rows.map((r) => `store(head, next + ${r}u, column, cell${r});`)}
    }

  `;
}

/** Compiles the pass. */
export function createScatter(gpu: Gpu, plan: ScatterPlan): Promise<Pass<ScatterBindings>> {
  return createPass<ScatterBindings>(gpu, plan);
}
