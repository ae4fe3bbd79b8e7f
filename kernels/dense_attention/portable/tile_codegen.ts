/**
 * Generated WGSL for products of tiles, the building blocks of the attention kernels.
 *
 * A workgroup owns TILE_ROWS rows of one operand and walks tiles of TILE_COLUMNS rows of another
 * ("columns"). Threads form a grid of THREADS_Y by THREADS_X; a thread owns ROWS_PER_THREAD rows,
 * the columns c0 + e * THREADS_X + tx of a tile, and headDim / THREADS_X columns of d.
 *
 * - A *first product* A·Bᵀ contracts over d: both operands are staged transposed, `chunk` elements
 *   of d at a time, and each thread adds rank-1 updates to its scores.
 * - A *second product* W·B contracts over the tile's columns, one column of every thread a step:
 *   weights go through workgroup memory, rows of B are staged as they are.
 *
 * Registers are named private scalars, not arrays, so that no driver is tempted to put them in
 * memory. Both kinds of step alternate between two stages of workgroup memory, so that each needs
 * one barrier: filling a stage is safe because whoever reads it has passed the previous barrier.
 *
 * The kernel text around these functions declares `params.rows`, `stage`, and the private variables
 * `local`, `tx`, `ty`, `row0` (first row of the workgroup) and `headRow` (first row of the sequence in
 * the tensors; row n of the sequence is row headRow + n * ROW_STRIDE).
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import type { Tiling } from "../tilings.ts";

/** A tiling with what it is applied to. */
export interface TileProgram {
  readonly tiling: Tiling;
  readonly headDim: number;
  readonly dtype: DType;
  /** Type that rows are stored in by `generateStoreRows`. Default: that of what is read. */
  readonly stored?: DType;
  /** Distance between consecutive rows of a sequence in the tensors, in rows. Default 1. */
  readonly rowStride?: number;
}

/** Numbers that follow from a tiling and a head dimension. */
export interface TileLayout {
  readonly threads: number;
  readonly rowsPerThread: number;
  readonly columnsPerThread: number;
  /** Groups of four columns of d that a thread owns. */
  readonly depthGroups: number;
  readonly chunks: number;
  /** Vectors of four f32 in one of the two stages. */
  readonly stageVectors: number;
  readonly workgroupBytes: number;
}

/**
 * Lays a tiling out.
 *
 * @throws {RangeError} when the tiling does not divide evenly.
 */
export function layOut(tiling: Tiling, headDim: number): TileLayout {
  const { tileRows, tileColumns, threadsX, threadsY, chunk } = tiling;
  const whole = (name: string, value: number) => {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(`lay out tiles: ${name} = ${value} is not a whole number`);
    }
    return value;
  };
  const rowsPerThread = 4 * whole("tileRows / (4 * threadsY)", tileRows / (4 * threadsY));
  const columnsPerThread = 4 *
    whole("tileColumns / (4 * threadsX)", tileColumns / (4 * threadsX));
  const depthGroups = whole("headDim / (4 * threadsX)", headDim / (4 * threadsX));
  const chunks = whole("headDim / chunk", headDim / chunk);
  whole("chunk / 8", chunk / 8);
  whole("chunks / 2", chunks / 2); // stages alternate: every product must begin with stage 0
  const first = chunk * (tileRows + tileColumns) / 4;
  const second = threadsX * headDim / 4 + threadsX * (tileRows / 4 + 1);
  const reduction = tileRows * threadsX / 4;
  const stageVectors = Math.max(first, second, reduction);
  return {
    threads: threadsX * threadsY,
    rowsPerThread,
    columnsPerThread,
    depthGroups,
    chunks,
    stageVectors,
    workgroupBytes: 2 * 16 * stageVectors,
  };
}

