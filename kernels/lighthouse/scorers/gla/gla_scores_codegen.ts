/**
 * Unrolled WGSL of the gla kernels: staging of row tiles in workgroup memory and register-blocked
 * products. Registers are named private scalars, not arrays, so that no driver is tempted to put
 * them in memory.
 *
 * @module
 */
import type { DType } from "../../../gpu/buffers.ts";

/** How the chunks of the gla scorer are tiled. */
export interface GlaTiling {
  readonly headDim: number;
  readonly dtype: DType;
  /** Rows of a chunk, C. */
  readonly chunkRows: number;
  /** Threads of a workgroup, as a grid over rows (y) and columns (x) of a tile. */
  readonly threadsX: number;
  readonly threadsY: number;
  /** Rows, or elements of d, that are staged at a time. */
  readonly depth: number;
}

/** Vectors of four f32 that the two tiled kernels stage. */
export function stageVectors(tiling: GlaTiling): { states: number; scores: number } {
  const { headDim, chunkRows, threadsX, depth } = tiling;
  const walk = depth * (2 * chunkRows + headDim) / 4;
  const weights = threadsX * (chunkRows / 4 + 1 + headDim / 4);
  const squares = chunkRows * threadsX / 4;
  return { states: depth * headDim / 2, scores: Math.max(walk, weights, squares) };
}

function constants(tiling: GlaTiling, vectors: number): string {
  return [
    `const CHUNK = ${tiling.chunkRows}u;`,
    `const HEAD_DIM = ${tiling.headDim}u;`,
    `const DEPTH = ${tiling.depth}u;`,
    `const THREADS_X = ${tiling.threadsX}u;`,
    `const THREADS_Y = ${tiling.threadsY}u;`,
    `const ROWS_PER_THREAD = ${tiling.chunkRows / tiling.threadsY}u;`,
    `const COLUMNS_PER_THREAD = ${tiling.chunkRows / tiling.threadsX}u;`,
    `const STAGE_VECTORS = ${vectors}u;`,
    "",
  ].join("\n");
}

/** What `gla_states.wgsl` calls. */
export function generateStates(tiling: GlaTiling): string {
  const { headDim, threadsX, threadsY, depth } = tiling;
  const rows = range(headDim / threadsY);
  const groups = range(headDim / threadsX / 4);
  const width = headDim / 4;
  const multiply: string[] = [];
  for (const k of range(depth)) {
    const at = k * 2 * width;
    multiply.push(
      "  {",
      ...range(rows.length / 4).map((i) => `    let a${i} = stage[ra + ${at + i}u];`),
      ...groups.map((g) => `    let b${g} = stage[ca + ${at + width + g * threadsX}u];`),
      ...rows.flatMap((r) => groups.map((g) => `    ${rankOne(`s${r}_${g}`, `a`, r, `b${g}`)}`)),
      "  }",
    );
  }
  return [
    constants(tiling, stageVectors(tiling).states),
    ...registers("s", rows, groups),
    clear("State", "s", { rows, groups }),
    "fn stageRows(t: u32, end: f32) {",
    ...stageNatural(tiling, {
      count: depth,
      buffer: "writers",
      row: "row0 + t + r",
      factor: "decayBetween(end - decay[t + r])",
      to: `r * ${2 * width}u`,
    }),
    ...stageNatural(tiling, {
      count: depth,
      buffer: "values",
      row: "row0 + t + r",
      to: `r * ${2 * width}u + ${width}u`,
    }),
    "}",
    "fn multiplyRows() {",
    `  let ra = ty * ${rows.length / 4}u;`,
    "  let ca = tx;",
    ...multiply,
    "}",
    "fn storeState(slot: u32) {",
    `  let at = slot * ${headDim * width}u + ty * ${rows.length * width}u + tx;`,
    ...rows.flatMap((r) =>
      groups.map((g) => `  states[at + ${r * width + g * threadsX}u] = s${r}_${g};`)
    ),
    "}",
    "",
  ].join("\n");
}

