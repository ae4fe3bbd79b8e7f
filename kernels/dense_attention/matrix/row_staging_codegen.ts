/**
 * WGSL that streams rows of tensors through workgroup memory for the kernels on matrix units.
 *
 * @module
 */
import { flatWgsl, range } from "../../gpu/wgsl.ts";
import type { MatrixTiling } from "../tilings.ts";

/** The staged rows of one step. */
export interface StagedRows {
  /** WGSL of their first row in the stages. */
  readonly row: string;
  /** WGSL of their first row in the sequence. */
  readonly firstRow: string;
  /** Index of the step in its tile, if steps are unrolled. */
  readonly at: number;
  /**
   * Statements that stage the rows fetched one step before and fetch the next, placed once per
   * step; empty without a ring.
   *
   * @param known WGSL of an f32 that is computed just before: the fetch is made to depend on it, so
   * that no compiler moves it up to where registers are short. Default: no dependence.
   */
  readonly prefetch: (known?: string) => readonly string[];
}

/** Rows that are streamed, and the work on them. */
export interface RowStream {
  /** A variable: the loop's current row of the sequence. */
  readonly counter: string;
  /** WGSL condition of the loop: true while rows remain. */
  readonly condition: string;
  /** Rows of one tile; a multiple of 16. */
  readonly tileColumns: number;
  /** Pairs of a tensor and its stage. */
  readonly tensors: readonly (readonly [tensor: string, stage: string])[];
  /** 16-byte vectors of a row. */
  readonly vectors: number;
  /** Threads of a workgroup. */
  readonly threads: number;
  /** WGSL of the tensors' row for a row of the sequence. */
  readonly row: (row: string) => string;
  /**
   * WGSL of the sequence's row at a position of the loop, a multiple of 16, if the loop iterates
   * over positions of a walk; the other rows of a tile follow it. Default: positions are rows.
   */
  readonly place?: (position: string) => string;
  /** The work of a step: on 16 rows. */
  readonly step: (rows: StagedRows) => string;
  /** Rows of a step, in a ring; divides `tileColumns`. Default 16. */
  readonly stepRows?: number;
}

/** A 16-byte vector that a thread fetches from a tensor and stores to its stage. */
interface StagedVector {
  /** The variable that holds it. */
  readonly name: string;
  /** WGSL of the vector in the tensor, for rows from `from` on. */
  readonly fetch: (from: string, plus?: string) => string;
  /** The statement that stores it, for stage rows from `to` on. */
  readonly put: (to: string) => string;
}

/** A thread's share of `count` rows of all tensors. */
function stagedVectors(stream: RowStream, count: number): StagedVector[] {
  const { tensors, vectors, threads, row } = stream;
  const units = count * vectors;
  const vectorOf = ([tensor, stage]: readonly [string, string], i: number): StagedVector => {
    const unit = `(local + ${i * threads}u)`;
    const [unitRow, column] = [`${unit} / ${vectors}u`, `${unit} % ${vectors}u`];
    const name = `${tensor}Next${i}`;
    return {
      name,
      fetch: (from, plus = "") =>
        `${tensor}[(${row(`${from} + ${unitRow}${plus}`)}) * ${vectors}u + ${column}]`,
      put: (to) => {
        const put = `${stage}[(${to} + ${unitRow}) * ${vectors + 1}u + ${column}] = ${name};`;
        return (i + 1) * threads > units ? `if (${unit} < ${units}u) { ${put} }` : put;
      },
    };
  };
  return tensors.flatMap((pair) => range(Math.ceil(units / threads)).map((i) => vectorOf(pair, i)));
}

/**
 * The loop over rows that are staged one tile at a time: all threads load a tile between two
 * barriers.
 *
 * The end of the loop over steps is deliberately not a constant. NVIDIA's compiler unrolls a loop
 * with a known end, here into more registers than there are, which costs a third of the speed.
 *
 * @param options `open`: WGSL at the start of a tile. `prepare`: WGSL next to its loads. `enter`:
 * WGSL before its steps. `unrolled`: unrolled steps instead of a loop.
 */