/** Constants that the kernel text uses, and the permutation of staged columns. */
export function generateConstants(
  { tiling, headDim, dtype, stored = dtype, rowStride }: TileProgram,
): string {
  const { tileRows, tileColumns, threadsX, threadsY } = tiling;
  const { chunks, columnsPerThread, stageVectors } = layOut(tiling, headDim);
  return `
const THREADS_X = ${threadsX}u;
const THREADS_Y = ${threadsY}u;
const TILE_ROWS = ${tileRows}u;
const TILE_COLUMNS = ${tileColumns}u;
const CHUNKS = ${chunks}u;
const COLUMNS_PER_THREAD = ${columnsPerThread}u;
const STAGE_VECTORS = ${stageVectors}u;
const ROW_STRIDE = ${rowStride ?? 1}u;
alias FourElements = ${stored === "f16" ? "vec2u" : "vec4f"};
${stored === "f16" ? NEAREST_HALF : ""}
fn fourElements(x: vec4f) -> FourElements {
  ${
    stored === "f16"
      ? "let y = nearestHalf(x); return vec2u(pack2x16float(y.xy), pack2x16float(y.zw));"
      : "return x;"
  }
}
// A thread's columns lie side by side in a stage; the logical column is e * THREADS_X + tx.
fn columnOfSlot(slot: u32) -> u32 {
  return ((slot / ${4 * threadsX}u) * 4u + (slot & 3u)) * ${threadsX}u + (slot / 4u) % ${threadsX}u;
}
`;
}

/** Names of a first product: scores `into` += rows · columnsᵀ. */
export interface FirstProduct {
  /** Suffix of the generated function `compute…(c0)` and of those that it is made of. */
  readonly name: string;
  /** Storage buffers of 16-byte vectors, `[heads, rows, d]`. */
  readonly rows: string;
  readonly columns: string;
  /** Prefix of the score registers. */
  readonly into: string;
  /** WGSL factor of the staged rows, for example `params.scale`. */
  readonly scale?: string;
  /** Storage types of the two buffers. Default: the program's. */
  readonly rowsType?: DType;
  readonly columnsType?: DType;
}

/** How a buffer of rows is read 16 bytes at a time. */
function vectorsOf(dtype: DType, { headDim, chunk }: { headDim: number; chunk: number }) {
  const perVector = elementsPerVector(dtype);
  // 16-byte vectors of one row, and of its chunk.
  return { dtype, perVector, rowVectors: headDim / perVector, pieces: chunk / perVector };
}