/** What `gla_scan.wgsl` calls: `inFlight` chunks of one element. */
export function generateScan(
  options: { headDim: number; threads: number; inFlight: number },
): string {
  const { headDim, threads, inFlight } = options;
  const chunks = range(inFlight);
  return [
    `const SCAN_THREADS = ${threads}u;`,
    `const ELEMENTS = ${headDim * headDim}u;`,
    `const IN_FLIGHT = ${inFlight}u;`,
    "fn scanChunks(first: u32, c: u32, element: u32, before: f32) -> f32 {",
    "  let last = params.chunks - 1u;",
    ...chunks.flatMap((n) => [
      `  let slot${n} = first + min(c + ${n}u, last);`,
      `  let added${n} = states[slot${n} * ELEMENTS + element];`,
      `  let decay${n} = decays[slot${n}];`,
    ]),
    "  var state = before;",
    ...chunks.flatMap((n) => [
      `  if (c + ${n}u <= last) {`,
      `    states[slot${n} * ELEMENTS + element] = state;`,
      `    state = fma(decay${n}, state, added${n});`,
      "  }",
    ]),
    "  return state;",
    "}",
    "",
  ].join("\n");
}

/** What `gla_scores.wgsl` calls. */
export function generateScores(tiling: GlaTiling): string {
  const { headDim, chunkRows, threadsX, threadsY, depth } = tiling;
  const rows = range(chunkRows / threadsY);
  const columns = range(chunkRows / threadsX / 4);
  const groups = range(headDim / threadsX / 4);
  const width = headDim / 4;
  const chunkWidth = chunkRows / 4;
  const step = 2 * chunkWidth + width; // vectors of one staged element of d
  const padded = chunkWidth + 1; // keeps writes of weights free of bank conflicts
  const weightVectors = threadsX * padded;
  const rowGroups = range(rows.length / 4);

  const walk: string[] = [];
  for (const k of range(depth)) {
    const at = k * step;
    walk.push(
      "  {",
      ...rowGroups.map((i) => `    let a${i} = stage[ra + ${at + i}u];`),
      ...columns.map((g) => `    let b${g} = stage[ca + ${at + chunkWidth + g * threadsX}u];`),
      ...groups.map((g) => `    let c${g} = stage[ca + ${at + 2 * chunkWidth + g * threadsX}u];`),
      ...rows.flatMap((r) => columns.map((g) => `    ${rankOne(`p${r}_${g}`, "a", r, `b${g}`)}`)),
      ...rows.flatMap((r) => groups.map((g) => `    ${rankOne(`o${r}_${g}`, "a", r, `c${g}`)}`)),
      "  }",
    );
  }

  const multiply: string[] = [];
  for (const k of range(threadsX)) {
    multiply.push(
      "  {",
      ...rowGroups.map((i) => `    let w${i} = stage[ra + ${k * padded + i}u];`),
      ...groups.map((g) => `    let b${g} = stage[ca + ${k * width + g * threadsX}u];`),
      ...rows.flatMap((r) => groups.map((g) => `    ${rankOne(`o${r}_${g}`, "w", r, `b${g}`)}`)),
      "  }",
    );
  }

  // Selection by comparison, since a run-time index into a register would go through memory.
  const pick = (r: number) => {
    const of = columns.map((g) => `p${r}_${g}`);
    const x = of.slice(1).reduce((all, p, n) => `select(${all}, ${p}, quad == ${n + 1}u)`, of[0]);
    const from = `select(select(x.x, x.y, odd), select(x.z, x.w, odd), high)`;
    return `  { let x = ${x}; w.${XYZW[r & 3]} = ${from}; }`;
  };

  return [
    constants(tiling, stageVectors(tiling).scores),
    ...registers("p", rows, columns),
    ...registers("o", rows, groups),
    clear("Products", "p", { rows, groups: columns }),
    clear("Output", "o", { rows, groups }),
    "fn stageReaders(k: u32) {",
    ...stageTransposed(tiling, { buffer: "readers", step, first: 0, row: "slot" }),
    "}",
    "fn stageWriters(k: u32) {",
    // A thread's columns lie side by side; the logical column is e * THREADS_X + tx.
    ...stageTransposed(tiling, {
      buffer: "writers",
      step,
      first: chunkWidth,
      row: `((slot / ${4 * threadsX}u) * 4u + (slot & 3u)) * ${threadsX}u + ` +
        `(slot / 4u) % ${threadsX}u`,
    }),
    "}",
    "fn stageState(slot: u32, k: u32) {",
    `  let start = slot * ${headDim * width}u + k * ${width}u;`,
    ...units(tiling, depth * width, [
      `    stage[(u / ${width}u) * ${step}u + ${2 * chunkWidth}u + u % ${width}u] = ` +
      "states[start + u];",
    ]),
    "}",
    "fn multiplyState() {",
    `  let ra = ty * ${rowGroups.length}u;`,
    "  let ca = tx;",
    ...walk,
    "}",
    "fn decayOutput() {",
    ...rows.flatMap((r) => [
      `  { let factor = exp(decay[ty * ${rows.length}u + ${r}u]);`,
      ...groups.map((g) => `  o${r}_${g} = o${r}_${g} * factor;`),
      "  }",
    ]),
    "}",
    "fn decayProducts() {",
    ...columns.flatMap((g) => {
      const column = (l: number) => `${(4 * g + l) * threadsX}u + tx`;
      return [
        `  let j${g} = vec4u(${range(4).map(column).join(", ")});`,
        `  let d${g} = vec4f(${range(4).map((l) => `decay[j${g}.${XYZW[l]}]`).join(", ")});`,
      ];
    }),
    ...rows.flatMap((r) => [
      `  { let i = ty * ${rows.length}u + ${r}u; let d = decay[i];`,
      ...columns.map((g) =>
        `  p${r}_${g} = select(vec4f(), p${r}_${g} * exp(min(vec4f(d) - d${g}, vec4f())), ` +
        `j${g} <= vec4u(i));`
      ),
      "  }",
    ]),
    "}",
    "fn stageWeights(e: u32) {",
    "  let odd = (e & 1u) == 1u; let high = (e & 2u) == 2u;",
    columns.length > 1 ? "  let quad = e / 4u;" : "",
    `  let at = tx * ${padded}u + ty * ${rowGroups.length}u;`,
    "  var w: vec4f;",
    ...rowGroups.flatMap((i) => [
      ...range(4).map((l) => pick(4 * i + l)),
      `  stage[at + ${i}u] = w;`,
    ]),
    "}",
    "fn stageValues(e: u32) {",
    ...stageNatural(tiling, {
      count: threadsX,
      buffer: "values",
      row: `row0 + e * ${threadsX}u + r`,
      to: `${weightVectors}u + r * ${width}u`,
    }),
    "}",
    "fn multiplyWeights() {",
    `  let ra = ty * ${rowGroups.length}u;`,
    `  let ca = ${weightVectors}u + tx;`,
    ...multiply,
    "}",
    "fn stageSquares() {",
    `  let at = ty * ${rows.length * threadsX / 4}u + tx / 4u;`,
    ...rows.map((r) => {
      const squares = groups.map((g) => `dot(o${r}_${g}, o${r}_${g})`).join(" + ");
      return `  stage[at + ${r * threadsX / 4}u][tx & 3u] = ${squares};`;
    }),
    "}",
    "fn squareOf(row: u32) -> f32 {",
    `  let at = row * ${threadsX / 4}u;`,
    `  let all = ${range(threadsX / 4).map((n) => `stage[at + ${n}u]`).join(" + ")};`,
    "  return (all.x + all.y) + (all.z + all.w);",
    "}",
    "",
  ].join("\n");
}

