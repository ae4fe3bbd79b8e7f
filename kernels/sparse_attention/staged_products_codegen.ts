/**
 * WGSL that kernels share which multiply rows of a subgroup by rows that its workgroup staged, 16
 * at a time.
 *
 * @module
 */
import { RIGHT } from "../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH, stageStride } from "../dense_attention/matrix/matrix_layout.ts";
import { range } from "../gpu/wgsl.ts";

/** Subgroups of 32 threads in a workgroup. */
export const SUBGROUPS = 4;

/** Threads of a workgroup. */
export const THREADS: number = 32 * SUBGROUPS;

/**
 * 16-byte vectors of scratch in workgroup memory: two matrices of each subgroup, to take in turns.
 */
export const SCRATCHES: number = SUBGROUPS * 2 * SCRATCH;

/** Bytes of workgroup memory: of staged rows, and the scratch. */
export function stagedBytes(staged: number, dim: number): number {
  return (staged * stageStride(dim) + SCRATCHES) * 16;
}

/**
 * Stages rows, a vector of 16 bytes a thread and turn.
 *
 * @param options `source`: WGSL of a vector of a staged row.
 */
export function stageRows(
  { stage, staged, dim, source }: {
    /** The buffer of staged rows. */
    readonly stage: string;
    /** Rows. */
    readonly staged: number;
    /** Elements of a row. */
    readonly dim: number;
    readonly source: (row: string, vector: string) => string;
  },
): string[] {
  const vectors = dim / 8;
  return range(Math.ceil(staged * vectors / THREADS)).map((i) => {
    const unit = `(local + ${i * THREADS}u)`;
    const [row, vector] = [`${unit} / ${vectors}u`, `${unit} % ${vectors}u`];
    const put = `${stage}[${row} * ${stageStride(dim)}u + ${vector}] = ${source(row, vector)};`;
    return (i + 1) * THREADS > staged * vectors
      ? `if (${unit} < ${staged * vectors}u) { ${put} }`
      : put;
  });
}

/**
 * Stages rows that are fetched to registers ahead; a workgroup has a whole number of their vectors.
 *
 * @param options `source`: WGSL of a vector of a row of the tensor.
 */
export function stageAhead(
  { stage, staged, dim, source }: Parameters<typeof stageRows>[0],
): {
  /** Fetches the first rows, from `first` on. */
  readonly begin: (first: string) => string[];
  /** Stages what was fetched. */
  readonly put: string[];
  /** Fetches the rows from `first` on. */
  readonly fetch: (first: string) => string[];
} {
  const vectors = dim / 8;
  const units = range(staged * vectors / THREADS).map((i) => `(local + ${i * THREADS}u)`);
  const rowOf = (unit: string) => `${unit} / ${vectors}u`;
  const fetch = (first: string) =>
    units.map((unit, i) =>
      `fetched${i} = ${source(`${first} + ${rowOf(unit)}`, `${unit} % ${vectors}u`)};`
    );
  return {
    begin: (first) => fetch(first).map((line) => `var ${line}`),
    put: units.map((unit, i) =>
      `${stage}[${rowOf(unit)} * ${stageStride(dim)}u + ${unit} % ${vectors}u] = fetched${i};`
    ),
    fetch,
  };
}

/** Loads the right matrices `right0`, … of 16 staged rows from `c0` on. */
export function rightMatrices(stage: string, dim: number): string[] {
  const stride = stageStride(dim);
  return range(dim / 16).map((c) => {
    const at = `c0 * ${stride}u + ${2 * c}u, ${stride}u`;
    return `let right${c} = subgroupMatrixLoad<${RIGHT}, col_major>(&${stage}, ${at});`;
  });
}