/** Registers and functions of a first product. */
export function generateFirstProduct(program: TileProgram, product: FirstProduct): string {
  const { tiling, headDim, dtype } = program;
  const { tileRows, tileColumns, threadsX, chunk } = tiling;
  const layout = layOut(tiling, headDim);
  const { name, into } = product;
  const rowsOf = vectorsOf(product.rowsType ?? dtype, { headDim, chunk });
  const columnsOf = vectorsOf(product.columnsType ?? dtype, { headDim, chunk });
  const stageRow = (tileRows + tileColumns) / 4; // vectors of one staged d index
  const out: string[] = [];
  const rows = range(layout.rowsPerThread);
  const groups = range(layout.columnsPerThread / 4);
  const rowUnits = split(tileRows * rowsOf.pieces, layout.threads);
  const columnUnits = split(tileColumns * columnsOf.pieces, layout.threads);
  const rowRegister = (i: number) => `${into}FetchRow${i}`;
  const columnRegister = (i: number) => `${into}FetchColumn${i}`;

  for (const r of rows) {
    for (const g of groups) out.push(`var<private> ${into}${r}_${g}: vec4f;`);
  }
  for (const i of rowUnits.keys()) out.push(`var<private> ${rowRegister(i)}: vec4u;`);
  for (const i of columnUnits.keys()) out.push(`var<private> ${columnRegister(i)}: vec4u;`);

  out.push(`fn clear${name}() {`);
  for (const r of rows) for (const g of groups) out.push(`  ${into}${r}_${g} = vec4f();`);
  out.push("}");

  out.push(`fn fetch${name}(c0: u32, c: u32) {`);
  for (const [i, unit] of rowUnits.entries()) {
    const { pieces, rowVectors } = rowsOf;
    const at = { row: `row0 + u % ${tileRows}u`, column: `c * ${pieces}u + u / ${tileRows}u` };
    out.push(guard(unit, fetchVector(rowRegister(i), product.rows, { ...at, rowVectors })));
  }
  for (const [i, unit] of columnUnits.entries()) {
    const { pieces, rowVectors } = columnsOf;
    const at = {
      row: `c0 + columnOfSlot(u % ${tileColumns}u)`,
      column: `c * ${pieces}u + u / ${tileColumns}u`,
    };
    out.push(guard(unit, fetchVector(columnRegister(i), product.columns, { ...at, rowVectors })));
  }
  out.push("}");

  const scatter = (
    register: string,
    { of, first, modulus, scale }: {
      of: typeof rowsOf;
      first: number;
      modulus: number;
      scale: string;
    },
  ) => {
    const { perVector } = of;
    const lines = [
      `    let slot = u % ${modulus}u; let lane = slot & 3u;`,
      `    let at = base + (u / ${modulus}u) * ${perVector * stageRow}u + ${first}u + slot / 4u;`,
    ];
    if (of.dtype === "f16") {
      for (const w of range(4)) {
        lines.push(
          `    let p${w} = unpack2x16float(${register}.${XYZW[w]})${scale};`,
          `    stage[at + ${2 * w * stageRow}u][lane] = p${w}.x;`,
          `    stage[at + ${(2 * w + 1) * stageRow}u][lane] = p${w}.y;`,
        );
      }
    } else {
      lines.push(`    let p = bitcast<vec4f>(${register})${scale};`);
      for (const w of range(4)) {
        lines.push(`    stage[at + ${w * stageRow}u][lane] = p.${XYZW[w]};`);
      }
    }
    return lines.join("\n");
  };
  out.push(`fn store${name}(base: u32) {`);
  const scale = product.scale ? ` * ${product.scale}` : "";
  for (const [i, unit] of rowUnits.entries()) {
    const place = { of: rowsOf, first: 0, modulus: tileRows, scale };
    out.push(guard(unit, scatter(rowRegister(i), place)));
  }
  for (const [i, unit] of columnUnits.entries()) {
    const place = { of: columnsOf, first: tileRows / 4, modulus: tileColumns, scale: "" };
    out.push(guard(unit, scatter(columnRegister(i), place)));
  }
  out.push("}");

  out.push(
    `fn multiply${name}(base: u32) {`,
    `  let ra = base + ty * ${layout.rowsPerThread / 4}u;`,
    `  let ca = base + ${tileRows / 4}u + tx;`,
  );
  for (const k of range(chunk)) {
    out.push("  {");
    for (const i of range(layout.rowsPerThread / 4)) {
      out.push(`    let a${i} = stage[ra + ${k * stageRow + i}u];`);
    }
    for (const g of groups) {
      out.push(`    let b${g} = stage[ca + ${k * stageRow + g * threadsX}u];`);
    }
    for (const r of rows) {
      for (const g of groups) {
        const s = `${into}${r}_${g}`;
        out.push(`    ${s} = fma(vec4f(a${r >> 2}.${XYZW[r & 3]}), b${g}, ${s});`);
      }
    }
    out.push("  }");
  }
  out.push("}");
  out.push(
    "// Scores of the tile at c0, from zero. The next chunk is loaded while one is multiplied.",
    `fn compute${name}(c0: u32) {`,
    `  clear${name}();`,
    `  fetch${name}(c0, 0u);`,
    "  for (var c = 0u; c < CHUNKS; c++) {",
    "    let base = (c & 1u) * STAGE_VECTORS;",
    `    store${name}(base);`,
    "    workgroupBarrier();",
    `    if (c + 1u < CHUNKS) { fetch${name}(c0, c + 1u); }`,
    `    multiply${name}(base);`,
    "  }",
    "}",
  );
  return out.join("\n") + "\n";
}

/** Names of a second product: outputs `into` += weights · values. */
export interface SecondProduct {
  /** Suffix of the generated functions `clear…()`, `fetch…(c0, e)` and `accumulate…(c0)`. */
  readonly name: string;
  /** Prefix of the score registers that hold the weights. */
  readonly weights: string;
  /** Storage buffer of 16-byte vectors, `[heads, rows, d]`. */
  readonly values: string;
  /** Prefix of the output registers. */
  readonly into: string;
  /** Storage type of the values. Default: the program's. */
  readonly valuesType?: DType;
}

