/**
 * Pyramid and norm scores: one pass that reads a tensor once and writes its pooled levels and, for Q
 * and K, the scores of every pyramid entry.
 *
 * Shapes: rows `[heads, N, d]`, pooled `[heads, P - N, d]` (levels 1 … L-1, finest first; level 0 is
 * the input and is never copied), scores f32 `[heads, P]`.
 *
 * Numerics: sums in f32 in a fixed order that does not depend on the tuning options, one rounding to
 * the storage type; scores are SQUARED norms (see `norm_scores.wgsl`), which overflow to infinity
 * for f32 rows of norms above 1.8e19. With f16 storage scores
 * are the same on every device, and so are pooled values of magnitudes from 2^-14 on.
 *
 * @module
 */
import normScores from "../scorers/norm/norm_scores.wgsl" with { type: "text" };
import code from "./pyramid.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { foldGrid, type LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, requirePowerOfTwo, wordsPerRow } from "../rows.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";

const PARAMS = {
  context: "u32",
  windows: "u32",
  entries: "u32",
  pooledEntries: "u32",
  gridWidth: "u32",
} as const;

/** Options of {@linkcode planPyramid}. */
export interface PyramidOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** Also write norm scores. */
  readonly scored: boolean;
  /** Rows a thread loads before it uses the first, a power of two. Default 8; results are equal. */
  readonly rowsInFlight?: number;
  /** Threads of a workgroup, a power of two of at least the words of a row. Default 256. */
  readonly threads?: number;
}

/** A pyramid pass, planned; without scores there is no buffer for them. */
export type PyramidPlan = PassPlan<PyramidBindings, typeof PARAMS>;

/** Buffers of one block of heads. */
export interface PyramidBindings {
  readonly rows: BufferSlice;
  readonly pooled: BufferSlice;
  /** Needed when the plan is scored. */
  readonly scores?: BufferSlice;
}

