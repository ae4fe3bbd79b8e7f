/**
 * Unrolled WGSL of the gla kernels: register-blocked products of staged rows. Registers are named
 * private scalars, not arrays, so that drivers keep them out of memory.
 *
 * @module
 */
import { flatWgsl, range, wgsl, XYZW } from "../../../gpu/wgsl.ts";
import {
  forEachUnit,
  type GlaTiling,
  stageNatural,
  stageTransposed,
  stageVectors,
} from "./gla_staging_codegen.ts";

// ---- Shared by all tiled kernels ----

function constants(tiling: GlaTiling, vectors: number): string {
  return wgsl`
    const CHUNK = ${tiling.chunkRows}u;
    const HEAD_DIM = ${tiling.headDim}u;
    const DEPTH = ${tiling.depth}u;
    const THREADS_X = ${tiling.threadsX}u;
    const THREADS_Y = ${tiling.threadsY}u;
    const ROWS_PER_THREAD = ${tiling.chunkRows / tiling.threadsY}u;
    const COLUMNS_PER_THREAD = ${tiling.chunkRows / tiling.threadsX}u;
    const STAGE_VECTORS = ${vectors}u;

  `;
}

/** A thread's registers: rows times groups of four columns. */
interface Registers {
  /** Prefix of their names. */
  readonly name: string;
  readonly rows: number;
  readonly groups: number;
}

/** Calls a function for each register, of row r and group g. */
function forEachRegister<T>(
  { rows, groups }: Registers,
  one: (r: number, g: number) => T,
): T[] {
  return range(rows).flatMap((r) => range(groups).map((g) => one(r, g)));
}

function declare(registers: Registers): string[] {
  return forEachRegister(registers, (r, g) => `var<private> ${registers.name}${r}_${g}: vec4f;`);
}

/** The function `clear<suffix>()`. */
function clear(suffix: string, registers: Registers): string {
  return wgsl`
    fn clear${suffix}() {
      ${forEachRegister(registers, (r, g) => `${registers.name}${r}_${g} = vec4f();`)}
    }
  `;
}

/** Loads the variables `<name>0`, `<name>1`, …, from the stage at WGSL `base` plus `first`. */
function loadVectors(
  name: string,
  options: {
    readonly base: string;
    readonly first: number;
    readonly count: number;
    readonly step: number;
  },
): string[] {
  const { base, first, count, step } = options;
  return range(count).map((i) => `let ${name}${i} = stage[${base} + ${first + i * step}u];`);
}

/** Adds products of the elements of vectors `rows0`, `rows1`, … with vectors `columns0`, …. */
function rankOneUpdate(registers: Registers, rows: string, columns: string): string[] {
  return forEachRegister(registers, (r, g) => {
    const into = `${registers.name}${r}_${g}`;
    return `${into} = fma(vec4f(${rows}${r >> 2}.${XYZW[r & 3]}), ${columns}${g}, ${into});`;
  });
}

// ---- States ----

/** The functions that `gla_states.wgsl` calls. */
export function generateStates(tiling: GlaTiling): string {
  const { headDim, threadsX, threadsY, depth } = tiling;
  const width = headDim / 4;
  const state = { name: "s", rows: headDim / threadsY, groups: headDim / threadsX / 4 };
  const { rows, groups } = state;
  const stageWriters = stageNatural(tiling, {
    count: depth,
    buffer: "writers",
    row: "row0 + t + r",
    factor: "decayBetween(end - decay[t + r])",
    to: `r * ${2 * width}u`,
  });
  const stageValues = stageNatural(tiling, {
    count: depth,
    buffer: "values",
    row: "row0 + t + r",
    to: `r * ${2 * width}u + ${width}u`,
  });
  const multiplyRow = (k: number) => {
    const first = k * 2 * width;
    return wgsl`
      {
        ${loadVectors("a", { base: "ra", first, count: rows / 4, step: 1 })}
        ${loadVectors("b", { base: "ca", first: first + width, count: groups, step: threadsX })}
        ${rankOneUpdate(state, "a", "b")}
      }
    `;
  };
  const store = (r: number, g: number) => `states[at + ${r * width + g * threadsX}u] = s${r}_${g};`;
  return wgsl`
    ${constants(tiling, stageVectors(tiling).states)}
    ${declare(state)}
    ${clear("State", state)}
    fn stageRows(t: u32, end: f32) {
      ${stageWriters}
      ${stageValues}
    }
    fn multiplyRows() {
      let ra = ty * ${rows / 4}u;
      let ca = tx;
      ${range(depth).map(multiplyRow)}
    }
    fn storeState(slot: u32) {
      let at = slot * ${headDim * width}u + ty * ${rows * width}u + tx;
      ${forEachRegister(state, store)}
    }

  `;
}