/** Registers and functions of a second product. */
export function generateSecondProduct(program: TileProgram, product: SecondProduct): string {
  const { tiling, headDim } = program;
  const { tileRows, threadsX } = tiling;
  const layout = layOut(tiling, headDim);
  const { name, weights, into, valuesType: dtype = program.dtype } = product;
  const perVector = elementsPerVector(dtype);
  const rowVectors = headDim / perVector;
  const units = split(threadsX * rowVectors, layout.threads);
  const valueVectors = threadsX * headDim / 4;
  const padded = tileRows / 4 + 1; // keeps writes of weights free of bank conflicts
  const rows = range(layout.rowsPerThread);
  const depth = range(layout.depthGroups);
  const out: string[] = [];
  const register = (i: number) => `${into}Fetch${i}`;

  for (const r of rows) for (const g of depth) out.push(`var<private> ${into}${r}_${g}: vec4f;`);
  for (const i of units.keys()) out.push(`var<private> ${register(i)}: vec4u;`);
  out.push(`fn clear${name}() {`);
  for (const r of rows) for (const g of depth) out.push(`  ${into}${r}_${g} = vec4f();`);
  out.push("}");

  out.push(`fn fetch${name}(c0: u32, e: u32) {`);
  for (const [i, unit] of units.entries()) {
    out.push(
      guard(
        unit,
        fetchVector(register(i), product.values, {
          row: `c0 + e * ${threadsX}u + u / ${rowVectors}u`,
          column: `u % ${rowVectors}u`,
          rowVectors,
        }),
      ),
    );
  }
  out.push("}");

  out.push(`fn store${name}(base: u32, e: u32) {`);
  for (const [i, unit] of units.entries()) {
    const x = register(i);
    out.push(guard(
      unit,
      dtype === "f16"
        ? `    stage[base + 2u * u] = vec4f(unpack2x16float(${x}.x), unpack2x16float(${x}.y));\n` +
          `    stage[base + 2u * u + 1u] = vec4f(unpack2x16float(${x}.z), unpack2x16float(${x}.w));`
        : `    stage[base + u] = bitcast<vec4f>(${x});`,
    ));
  }
  out.push(
    `  let at = base + ${valueVectors}u + tx * ${padded}u + ty * ${layout.rowsPerThread / 4}u;`,
    // Selection by comparison, since a run-time index into a register would go through memory.
    "  let odd = (e & 1u) == 1u; let high = (e & 2u) == 2u;",
  );
  if (layout.columnsPerThread > 4) out.push("  let quad = e / 4u;");
  const pick = (r: number) => {
    const of = range(layout.columnsPerThread / 4).map((g) => `${weights}${r}_${g}`);
    const x = of.slice(1).reduce((all, s, g) => `select(${all}, ${s}, quad == ${g + 1}u)`, of[0]);
    return `    { let x = ${x}; w.${
      XYZW[r & 3]
    } = select(select(x.x, x.y, odd), select(x.z, x.w, odd), high); }`;
  };
  for (const i of range(layout.rowsPerThread / 4)) {
    out.push("  {", "    var w: vec4f;");
    for (const j of range(4)) out.push(pick(4 * i + j));
    out.push(`    stage[at + ${i}u] = w;`, "  }");
  }
  out.push("}");

  out.push(
    `fn multiply${name}(base: u32) {`,
    `  let va = base + tx;`,
    `  let wa = base + ${valueVectors}u + ty * ${layout.rowsPerThread / 4}u;`,
  );
  for (const k of range(threadsX)) {
    out.push("  {");
    for (const i of range(layout.rowsPerThread / 4)) {
      out.push(`    let w${i} = stage[wa + ${k * padded + i}u];`);
    }
    for (const g of depth) {
      out.push(`    let v${g} = stage[va + ${k * headDim / 4 + g * threadsX}u];`);
    }
    for (const r of rows) {
      for (const g of depth) {
        const o = `${into}${r}_${g}`;
        out.push(`    ${o} = fma(vec4f(w${r >> 2}.${XYZW[r & 3]}), v${g}, ${o});`);
      }
    }
    out.push("  }");
  }
  out.push("}");
  out.push(
    `// Adds the tile at c0, of which fetch${name}(c0, 0u) has loaded the first values.`,
    `fn accumulate${name}(c0: u32) {`,
    "  for (var e = 0u; e < COLUMNS_PER_THREAD; e++) {",
    "    let base = (e & 1u) * STAGE_VECTORS;",
    `    store${name}(base, e);`,
    "    workgroupBarrier();",
    `    if (e + 1u < COLUMNS_PER_THREAD) { fetch${name}(c0, e + 1u); }`,
    `    multiply${name}(base);`,
    "  }",
    "}",
  );
  return out.join("\n") + "\n";
}

