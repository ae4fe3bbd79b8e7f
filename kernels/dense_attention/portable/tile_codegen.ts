/**
 * Generated WGSL for products of tiles, the building blocks of the portable attention kernels.
 *
 * A workgroup owns TILE_ROWS rows of one operand and iterates over tiles of TILE_COLUMNS rows of
 * another ("columns"). Threads form a grid of THREADS_Y by THREADS_X; a thread owns ROWS_PER_THREAD
 * rows, the columns c0 + e * THREADS_X + tx of a tile, and headDim / THREADS_X columns of d.
 *
 * - A *first product* A·Bᵀ (`first_product_codegen.ts`) contracts over d: both operands are staged
 *   transposed, `chunk` elements of d at a time, and each thread adds rank-1 updates to its scores.
 * - A *second product* W·B (`second_product_codegen.ts`) contracts over the tile's columns, one
 *   column of every thread per step: weights go through workgroup memory, rows of B are staged
 *   unchanged.
 *
 * Registers are named private scalars, not arrays, so that drivers keep them out of memory. Both
 * kinds of step alternate between two stages of workgroup memory, so each needs one barrier:
 * filling a stage is safe because every thread that reads it has passed the previous barrier.
 *
 * The shader around these functions declares `params.rows`, `stage` of type `Stages`, and the
 * private variables `local`, `tx`, `ty`, `row0` (first row of the workgroup) and `headRow` (first
 * row of the sequence in the tensors; row n of the sequence is row headRow + n * ROW_STRIDE). Where
 * query heads share a head of keys and values, `keyRow` is that first row in the tensors of keys
 * and values, and in their gradients.
 *
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import { layOut, reducedRows, type TileProgram } from "./tile_layout.ts";

/**
 * Constants that the shaders use, conversion to the storage type, and the order of staged columns.
 */
export function generateConstants(
  { tiling, headDim, dtype, stored = dtype, rowStride, group = 1 }: TileProgram,
): string {
  const { tileRows, tileColumns, threadsX, threadsY } = tiling;
  const { chunks, columnsPerThread, stageVectors, stageWidth } = layOut(tiling, headDim);
  const half = stored === "f16";
  const fourElements = half
    ? "let y = nearestHalf(x); return vec2u(pack2x16float(y.xy), pack2x16float(y.zw));"
    : "return x;";
  return wgsl`

    const THREADS_X = ${threadsX}u;
    const THREADS_Y = ${threadsY}u;
    const TILE_ROWS = ${tileRows}u;
    const TILE_COLUMNS = ${tileColumns}u;
    const CHUNKS = ${chunks}u;
    const COLUMNS_PER_THREAD = ${columnsPerThread}u;
    const STAGE_VECTORS = ${stageVectors}u;
    alias Stages = ${
    stageWidth > 0
      ? `array<array<array<vec4f, ${stageWidth}u>, ${stageVectors / stageWidth}u>, 2u>`
      : `array<vec4f, ${2 * stageVectors}u>`
  };
    const ROW_STRIDE = ${rowStride ?? 1}u;
    ${group > 1 ? [`const GROUP = ${group}u;`] : []}
    alias FourElements = ${half ? "vec2u" : "vec4f"};
    ${half ? NEAREST_HALF : ""}
    fn fourElements(x: vec4f) -> FourElements {
      ${fourElements}
    }
    // A thread's columns lie side by side in a stage; the logical column is e * THREADS_X + tx.
    fn columnOfSlot(slot: u32) -> u32 {
      return ((slot / ${
    4 * threadsX
  }u) * 4u + (slot & 3u)) * ${threadsX}u + (slot / 4u) % ${threadsX}u;
    }

  `;
}

/**
 * Distributes `units` units of work over threads: statements for unit `u`, guarded if some do not
 * exist.
 *
 * @param body the statements of a thread's n-th unit.
 */
export function forEachUnit(
  { units, threads }: { readonly units: number; readonly threads: number },
  body: (n: number) => string,
): string[] {
  return range(Math.ceil(units / threads)).map((n) =>
    (n + 1) * threads > units
      ? wgsl`
        { let u = local + ${n * threads}u; if (u < ${units}u) {
          ${body(n)}
        } }
      `
      : wgsl`
        { let u = local + ${n * threads}u;
          ${body(n)}
        }
      `
  );
}

/** Tensors with a head for each group of query heads. */
const KEY_TENSORS: readonly string[] = ["keys", "values", "keyGradients", "valueGradients"];

/**
 * The variable that holds the first row of a sequence in a tensor: `keyRow` where several query
 * heads share a head of it, else `headRow`.
 */
function headRowOf(tensor: string, group = 1): string {
  return group > 1 && KEY_TENSORS.includes(tensor) ? "keyRow" : "headRow";
}

/** Where a thread's vector of 16 bytes lies. */
export interface VectorPlace {
  /** WGSL of the row's number in its sequence. */
  readonly row: string;
  /** WGSL of the vector in the row. */
  readonly column: string;
  readonly rowVectors: number;
  /** The row is one of other tensors than own rows. Default false. */
  readonly apart?: boolean;
  /** Query heads that share a head of the buffer, if it holds keys or values. Default 1. */
  readonly group?: number;
}