// ---- Scan ----

/** The functions that `gla_scan.wgsl` calls: `inFlight` chunks of one element. */
export function generateScan(
  options: { readonly headDim: number; readonly threads: number; readonly inFlight: number },
): string {
  const { headDim, threads, inFlight } = options;
  const load = (n: number) =>
    wgsl`
    let slot${n} = first + min(c + ${n}u, last);
    let added${n} = states[slot${n} * ELEMENTS + element];
    let decay${n} = decays[slot${n}];
  `;
  const advance = (n: number) =>
    wgsl`
    if (c + ${n}u <= last) {
      states[slot${n} * ELEMENTS + element] = state;
      state = fma(decay${n}, state, added${n});
    }
  `;
  return wgsl`
    const SCAN_THREADS = ${threads}u;
    const ELEMENTS = ${headDim * headDim}u;
    const IN_FLIGHT = ${inFlight}u;
    fn scanChunks(first: u32, c: u32, element: u32, before: f32) -> f32 {
      let last = params.chunks - 1u;
      ${range(inFlight).map(load)}
      var state = before;
      ${range(inFlight).map(advance)}
      return state;
    }

  `;
}

// ---- Scores ----

/** The functions that `gla_scores.wgsl` calls. */
export function generateScores(tiling: GlaTiling): string {
  const { headDim, chunkRows, threadsX, threadsY } = tiling;
  const rows = chunkRows / threadsY;
  const products = { name: "p", rows, groups: chunkRows / threadsX / 4 };
  const output = { name: "o", rows, groups: headDim / threadsX / 4 };
  return wgsl`
    ${constants(tiling, stageVectors(tiling).scores)}
    ${declare(products)}
    ${declare(output)}
    ${clear("Products", products)}
    ${clear("Output", output)}
    ${multiplyWithState(tiling, { products, output })}
    ${decayRows(tiling, { products, output })}
    ${multiplyWithValues(tiling, { products, output })}
    ${squareRows(tiling, output)}

  `;
}

interface Tile {
  /** Readers times writers. */
  readonly products: Registers;
  readonly output: Registers;
}

/** Stages readers, writers and the state, and multiplies the readers with both. */
function multiplyWithState(tiling: GlaTiling, { products, output }: Tile): string {
  const { headDim, chunkRows, threadsX, depth } = tiling;
  const { rows, groups: columns } = products;
  const width = headDim / 4;
  const chunkWidth = chunkRows / 4;
  const step = 2 * chunkWidth + width; // vectors of one staged element of d
  const stageReaders = stageTransposed(tiling, { buffer: "readers", step, first: 0, row: "slot" });
  // A thread's columns are adjacent; the logical column is e * THREADS_X + tx.
  const stageWriters = stageTransposed(tiling, {
    buffer: "writers",
    step,
    first: chunkWidth,
    row: `((slot / ${4 * threadsX}u) * 4u + (slot & 3u)) * ${threadsX}u + ` +
      `(slot / 4u) % ${threadsX}u`,
  });
  const stateAt = `(u / ${width}u) * ${step}u + ${2 * chunkWidth}u + u % ${width}u`;
  const stageState = forEachUnit(tiling, depth * width, `stage[${stateAt}] = states[start + u];`);
  const multiplyElement = (k: number) => {
    const first = k * step;
    const columnsFrom = (part: number, count: number) => (
      { base: "ca", first: first + part, count, step: threadsX }
    );
    return wgsl`
      {
        ${loadVectors("a", { base: "ra", first, count: rows / 4, step: 1 })}
        ${loadVectors("b", columnsFrom(chunkWidth, columns))}
        ${loadVectors("c", columnsFrom(2 * chunkWidth, output.groups))}
        ${rankOneUpdate(products, "a", "b")}
        ${rankOneUpdate(output, "a", "c")}
      }
    `;
  };
  return wgsl`
    fn stageReaders(k: u32) {
      ${stageReaders}
    }
    fn stageWriters(k: u32) {
      ${stageWriters}
    }
    fn stageState(slot: u32, k: u32) {
      let start = slot * ${headDim * width}u + k * ${width}u;
      ${stageState}
    }
    fn multiplyState() {
      let ra = ty * ${rows / 4}u;
      let ca = tx;
      ${range(depth).map(multiplyElement)}
    }
  `;
}