/** A function that stores the thread's output rows, each times a WGSL factor of the row `r`. */
export function generateStoreRows(
  program: TileProgram,
  options: {
    name: string;
    from: string;
    to: string;
    factor: (r: number) => string;
    after?: (r: number) => string;
  },
): string {
  const { tiling, headDim } = program;
  const layout = layOut(tiling, headDim);
  const out = [`fn store${options.name}() {`, `  let row = row0 + ty * ${layout.rowsPerThread}u;`];
  for (const r of range(layout.rowsPerThread)) {
    out.push(
      `  if (row + ${r}u < params.rows) {`,
      `    let at = (headRow + (row + ${r}u) * ROW_STRIDE) * ${headDim / 4}u + tx;`,
      `    let factor = ${options.factor(r)};`,
    );
    for (const g of range(layout.depthGroups)) {
      out.push(
        `    ${options.to}[at + ${
          g * tiling.threadsX
        }u] = fourElements(${options.from}${r}_${g} * factor);`,
      );
    }
    if (options.after) out.push(`    ${options.after(r)}`);
    out.push("  }");
  }
  out.push("}");
  return out.join("\n") + "\n";
}

/**
 * Statements that reduce one value per row, the variables `name0`, `name1`, …, over the THREADS_X
 * threads that share the row.
 *
 * Without subgroups the values meet in stage 0, which must be free: its readers have passed a
 * barrier since. Afterwards it is free again.
 */
export function generateRowReduction(
  program: TileProgram,
  options: { name: string; combine: (a: string, b: string) => string; subgroups: boolean },
): string {
  const { threadsX } = program.tiling;
  const { rowsPerThread } = layOut(program.tiling, program.headDim);
  const { name, combine } = options;
  const out: string[] = [];
  const rows = range(rowsPerThread);
  if (options.subgroups) {
    for (let step = 1; step < threadsX; step *= 2) {
      for (const r of rows) {
        const x = `${name}${r}`;
        out.push(`  ${x} = ${combine(x, `subgroupShuffleXor(${x}, ${step}u)`)};`);
      }
    }
    return out.join("\n");
  }
  out.push(`  { let begin = ty * ${rowsPerThread * threadsX / 4}u; let lane = tx & 3u;`);
  for (const r of rows) {
    out.push(`  stage[begin + ${r * threadsX / 4}u + tx / 4u][lane] = ${name}${r};`);
  }
  out.push("  workgroupBarrier();");
  for (const r of rows) {
    out.push(`  { var all = stage[begin + ${r * threadsX / 4}u];`);
    for (const i of range(threadsX / 4).slice(1)) {
      out.push(`  all = ${combine("all", `stage[begin + ${r * threadsX / 4 + i}u]`)};`);
    }
    out.push(`  ${name}${r} = ${combine(combine("all.x", "all.y"), combine("all.z", "all.w"))}; }`);
  }
  out.push("  workgroupBarrier(); }");
  return out.join("\n");
}

/** 0 … count - 1. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

const XYZW = ["x", "y", "z", "w"];

/** Elements in 16 bytes. */
function elementsPerVector(dtype: DType): number {
  return dtype === "f16" ? 8 : 4;
}

/** Loads 16 bytes of a row, or zeros where the row does not exist. */
function fetchVector(
  register: string,
  buffer: string,
  at: { row: string; column: string; rowVectors: number },
): string {
  return `    let n = ${at.row}; ${register} = vec4u();\n` +
    `    if (n < params.rows) { ${register} = ${buffer}[(headRow + n * ROW_STRIDE) * ${at.rowVectors}u + ${at.column}]; }`;
}

interface Unit {
  readonly start: number;
  readonly guarded: boolean;
  readonly units: number;
}

/** Deals units of work to threads: unit u = local + start, guarded where some do not exist. */
function split(units: number, threads: number): Unit[] {
  return range(Math.ceil(units / threads)).map((i) => ({
    start: i * threads,
    guarded: (i + 1) * threads > units,
    units,
  }));
}

function guard(unit: Unit, body: string): string {
  const head = `  { let u = local + ${unit.start}u;`;
  return unit.guarded
    ? `${head} if (u < ${unit.units}u) {\n${body}\n  } }`
    : `${head}\n${body}\n  }`;
}