export function streamTiles(
  options: RowStream & {
    readonly open?: readonly string[];
    readonly prepare?: readonly string[];
    readonly enter?: readonly string[];
    readonly unrolled?: boolean;
  },
): string {
  const { counter, tileColumns, condition, step, open = [], prepare = [], unrolled } = options;
  const { place, enter = [] } = options;
  const from = place ? "tileRow" : counter;
  const parts = stagedVectors(options, tileColumns);
  const stepAt = (row: string, at: number) =>
    step({ row, firstRow: `(${counter} + ${row})`, at, prefetch: () => [] });
  const steps = unrolled
    ? range(tileColumns / 16).map((at) => stepAt(`${16 * at}u`, at))
    : flatWgsl`
      for (var c0 = 0u; c0 < min(${tileColumns}u, params.rows); c0 += 16u) {
        ${stepAt("c0", 0)}
      }
    `;
  // All fetches come before all stores, so that they are in flight together.
  return flatWgsl`
    for (; ${condition}; ${counter} += ${tileColumns}u) {
      ${open}
      workgroupBarrier();
      {
        ${place ? [`let tileRow = ${place(counter)};`] : []}
        ${parts.map(({ name, fetch }) => `let ${name} = ${fetch(from)};`)}
        ${prepare}
        ${parts.map(({ put }) => put("0u"))}
      }
      workgroupBarrier();
      ${enter}
      ${steps}
    }
  `;
}

/**
 * The loop over rows that are staged in a ring of two tiles. While one tile is in use, the next is
 * filled, the rows of a step at a time; these were fetched one step before and held in registers: 8
 * of them with 256 threads and two tensors of d = 128. So no thread waits for device memory.
 *
 * NVIDIA's compiler must not undo that. It moves loads through a read-only binding down to the
 * store of their value, where all threads wait again; the tensors are therefore bound read-write
 * ({@linkcode ringAccess}), although nothing writes them. The position of the prefetch in a step
 * decides whether registers suffice: `TUNING.md` has the measurements.
 */
export function streamRing(stream: RowStream): string {
  const { counter, tileColumns, condition, step, place, stepRows = 16 } = stream;
  const ring = 2 * tileColumns;
  const parts = stagedVectors(stream, stepRows);
  const fetch = (declare: "let " | "var " | "", ahead: number, plus?: string) => {
    const position = `${counter} + ${ahead}u`;
    const from = place ? "aheadRow" : position;
    return [
      ...place ? [`let aheadRow = ${place(position)};`] : [],
      ...parts.map(({ name, fetch }) => `${declare}${name} = ${fetch(from, plus)};`),
    ];
  };
  const put = (ahead: number) => parts.map(({ put }) => put(`(${counter} + ${ahead}u) % ${ring}u`));
  const fillFirstTile = range(tileColumns / stepRows).map((i) =>
    flatWgsl`
      {
        ${fetch("let ", stepRows * i)}
        ${put(stepRows * i)}
      }
    `
  );
  const barrier = "workgroupBarrier();";
  const prefetch = (known?: string) => {
    // Always + 0: no arithmetic gives the NaN whose bits are all ones.
    const plus = known && ` + select(0u, 1u, bitcast<u32>(${known}) == 0xffffffffu)`;
    return [...put(tileColumns), ...fetch("", tileColumns + stepRows, plus)];
  };
  return flatWgsl`
    ${fillFirstTile}
    ${fetch("var ", tileColumns)}
    for (; ${condition}; ${counter} += ${stepRows}u) {
      ${
    tileColumns === stepRows ? barrier : `if (${counter} % ${tileColumns}u == 0u) { ${barrier} }`
  }
      let staged = ${counter} % ${ring}u; // where these ${stepRows} rows are in the ring
      ${step({ row: "staged", firstRow: counter, at: 0, prefetch })}
    }
  `;
}

/** How a shader binds its inputs. */
export type InputAccess = "read" | "read-write";

/**
 * How a shader with this tiling binds its inputs: see {@linkcode streamRing}. All inputs are bound
 * alike, since a buffer may not be bound for reading and for writing at the same time.
 */
export function ringAccess({ stages }: MatrixTiling): InputAccess {
  return stages === 2 ? "read-write" : "read";
}
