/**
 * WGSL that the shaders on subgroup matrices share: types, the way of rows into workgroup memory, and
 * the exchange between results and operands.
 *
 * A matrix has no element access. So a subgroup stores its results (f32 scores) to a *scratch* of its
 * own in workgroup memory, each lane takes 8 of them, and writes 8 weights (f16) back to be loaded as
 * a left matrix. Rows of scores are 96 bytes apart and rows of weights 48, and every other four rows a
 * lane takes the second half of its scores first: so no access meets another in the same bank.
 *
 * **Within a subgroup** the scratch is exchanged without a barrier. WGSL does not promise that order;
 * on devices whose subgroups run in lockstep it holds, and the checks of every run would catch it
 * where it does not.
 *
 * @module
 */
import { range } from "./tile_codegen.ts";

/** What every shader on subgroup matrices begins with. */
export const MATRIX_DIRECTIVES = `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Branches depend on the subgroup, never on the lane.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);
`;

/** The matrices that are multiplied, and their products. */
export const LEFT = "subgroup_matrix_left<f16, 16, 16>";
export const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
export const RESULT = "subgroup_matrix_result<f32, 16, 16>";

/** 16-byte vectors from one row of scores in a scratch to the next. */
export const SCORE_STRIDE = 6;
/** 16-byte vectors from one row of weights in a scratch to the next. */
export const WEIGHT_STRIDE = 3;
/** 16-byte vectors of a scratch. */
export const SCRATCH = 16 * SCORE_STRIDE;

/** 16-byte vectors from one staged row to the next: unpadded, loads meet in the same banks. */
export function stageStride(headDim: number): number {
  return headDim / 8 + 1;
}

/** A lane's places in a scratch. Expects `local` and `group`, the builtins. */
export const LANE_PLACES = `  let subgroup = local >> 5u;
  let row16 = local & 15u;        // the lane's row of a matrix
  let side = (local >> 4u) & 1u;  // and which 8 of its 16 columns
  // It finds its scores in two halves, the one from column0 first, and puts its weights together.
  let swap = (row16 >> 2u) & 1u;
  let column0 = side * 8u + swap * 4u;
  let half0 = row16 * ${SCORE_STRIDE}u + side * 2u + swap;
  let weight0 = row16 * ${WEIGHT_STRIDE}u + side;`;

/** 8 scores of a lane from the scratch at `scratch`, as variables `<name>a` and `<name>b`. */
export function readScores(scratch: string, name: string): readonly string[] {
  return [
    `var ${name}a = bitcast<vec4f>(scratch[${scratch} + half0]);`,
    `var ${name}b = bitcast<vec4f>(scratch[${scratch} + (half0 ^ 1u)]);`,
  ];
}

/** Columns of the two halves, counted from `first`, as `keyA` and `keyB`. */
export function columnsOfHalves(first: string): readonly string[] {
  return [
    `let keyA = vec4u(${first} + column0) + vec4u(0u, 1u, 2u, 3u);`,
    `let keyB = vec4u(${first} + (column0 ^ 4u)) + vec4u(0u, 1u, 2u, 3u);`,
  ];
}

/** The two halves of a lane's weights into the scratch, rounded to f16, as a left matrix lies there. */
export function writeWeights(scratch: string, name: string): readonly string[] {
  const packed = (half: string) =>
    `pack2x16float(${name}${half}.xy), pack2x16float(${name}${half}.zw)`;
  return [
    `let ${name}p = vec4u(${packed("a")}, ${packed("b")});`,
    `scratch[${scratch} + weight0] = select(${name}p, ${name}p.zwxy, swap == 1u);`,
  ];
}

/** 16 elements of a row of results from the scratch, times `factor`, as `vec4f` `a` and `z`. */
export function readResults(scratch: string, factor: string): readonly string[] {
  return [
    `let at = ${scratch} + row16 * ${SCORE_STRIDE}u + side * 2u;`,
    `let a = bitcast<vec4f>(scratch[at]) * ${factor};`,
    `let z = bitcast<vec4f>(scratch[at + 1u]) * ${factor};`,
  ];
}

/** `vec4u` of the 8 halves next to each other that `a` and `z` round to. */
export const ROUNDED_RESULTS =
  "let x = nearestHalf(a); let y = nearestHalf(z); let rounded = vec4u(pack2x16float(x.xy), " +
  "pack2x16float(x.zw), pack2x16float(y.xy), pack2x16float(y.zw));";

/** WGSL that loads rows into registers, and WGSL that stores them to a stage. */
export interface Passage {
  readonly fetch: readonly string[];
  readonly put: readonly string[];
}

