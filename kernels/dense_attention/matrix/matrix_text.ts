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
import { range } from "../../gpu/wgsl.ts";
import { SCORE_STRIDE, WEIGHT_STRIDE } from "./matrix_layout.ts";
import type { MatrixTiling } from "../tilings.ts";

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

/** The 16 rows of one step. */
export interface PassingRows {
  /** WGSL of the stages' row where they begin. */
  readonly row: string;
  /** WGSL of the sequence's row where they begin. */
  readonly firstRow: string;
  /** The number of the step in its tile, where steps are unrolled. */
  readonly at: number;
  /**
   * Emits the way of later rows into a ring, once a step; where there is none, nothing.
   *
   * @param known WGSL of an f32 that is not known before this place: so that no compiler fetches
   * earlier, when registers are short. Without it the fetch depends on nothing.
   */
  readonly move: (known?: string) => void;
}

/** What passes by. */
export interface Passing {
  /** A variable: the sequence's row where the walk is. */
  readonly counter: string;
  /** Rows of one tile; a multiple of 16. */
  readonly tileColumns: number;
  /** Pairs of a tensor and its stage. */
  readonly tensors: readonly (readonly [tensor: string, stage: string])[];
  /** 16-byte vectors of a row. */
  readonly vectors: number;
  /** Of a workgroup. */
  readonly threads: number;
  /** WGSL of the tensors' row for a row of the sequence. */
  readonly row: (row: string) => string;
  /** WGSL that is true as long as there are rows: the condition of the loop. */
  readonly condition: string;
  /** Emits the work on the next 16 rows. */
  readonly step: (rows: PassingRows) => void;
}

/** A thread's parts of `count` rows of all tensors: their names, and WGSL of their two ways. */
function moves({ tensors, vectors, threads, row }: Passing, count: number) {
  const units = count * vectors;
  return tensors.flatMap(([tensor, stage]) =>
    range(Math.ceil(units / threads)).map((i) => {
      const unit = `(local + ${i * threads}u)`;
      const [unitRow, column] = [`${unit} / ${vectors}u`, `${unit} % ${vectors}u`];
      const name = `${tensor}Next${i}`;
      return {
        name,
        fetch: (from: string, plus = "") =>
          `${tensor}[(${row(`${from} + ${unitRow}${plus}`)}) * ${vectors}u + ${column}]`,
        put: (to: string) => {
          const put = `${stage}[(${to} + ${unitRow}) * ${vectors + 1}u + ${column}] = ${name};`;
          return (i + 1) * threads > units ? `if (${unit} < ${units}u) { ${put} }` : put;
        },
      };
    })
  );
}

/**
 * Emits the loop over rows that pass through workgroup memory a tile at a time: between two barriers
 * everybody loads it and waits for it.
 *
 * The end of the loop over steps is not a constant on purpose. NVIDIA's compiler unrolls a loop whose
 * end it knows, here into more registers than there are: a third of the speed is lost then.
 *
 * @param options `open`: WGSL that opens a tile. `prepare`: WGSL beside its loads. `unrolled`: steps in
 * the place of a loop.
 */
export function passTiles(
  emit: (...lines: string[]) => void,
  options: Passing & {
    readonly open?: readonly string[];
    readonly prepare?: readonly string[];
    readonly unrolled?: boolean;
  },
) {
  const { counter, tileColumns, condition, step, open = [], prepare = [], unrolled } = options;
  const parts = moves(options, tileColumns);
  const move = () => {};
  emit(`for (; ${condition}; ${counter} += ${tileColumns}u) {`, ...open);
  // All fetches before all stores: so they are under way together.
  emit("workgroupBarrier();", "{");
  emit(...parts.map(({ name, fetch }) => `let ${name} = ${fetch(counter)};`), ...prepare);
  emit(...parts.map(({ put }) => put("0u")), "}", "workgroupBarrier();");
  if (unrolled) {
    for (const at of range(tileColumns / 16)) {
      step({ row: `${16 * at}u`, firstRow: `(${counter} + ${16 * at}u)`, at, move });
    }
  } else {
    emit(`for (var c0 = 0u; c0 < min(${tileColumns}u, params.rows); c0 += 16u) {`);
    step({ row: "c0", firstRow: `(${counter} + c0)`, at: 0, move });
    emit("}");
  }
  emit("}");
}

/**
 * Emits the loop over rows that pass through a ring of two tiles in workgroup memory. While one is in
 * use, the next moves in, 16 rows a step, which were fetched a step before and waited in registers: 8
 * of them with 256 threads and two tensors of d = 128. So nobody waits for device memory.
 *
 * NVIDIA's compiler must not undo that. Loads through a read-only binding it moves down to the store
 * of their value, where everybody waits again; so the tensors are bound read-write
 * ({@linkcode ringAccess}), though nobody writes them. And where in a step they move decides whether
 * registers suffice: `TUNING.md` has what was measured.
 */
export function passRing(emit: (...lines: string[]) => void, options: Passing) {
  const { counter, tileColumns, condition, step } = options;
  const ring = 2 * tileColumns;
  const parts = moves(options, 16);
  const fetch = (declare: "let " | "var " | "", ahead: number, plus?: string) => {
    const from = `${counter} + ${ahead}u`;
    emit(...parts.map(({ name, fetch }) => `${declare}${name} = ${fetch(from, plus)};`));
  };
  const put = (ahead: number) =>
    emit(...parts.map(({ put }) => put(`(${counter} + ${ahead}u) % ${ring}u`)));
  for (const first of range(tileColumns / 16)) {
    emit("{");
    fetch("let ", 16 * first);
    put(16 * first);
    emit("}");
  }
  fetch("var ", tileColumns);
  const barrier = "workgroupBarrier();";
  emit(
    `for (; ${condition}; ${counter} += 16u) {`,
    tileColumns === 16 ? barrier : `if (${counter} % ${tileColumns}u == 0u) { ${barrier} }`,
    `let staged = ${counter} % ${ring}u; // where these 16 rows are in the ring`,
  );
  const move = (known?: string) => {
    put(tileColumns);
    // Always + 0: no arithmetic gives the NaN whose bits are all ones.
    const plus = known && ` + select(0u, 1u, bitcast<u32>(${known}) == 0xffffffffu)`;
    fetch("", tileColumns + 16, plus);
  };
  step({ row: "staged", firstRow: counter, at: 0, move });
  emit("}");
}

/** How a shader binds its inputs. */
export type InputAccess = "read" | "read-write";

/**
 * How a shader of this tiling binds its inputs: see {@linkcode passRing}. All of them alike, since a
 * buffer may not be bound for reading and for writing at once.
 */
export function ringAccess({ stages }: MatrixTiling): InputAccess {
  return stages === 2 ? "read-write" : "read";
}
