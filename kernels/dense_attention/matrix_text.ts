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

/** The two halves of a lane's weights, rounded to f16 and in order, as `vec4u` `<name>w`. */
export function packWeights(name: string): readonly string[] {
  const packed = (half: string) =>
    `pack2x16float(${name}${half}.xy), pack2x16float(${name}${half}.zw)`;
  return [
    `let ${name}p = vec4u(${packed("a")}, ${packed("b")});`,
    `let ${name}w = select(${name}p, ${name}p.zwxy, swap == 1u);`,
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

/** How tiles pass through workgroup memory. */
export interface PassingTiling {
  /** Rows of one tile; a multiple of 16. */
  readonly tileColumns: number;
  /**
   * Tiles in workgroup memory. One: all threads load it between two barriers. Two, with one barrier a
   * tile: every subgroup loads its part of the next while the others compute, half of them before
   * their first step, half in the middle, so that of two that share a scheduler one has work.
   */
  readonly stages: 1 | 2;
}

/** Work on rows that pass by: see {@linkcode passTiles}. */
export interface TilePassage {
  /** Emits the loads of the first tile, if they come before the loop over tiles. */
  readonly begin: () => void;
  /**
   * Emits the work on one tile: the body of the loop over tiles.
   *
   * @param step emits the work on 16 rows, the stages' rows from `row` on; `firstRow` is the row of
   * the sequence, `at` the number of the step where steps are unrolled.
   */
  readonly tile: (
    step: (place: { readonly row: string; readonly firstRow: string; readonly at: number }) => void,
  ) => void;
}

/**
 * The way of tiles through workgroup memory.
 *
 * The end of the loop over steps is not a constant on purpose. NVIDIA's compiler unrolls a loop whose
 * end it knows, here into more registers than there are: a third of the speed is lost then.
 *
 * @param options `counter`: WGSL of the tile's first row. `end`: WGSL past the last row of the walk.
 * `tensors`: pairs of a tensor and its stage. `vectors`: 16-byte vectors of a row. `row`: WGSL of the
 * tensors' row for a row of the sequence. `prepare`: WGSL beside the loads of the tile that begins at
 * `row0` into the stages' rows from `to` on. `unrolled`: steps in the place of a loop.
 */
export function passTiles(
  emit: (...lines: string[]) => void,
  options: {
    readonly counter: string;
    readonly end: string;
    readonly tiling: PassingTiling;
    readonly tensors: readonly (readonly [tensor: string, stage: string])[];
    readonly vectors: number;
    readonly threads: number;
    readonly row: (row: string) => string;
    readonly prepare?: (row0: string, to: string) => readonly string[];
    readonly unrolled?: boolean;
  },
): TilePassage {
  const { counter, end, tiling: { tileColumns, stages }, tensors, vectors, threads } = options;
  const units = tileColumns * vectors;
  const load = (row0: string, to: string) => {
    const moves = tensors.flatMap(([tensor, stage]) =>
      range(Math.ceil(units / threads)).map((i) => {
        const name = `${tensor}_${i}`;
        const unit = `(local + ${i * threads}u)`;
        const [unitRow, column] = [`${unit} / ${vectors}u`, `${unit} % ${vectors}u`];
        const row = options.row(`${row0} + ${unitRow}`);
        const put = `${stage}[(${to} + ${unitRow}) * ${vectors + 1}u + ${column}] = ${name};`;
        return {
          fetch: `let ${name} = ${tensor}[(${row}) * ${vectors}u + ${column}];`,
          put: (i + 1) * threads > units ? `if (${unit} < ${units}u) { ${put} }` : put,
        };
      })
    );
    // All loads before all stores: so they are under way together.
    emit("{", ...moves.map(({ fetch }) => fetch), ...options.prepare?.(row0, to) ?? []);
    emit(...moves.map(({ put }) => put), "}");
  };
  const stageOf = (row0: string) =>
    stages === 1 ? "0u" : `((${row0} / ${tileColumns}u) & 1u) * ${tileColumns}u`;
  const half = Math.floor(tileColumns / 32); // steps until the second half of the subgroups loads
  const loadNext = (step: string) => {
    if (stages === 1) return;
    const turn = half === 0 ? "0u" : `((subgroup >> 2u) & 1u) * ${half}u`;
    emit(`if (${step} == ${turn} && ${counter} + ${tileColumns}u < ${end}) {`);
    load(`${counter} + ${tileColumns}u`, `(${tileColumns}u - staged)`);
    emit("}");
  };
  return {
    begin: () => {
      if (stages === 2) load(counter, stageOf(counter));
    },
    tile: (step) => {
      emit("workgroupBarrier();");
      if (stages === 1) {
        load(counter, "0u");
        emit("workgroupBarrier();");
      } else emit(`let staged = ${stageOf(counter)}; // first row of the stage in use`);
      const rowAt = (c0: string) => stages === 1 ? c0 : `(staged + ${c0})`;
      if (options.unrolled) {
        for (const at of range(tileColumns / 16)) {
          loadNext(`${at}u`);
          step({ row: rowAt(`${16 * at}u`), firstRow: `(${counter} + ${16 * at}u)`, at });
        }
        return;
      }
      emit(`for (var c0 = 0u; c0 < min(${tileColumns}u, params.rows); c0 += 16u) {`);
      loadNext("(c0 >> 4u)");
      step({ row: rowAt("c0"), firstRow: `(${counter} + c0)`, at: 0 });
      emit("}");
    },
  };
}