const XYZW = ["x", "y", "z", "w"];

function range(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

/** `into` += element r of the vectors `rows0`, `rows1`, … times the vector `columns`. */
function rankOne(into: string, rows: string, r: number, columns: string): string {
  return `${into} = fma(vec4f(${rows}${r >> 2}.${XYZW[r & 3]}), ${columns}, ${into});`;
}

function registers(name: string, rows: number[], groups: number[]): string[] {
  return rows.flatMap((r) => groups.map((g) => `var<private> ${name}${r}_${g}: vec4f;`));
}

function clear(
  name: string,
  register: string,
  tile: { rows: number[]; groups: number[] },
): string {
  const lines = tile.rows.flatMap((r) =>
    tile.groups.map((g) => `  ${register}${r}_${g} = vec4f();`)
  );
  return [`fn clear${name}() {`, ...lines, "}"].join("\n");
}

/** Deals `count` units of work to threads: `body` for unit u, guarded where some do not exist. */
function units(tiling: GlaTiling, count: number, body: string[]): string[] {
  const threads = tiling.threadsX * tiling.threadsY;
  return range(Math.ceil(count / threads)).flatMap((n) => [
    `  { let u = local + ${n * threads}u;`,
    (n + 1) * threads > count ? `  if (u < ${count}u) {` : "  {",
    ...body,
    "  } }",
  ]);
}

/** Expressions of the vectors of four f32 in a 16-byte word. */
function unpack(dtype: DType, word: string): string[] {
  return dtype === "f16"
    ? [
      `vec4f(unpack2x16float(${word}.x), unpack2x16float(${word}.y))`,
      `vec4f(unpack2x16float(${word}.z), unpack2x16float(${word}.w))`,
    ]
    : [`bitcast<vec4f>(${word})`];
}

/** Stages rows as they are, zeros past the end of the sequence; `r` is the row of the stage. */
function stageNatural(
  tiling: GlaTiling,
  options: { count: number; buffer: string; row: string; factor?: string; to: string },
): string[] {
  const { headDim, dtype } = tiling;
  const perWord = dtype === "f16" ? 2 : 1; // vectors in a 16-byte word
  const words = headDim / 4 / perWord;
  const factor = options.factor ? " * factor" : "";
  return units(tiling, options.count * words, [
    `    let r = u / ${words}u; let c = u % ${words}u; let row = ${options.row};`,
    "    var word = vec4u();",
    `    if (row < params.rows) { word = ${options.buffer}[tokenOf(row) * ${words}u + c]; }`,
    options.factor ? `    let factor = ${options.factor};` : "",
    `    let at = ${options.to} + ${perWord}u * c;`,
    ...unpack(dtype, "word").map((vector, n) => `    stage[at + ${n}u] = ${vector}${factor};`),
  ]);
}

/** Stages elements k … k + depth - 1 of the chunk's rows, transposed; `slot` is the column. */
function stageTransposed(
  tiling: GlaTiling,
  options: { buffer: string; step: number; first: number; row: string },
): string[] {
  const { headDim, dtype, chunkRows, depth } = tiling;
  const perWord = dtype === "f16" ? 8 : 4;
  const { step } = options;
  return units(tiling, chunkRows * depth / perWord, [
    `    let slot = u % ${chunkRows}u; let piece = u / ${chunkRows}u; let row = row0 + ${options.row};`,
    "    var word = vec4u();",
    "    if (row < params.rows) {",
    `      word = ${options.buffer}[tokenOf(row) * ${headDim / perWord}u + ` +
    `k / ${perWord}u + piece];`,
    "    }",
    `    let at = piece * ${
      perWord * step
    }u + ${options.first}u + slot / 4u; let lane = slot & 3u;`,
    ...unpack(dtype, "word").flatMap((vector, n) => [
      `    let x${n} = ${vector};`,
      ...range(4).map((l) => `    stage[at + ${(4 * n + l) * step}u][lane] = x${n}.${XYZW[l]};`),
    ]),
  ]);
}