/**
 * Loads 16 bytes of a row into a register; of the last row if the row does not exist. The load is
 * in no branch and nothing follows it: a driver waits for it where its value is used or a branch
 * ends.
 */
export function fetchVector(register: string, buffer: string, at: VectorPlace): string {
  const first = at.apart ? "column0Row + n" : `${headRowOf(buffer, at.group)} + n * ROW_STRIDE`;
  const row = `(${first}) * ${at.rowVectors}u`;
  return wgsl`
    let n = min(${at.row}, ${rowsOf(at)} - 1u);
    ${register} = ${buffer}[${row} + ${at.column}];
  `;
}

/** WGSL of what {@linkcode fetchVector} loaded, or of zeros if the row does not exist. */
export function fetchedVector(register: string, at: VectorPlace): string {
  return `select(vec4u(), ${register}, ${at.row} < ${rowsOf(at)})`;
}

function rowsOf({ apart }: VectorPlace): string {
  return apart ? "columnRows" : "params.rows";
}

/**
 * The function `store<name>()`: writes the thread's output rows, each times a WGSL factor of row r.
 */
export function generateStoreRows(
  program: TileProgram,
  options: {
    readonly name: string;
    readonly from: string;
    readonly to: string;
    readonly factor: (r: number) => string;
    readonly after?: (r: number) => string;
  },
): string {
  const { tiling: { threadsX }, headDim } = program;
  const { rowsPerThread, depthGroups } = layOut(program.tiling, headDim);
  const { name, from, to, factor, after } = options;
  const storeRow = (r: number) =>
    wgsl`
    if (row + ${r}u < params.rows) {
      let at = (${headRowOf(to, program.group)} + (row + ${r}u) * ROW_STRIDE) * ${
      headDim / 4
    }u + tx;
      let factor = ${factor(r)};
      ${
      range(depthGroups).map((g) =>
        `${to}[at + ${g * threadsX}u] = fourElements(${from}${r}_${g} * factor);`
      )
    }
      ${after ? [after(r)] : []}
    }
  `;
  return wgsl`
    fn store${name}() {
      let row = row0 + ty * ${rowsPerThread}u;
      ${range(rowsPerThread).map(storeRow)}
    }

  `;
}

/** What {@linkcode reduceRows} reduces, and how. */
export interface RowReduction {
  /** Prefix of the variables, one for each row. */
  readonly name: string;
  /** WGSL that combines two values or vectors. */
  readonly combine: (a: string, b: string) => string;
  /** Whether the lanes of a row are in one subgroup. */
  readonly subgroups: boolean;
}

/**
 * Statements that reduce one value per row, the variables `<name>0`, `<name>1`, …, over the
 * THREADS_X threads that share the row.
 *
 * Without subgroups the values are exchanged in stage 0, which must be free: all threads that read
 * it must have passed a barrier since. Afterwards it is free again.
 */
export function reduceRows(program: TileProgram, reduction: RowReduction): string {
  return reduction.subgroups
    ? reduceInSubgroup(program, reduction)
    : reduceInStage(program, reduction);
}

function reduceInSubgroup({ tiling, headDim }: TileProgram, reduction: RowReduction): string {
  const { name, combine } = reduction;
  const { rowsPerThread } = layOut(tiling, headDim);
  const steps = range(Math.log2(tiling.threadsX)).map((n) => 2 ** n);
  const exchange = (r: number, step: number) => {
    const x = `${name}${r}`;
    return `${x} = ${combine(x, `subgroupShuffleXor(${x}, ${step}u)`)};`;
  };
  return steps.flatMap((step) => range(rowsPerThread).map((r) => exchange(r, step))).join("\n");
}

function reduceInStage({ tiling, headDim }: TileProgram, reduction: RowReduction): string {
  const { name, combine } = reduction;
  const { rowsPerThread, stageWidth } = layOut(tiling, headDim);
  const rows = range(rowsPerThread);
  const rowVectors = tiling.threadsX / 4;
  const inOne = reducedRows({ tiling, width: stageWidth });
  const vector = (r: number, i: number | string = 0) =>
    stageWidth > 0
      ? `stage[0u][(begin + ${r}u) / ${inOne}u][(begin + ${r}u) % ${inOne}u * ${rowVectors}u + ${i}]`
      : `stage[begin + ${r * rowVectors}u + ${i}]`;
  const combineRow = (r: number) => [
    `{ var all = ${vector(r)};`,
    ...range(rowVectors).slice(1).map((i) => `all = ${combine("all", vector(r, i))};`),
    `${name}${r} = ${combine(combine("all.x", "all.y"), combine("all.z", "all.w"))}; }`,
  ];
  return [
    `{ let begin = ty * ${
      stageWidth > 0 ? rowsPerThread : rowsPerThread * rowVectors
    }u; let lane = tx & 3u;`,
    ...rows.map((r) => `${vector(r, "tx / 4u")}[lane] = ${name}${r};`),
    "workgroupBarrier();",
    ...rows.flatMap(combineRow),
    "workgroupBarrier(); }",
  ].join("\n");
}