/** Applies decays: to the products with the state by row, to the others by row and column. */
function decayRows({ threadsX }: GlaTiling, { products, output }: Tile): string {
  const { rows, groups: columns } = products;
  const decayOutput = (r: number) =>
    flatWgsl`
    { let factor = exp(decay[ty * ${rows}u + ${r}u]);
      ${range(output.groups).map((g) => `o${r}_${g} = o${r}_${g} * factor;`)}
    }
  `;
  const loadDecays = (g: number) => {
    const indices = range(4).map((l) => `${(4 * g + l) * threadsX}u + tx`).join(", ");
    const decays = range(4).map((l) => `decay[j${g}.${XYZW[l]}]`).join(", ");
    return wgsl`
      let j${g} = vec4u(${indices});
      let d${g} = vec4f(${decays});
    `;
  };
  const decayProduct = (r: number, g: number) => {
    const factor = `exp(min(vec4f(d) - d${g}, vec4f()))`;
    return `p${r}_${g} = select(vec4f(), p${r}_${g} * ${factor}, j${g} <= vec4u(i));`;
  };
  const decayProducts = (r: number) =>
    flatWgsl`
    { let i = ty * ${rows}u + ${r}u; let d = decay[i];
      ${range(columns).map((g) => decayProduct(r, g))}
    }
  `;
  return wgsl`
    fn decayOutput() {
      ${range(rows).map(decayOutput)}
    }
    fn decayProducts() {
      ${range(columns).map(loadDecays)}
      ${range(rows).map(decayProducts)}
    }
  `;
}

/** Stages weights and values, one column of every thread at a time, and multiplies them. */
function multiplyWithValues(tiling: GlaTiling, { products, output }: Tile): string {
  const { headDim, chunkRows, threadsX } = tiling;
  const { rows, groups: columns } = products;
  const width = headDim / 4;
  const padded = chunkRows / 4 + 1; // keeps writes of weights free of bank conflicts
  const weightVectors = threadsX * padded;
  const stageValues = stageNatural(tiling, {
    count: threadsX,
    buffer: "values",
    row: `row0 + e * ${threadsX}u + r`,
    to: `${weightVectors}u + r * ${width}u`,
  });
  // The column is selected by comparison, since a run-time index into registers would go through
  // memory.
  const pick = (r: number) => {
    const [first, ...others] = range(columns).map((g) => `p${r}_${g}`);
    const x = others.reduce((all, p, n) => `select(${all}, ${p}, quad == ${n + 1}u)`, first);
    const element = "select(select(x.x, x.y, odd), select(x.z, x.w, odd), high)";
    return `{ let x = ${x}; w.${XYZW[r & 3]} = ${element}; }`;
  };
  const stageWeights = (i: number) =>
    wgsl`
    ${range(4).map((l) => pick(4 * i + l))}
    stage[at + ${i}u] = w;
  `;
  const multiplyColumn = (k: number) =>
    wgsl`
    {
      ${loadVectors("w", { base: "ra", first: k * padded, count: rows / 4, step: 1 })}
      ${loadVectors("b", { base: "ca", first: k * width, count: output.groups, step: threadsX })}
      ${rankOneUpdate(output, "w", "b")}
    }
  `;
  return wgsl`
    fn stageWeights(e: u32) {
      let odd = (e & 1u) == 1u; let high = (e & 2u) == 2u;
      ${columns > 1 ? "let quad = e / 4u;" : ""}
      let at = tx * ${padded}u + ty * ${rows / 4}u;
      var w: vec4f;
      ${range(rows / 4).map(stageWeights)}
    }
    fn stageValues(e: u32) {
      ${stageValues}
    }
    fn multiplyWeights() {
      let ra = ty * ${rows / 4}u;
      let ca = ${weightVectors}u + tx;
      ${range(threadsX).map(multiplyColumn)}
    }
  `;
}

/** Squared norms of the output rows, summed over the threads that share a row. */
function squareRows({ threadsX }: GlaTiling, { rows, groups }: Registers): string {
  const rowVectors = threadsX / 4;
  const stageSquare = (r: number) => {
    const squares = range(groups).map((g) => `dot(o${r}_${g}, o${r}_${g})`).join(" + ");
    return `stage[at + ${r * rowVectors}u][tx & 3u] = ${squares};`;
  };
  const all = range(rowVectors).map((n) => `stage[at + ${n}u]`).join(" + ");
  return wgsl`
    fn stageSquares() {
      let at = ty * ${rows * rowVectors}u + tx / 4u;
      ${range(rows).map(stageSquare)}
    }
    fn squareOf(row: u32) -> f32 {
      let at = row * ${rowVectors}u;
      let all = ${all};
      return (all.x + all.y) + (all.z + all.w);
    }
  `;
}