/** How tiles pass through workgroup memory, in the forward kernel and in the backward passes. */
export interface PassingTiling {
  /** Rows of one tile; a multiple of 16. */
  readonly tileColumns: number;
  /**
   * Tiles in workgroup memory: one, fetched between two barriers, or two, with one barrier: then 16
   * rows of the next tile are on their way through registers while 16 rows of this one are in use.
   */
  readonly stages: 1 | 2;
  /**
   * Steps of 16 rows by which first products run ahead of second ones, within a tile: with 1 the next
   * first products lie between storing results and reading them as weights.
   */
  readonly ahead: 0 | 1;
}

/**
 * Rows on their way from tensors into stages: `fetch` loads them into registers, all of them, so
 * that they are under way together; `put`, later, stores them.
 *
 * @param options `tensors`: pairs of a tensor and its stage. `vectors`: 16-byte vectors of a row.
 * `row`: WGSL of the row of the tensors for one of `rowCount` rows. `to`: WGSL of the stage's first
 * row. `mark`: tells names of two passages in one scope apart.
 */
export function generatePassage(options: {
  readonly tensors: readonly (readonly [tensor: string, stage: string])[];
  readonly vectors: number;
  readonly threads: number;
  readonly rowCount: number;
  readonly row: (row: string) => string;
  readonly to: string;
  readonly mark: string;
}): Passage {
  const { tensors, vectors, threads, rowCount, row, to, mark } = options;
  const units = rowCount * vectors;
  const moves = tensors.flatMap(([tensor, stage]) =>
    range(Math.ceil(units / threads)).map((i) => {
      const name = `${tensor}${mark}_${i}`;
      const unit = `(local + ${i * threads}u)`;
      const [unitRow, column] = [`${unit} / ${vectors}u`, `${unit} % ${vectors}u`];
      const put = `${stage}[(${to} + ${unitRow}) * ${vectors + 1}u + ${column}] = ${name};`;
      return {
        fetch: `let ${name} = ${tensor}[(${row(unitRow)}) * ${vectors}u + ${column}];`,
        put: (i + 1) * threads > units ? `if (${unit} < ${units}u) { ${put} }` : put,
      };
    })
  );
  return { fetch: moves.map(({ fetch }) => fetch), put: moves.map(({ put }) => put) };
}

/**
 * The work on one tile, in steps of 16 rows, while the rows of the next one are on their way.
 *
 * @param options `counter`: WGSL of the tile's first row. `passage`: of `rowCount` rows from `row0` on
 * to the stage's row `to`. `first`: emits the first products with the stage's rows from `row` on, under
 * names that end in `mark`. `rest`: emits everything else of that step; `firstRow` is the row of the
 * sequence, and `between` emits the first products of the next step, or nothing.
 */
export function emitTile(
  emit: (...lines: string[]) => void,
  options: {
    readonly counter: string;
    readonly tiling: PassingTiling;
    readonly passage: (rowCount: number, row0: string, to: string, mark?: string) => Passage;
    readonly first: (mark: string, row: string) => void;
    readonly rest: (
      mark: string,
      step: { readonly row: string; readonly firstRow: string; readonly between: () => void },
    ) => void;
  },
): void {
  const { counter, passage, first, rest, tiling: { tileColumns, stages, ahead } } = options;
  emit("workgroupBarrier();");
  if (stages === 1) {
    const whole = passage(tileColumns, counter, "0u");
    emit("{", ...whole.fetch, ...whole.put, "}", "workgroupBarrier();");
  }
  const current = stages === 1 ? "0u" : `((${counter} / ${tileColumns}u) & 1u) * ${tileColumns}u`;
  emit(`let staged = ${current}; // first row of the stage in use`);
  const step = (mark: string, c0: string, between: () => void) => {
    const row = `staged + ${c0}`;
    const next = passage(
      16,
      `${counter} + ${tileColumns}u + ${c0}`,
      `${tileColumns}u - staged + ${c0}`,
      mark,
    );
    if (stages === 2) emit(...next.fetch);
    if (ahead === 0) first(mark, row);
    rest(mark, { row, firstRow: `(${counter} + ${c0})`, between });
    if (stages === 2) emit(...next.put);
  };
  if (ahead === 0) {
    emit(`for (var c0 = 0u; c0 < ${tileColumns}u; c0 += 16u) {`);
    step("", "c0", () => {});
    emit("}");
    return;
  }
  const steps = range(tileColumns / 16);
  const begin = (i: number) => first(`${i}`, `staged + ${16 * i}u`);
  begin(0);
  for (const i of steps) step(`${i}`, `${16 * i}u`, () => i + 1 < steps.length && begin(i + 1));
}