/** Plans one pass over a block of heads. */
export function planPyramid(geometry: LighthouseGeometry, options: PyramidOptions): PyramidPlan {
  const { heads, headDim, dtype, scored } = options;
  const threads = options.threads ?? 256;
  const columns = wordsPerRow(headDim, dtype);
  const rowsInFlight = Math.min(options.rowsInFlight ?? 8, geometry.windowRows);
  const windows = geometry.context / geometry.windowRows;
  requirePowerOfTwo("pyramid threads", threads, { least: columns, most: 1024 });
  requirePowerOfTwo("pyramid rowsInFlight", rowsInFlight, { least: 1, most: 64 });
  const maxima = [...new Set([...windowsWithin(geometry, rowsInFlight), rowsInFlight])];
  const [x, y] = foldGrid(Math.ceil(windows / (threads / columns)));
  const elements = heads * headDim * bytesPerElement(dtype);
  return {
    pipeline: {
      label: "lighthouse pyramid",
      bindings: ["read", "read-write", "uniform", ...(scored ? ["read-write" as const] : [])],
      code: [
        code,
        scored ? normScores : "",
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const windowRows = ${geometry.windowRows}u;`,
        `const rowsInFlight = ${rowsInFlight}u;`,
        cellCode(dtype),
        scored ? scoreCode(columns, { rowsInFlight, windows: maxima }) : "",
        walkCode(geometry, { rowsInFlight, columns, scored }),
      ].join("\n"),
    },
    layout: PARAMS,
    params: {
      context: geometry.context,
      windows,
      entries: geometry.entries,
      pooledEntries: geometry.pooledEntries,
      gridWidth: x,
    },
    workgroups: [x, y, heads],
    bytes: {
      rows: geometry.context * elements,
      pooled: geometry.pooledEntries * elements,
      ...scored && { scores: heads * geometry.entries * 4 },
    },
  };
}

/**
 * The unrolled part of scoring: `sumColumns()` adds one row in column order, `sumRows()` leaves the
 * totals of all rows in flight in `partials`, `most<n>()` is the maximum of n totals.
 */
function scoreCode(
  columns: number,
  options: { rowsInFlight: number; windows: readonly number[] },
): string {
  const count = (length: number) => Array.from({ length }, (_, n) => n);
  const shares = count(Math.ceil(options.rowsInFlight / columns));
  return [
    "fn sumColumns(first: u32, mask: u32) -> f32 {",
    "  var sum = partials[first + mask];",
    ...count(columns).slice(1).map((c) => `  sum += partials[first + (${c}u ^ mask)];`),
    "  return sum;",
    "}",
    "fn sumRows(place: Place, firstRow: u32) {",
    "  workgroupBarrier();",
    ...shares.map((n) => `  let total${n} = sumRow(place, firstRow, ${n}u);`),
    "  workgroupBarrier();",
    ...shares.map((n) => `  putTotal(place, ${n}u, total${n});`),
    "  workgroupBarrier();",
    "}",
    ...options.windows.flatMap((rows) => [
      `fn most${rows}(place: Place, row: u32) -> u32 {`,
      "  var bits = totalOf(place, row);",
      ...count(rows).slice(1).map((r) => `  bits = max(bits, totalOf(place, row + ${r}u));`),
      "  return bits;",
      "}",
    ]),
    "",
  ].join("\n");
}

/** Base rows under one entry of each level whose windows fit into the rows in flight. */
function windowsWithin(geometry: LighthouseGeometry, rowsInFlight: number): number[] {
  return Array.from({ length: geometry.levels - 1 }, (_, n) => geometry.pooling ** (n + 1))
    .filter((rows) => rows <= rowsInFlight);
}

/**
 * `walk()`: the rows of one window. Levels whose windows fit into the rows in flight are written
 * within a step; the others are summed over steps.
 */
function walkCode(
  geometry: LighthouseGeometry,
  options: { rowsInFlight: number; columns: number; scored: boolean },
): string {
  const { rowsInFlight, columns, scored } = options;
  const { levels, pooling, windowRows } = geometry;
  const logPooling = Math.log2(pooling);
  const steps = windowRows / rowsInFlight;
  const rowsOf = (level: number) => pooling ** level;
  const upper = Array.from({ length: levels - 1 }, (_, n) => n + 1);
  const within = upper.slice(0, windowsWithin(geometry, rowsInFlight).length);
  const across = upper.slice(within.length);
  const lines: string[] = [];
  const head: string[] = [];
  for (const level of upper) {
    // First pooled entry of the level under this thread's window.
    const before = upper.slice(0, level - 1).map((m) => `(params.context >> ${m * logPooling}u)`);
    const inWindow = windowRows / rowsOf(level);
    head.push(`  let first${level} = ${[`place.window * ${inWindow}u`, ...before].join(" + ")};`);
  }
  for (const level of across) {
    head.push(`  var sum${level} = Cell();`);
    if (scored) head.push(`  var top${level} = 0u;`);
  }
  for (let r = 0; r < rowsInFlight; r++) {
    lines.push(`  let word${r} = base[at + (step * rowsInFlight + ${r}u) * columns];`);
  }
  for (let r = 0; r < rowsInFlight; r++) {
    lines.push(`  let cell0_${r} = unpackCell(word${r});`);
    if (scored) lines.push(`  putPartial(place, ${r}u, squaredNorm(cell0_${r}));`);
  }
  const entryOf = (level: number) =>
    `first${level} + ((step * rowsInFlight) >> ${level * logPooling}u)`;
  const mean = (level: number, cell: string) => `${cell} * ${1 / rowsOf(level)}f`;
  for (const level of within) {
    for (let n = 0; n < rowsInFlight / rowsOf(level); n++) {
      const children = Array.from(
        { length: pooling },
        (_, child) => `cell${level - 1}_${n * pooling + child}`,
      );
      const cell = `cell${level}_${n}`;
      lines.push(`  let ${cell} = ${children.join(" + ")};`);
      lines.push(`  storePooled(place, ${entryOf(level)} + ${n}u, ${mean(level, cell)});`);
    }
  }
  if (scored) {
    lines.push(`  sumRows(place, step * rowsInFlight);`);
    for (const level of within) {
      const rows = rowsOf(level);
      const count = rowsInFlight / rows;
      for (let n = 0; n < count; n += columns) {
        const entry = n > 0 ? `place.column + ${n}u` : "place.column";
        const score = `most${rows}(place, (${entry}) * ${rows}u)`;
        lines.push(
          `  if (${entry} < ${count}u) {`,
          `    storeScore(place, params.context + ${entryOf(level)} + ${entry}, ${score});`,
          `  }`,
        );
      }
    }
    if (across.length) lines.push(`  let top = most${rowsInFlight}(place, 0u);`);
  }
  const finest = within.length;
  across.forEach((level, n) => {
    const parts = n > 0
      ? [`sum${level - 1}`]
      : Array.from({ length: rowsInFlight / rowsOf(finest) }, (_, i) => `cell${finest}_${i}`);
    for (const part of parts) lines.push(`  sum${level} = sum${level} + ${part};`);
    if (scored) {
      lines.push(`  top${level} = max(top${level}, ${n > 0 ? `top${level - 1}` : "top"});`);
    }
    lines.push(`  if ((step + 1u) % ${rowsOf(level) / rowsInFlight}u == 0u) {`);
    lines.push(`  storePooled(place, ${entryOf(level)}, ${mean(level, `sum${level}`)});`);
    if (scored) {
      lines.push(
        `  if (place.column == 0u) { storeScore(place, params.context + ${
          entryOf(level)
        }, top${level}); }`,
      );
    }
  });
  // Each level is complete only where the one below it is.
  for (const level of [...across].reverse()) {
    lines.push(`  sum${level} = Cell();`);
    if (scored) lines.push(`  top${level} = 0u;`);
    lines.push(`  }`);
  }
  // The next step's partials must not overtake this step's maxima.
  if (scored && steps > 1) lines.push(`  workgroupBarrier();`);
  const body = steps > 1
    ? [`  for (var step = 0u; step < ${steps}u; step++) {`, ...lines, `  }`]
    : [`  const step = 0u;`, ...lines];
  return ["fn walk(place: Place, at: u32) {", ...head, ...body, "}", ""].join("\n");
}

/** Compiles the pass. */
export function createPyramid(gpu: Gpu, plan: PyramidPlan): Promise<Pass<PyramidBindings>> {
  return createPass<PyramidBindings>(gpu, plan);
}
