/**
 * WGSL of the gradients of scores on subgroup matrices, for the passes over keys and values: the
 * weights of a lane, their masks, dS, and its restart with a smaller factor. See
 * `dense_matrix_backward_codegen.ts`.
 *
 * @module
 */
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import { type BackwardKernel, isScaled, scaleResult } from "./dense_matrix_backward_codegen.ts";
import { columnsOfHalves, packWeights, RIGHT } from "./matrix_exchange_codegen.ts";

/** A weight, times 2^14, from its exponent; NaN stays NaN. */
export const WEIGHT_OF = `
fn weightOf(exponent: vec4f) -> vec4f {
  let most = vec4f(WEIGHT_EXPONENT);
  return exp2(select(exponent, most, exponent > most));
}`;

/**
 * Which rows of an f32 dO a loop over queries takes: all where they share one power, else in the
 * first round those of the largest power of each tile, and in later rounds, one after the other,
 * the others.
 */
export type Round = "only" | "first" | "later";

/**
 * The loops over queries, retried with a smaller factor. `begin`: WGSL that initialises the sums.
 * `later`: the loop of later rounds, which has its own code so that the others stay as short as
 * without rounds. `alike`: where all queries of a workgroup may share one power of an f32 dO, the
 * loops that know of none, and the sums to scale by it.
 */
export function retryUntilFit(
  kernel: BackwardKernel,
  { begin, loops, later, alike }: {
    readonly begin: readonly string[];
    readonly loops: readonly string[];
    readonly later: readonly string[];
    readonly alike?: { readonly loops: readonly string[]; readonly sums: readonly string[] };
  },
): string {
  // The number of attempts is unknown at compile time, which prevents unrolling.
  const open = "  for (var attempt = 0u; attempt < min(8u, params.rows); attempt++) {";
  const rounds = flatWgsl`
    if (local == 0u) { rounds = 0u; }
    {
      ${loops}
    }
    let lastRound = workgroupUniformLoad(&rounds);
    for (var round = 1u; round < lastRound; round++) {
      ${later}
    }
  `;
  const chosen = (alike: { loops: readonly string[]; sums: readonly string[] }) =>
    flatWgsl`
    if (countOneBits(classes) == 1u) {
      ${adoptScale(alike.sums, "firstLeadingBit(classes)")}
      ${alike.loops}
    } else {
      ${rounds}
    }
  `;
  return flatWgsl`
    ${alike ? [joinClasses(kernel)] : []}
    ${open}
      ${isScaled(kernel) ? ["gradientScale = 1.0;"] : []}
      ${begin}
      let factor = exp2(exponent - WEIGHT_EXPONENT);
      var peak = 0.0;
      if (local == 0u) { atomicStore(&largest, 0u); overflow = 0.0; }
      ${alike ? [chosen(alike)] : isScaled(kernel) ? [rounds] : loops}
      workgroupBarrier();
      atomicMax(&largest, bitcast<u32>(peak));
      workgroupBarrier();
      let worst = bitcast<f32>(atomicLoad(&largest));
      if (local == 0u && !(worst < 60000.0)) { overflow = worst; }
      let excess = workgroupUniformLoad(&overflow);
      if (excess == 0.0) { break; }
      exponent -= clamp(log2(excess) - 14.0, 1.0, 60.0);
    }
  `;
}

/** The classes of all queries from the tile of the first key to the end of the rectangle. */
function joinClasses({ threads }: BackwardKernel): string {
  return flatWgsl`
    if (local == 0u) { atomicStore(&joinedClasses, 0u); }
    workgroupBarrier();
    {
      let masks = (params.firstHead + group.x) * ((params.rows + 15u) / 16u);
      let end = (min(params.endQuery, params.rows) + 15u) / 16u;
      for (var m = max(params.firstQuery, own0) / 16u + local; m < end; m += ${threads}u) {
        atomicOr(&joinedClasses, classMasks[masks + m]);
      }
    }
    workgroupBarrier();
    if (local == 0u) { stageClass = atomicLoad(&joinedClasses); }
    let classes = workgroupUniformLoad(&stageClass);
  `;
}

/** Adopts the scale of a tile of dO, or that of a class, and rescales the sums to it. */
export function adoptScale(sums: readonly string[], ownClass = "stageClass"): string {
  return flatWgsl`
    let known = powerOf(${ownClass});
    if (known != gradientScale) {
      let change = gradientScale / known;
      gradientScale = known;
      ${sums.map((name) => scaleResult(name, "change"))}
    }
  `;
}

/** The c-th right matrix of 16 staged rows. */
export function loadStaged(
  { stride }: BackwardKernel,
  { stage, order, row, c, before }: {
    readonly stage: string;
    readonly order: "row_major" | "col_major";
    readonly row: string;
    readonly c: number;
    /** WGSL of the vectors before these rows and columns. Default: none. */
    readonly before?: string;
  },
): string {
  const at = `${before ? `${before} + ` : ""}${row} * ${stride}u + ${2 * c}u`;
  return `subgroupMatrixLoad<${RIGHT}, ${order}>(&${stage}, ${at}, ${stride}u)`;
}

/** One half of a lane's P and of its gradient, less delta, times the factor. */
export function weights(
  { half, column, row }: { readonly half: string; readonly column: string; readonly row: string },
): string {
  const t = `t${half}`;
  const field = (name: string) => `vec4f(${range(4).map((j) => `${t}${j}.${name}`).join(", ")})`;
  const exponent = `vec4f(WEIGHT_EXPONENT) - ${field("x")}`;
  return flatWgsl`
    ${range(4).map((j) => `let ${t}${j} = statistics[${row} + ${column} + ${j}u];`)}
    x${half} = weightOf(fma(x${half}, vec4f(scale), ${exponent}));
    y${half} = (y${half} - ${field("y")}) * factor;
  `;
}

/** Masks queries that do not attend to a lane's key, according to a walk. */
export function maskUnseen(at: string): string {
  return wgsl`
    let seen = walkedMask(path, ${at});
    if (!walkSeesAll(path, seen, block, 16u, query0, 16u)) {
    ${columnsOfHalves("query0")}
      xa = select(vec4f(), xa, walkSees(path, seen, vec4u(row), keyA));
      xb = select(vec4f(), xb, walkSees(path, seen, vec4u(row), keyB));
    }
  `;
}

/** dS from P and its gradient, in place; both rounded to f16 as `xw` and `yw`. */
export function differentiateWeights(): string {
  return flatWgsl`
    ya *= xa; yb *= xb;
    let most = max(abs(ya), abs(yb));
    peak = max(peak, max(max(most.x, most.y), max(most.z, most.w)));
    ${packWeights("x")}
    ${packWeights("y")}
  `;
}

/** Stores a lane's part of dS for the pass over queries. */
export function leaveScoreGradients(firstRow: string, round: Round): string {
  const block = `scoreBlock + (${firstRow} - params.firstQuery) / 16u`;
  const at = `(${block}) * 32u + scoreRow`;
  // Later rounds keep the queries of earlier ones.
  const value = round === "later" ? `joinHalves(yw, scoreGradients[${at}])` : "yw";
  return `scoreGradients[${at}] = select(vec4u(), ${value}, live);`;
}

/**
 * With a scaled dO: dS of several rounds. A zero is of a query of another round, or is one of its
 * own.
 */
export const JOIN_HALVES = wgsl`
  fn joinHalves(later: vec4u, earlier: vec4u) -> vec4u {
    let low = select(vec4u(0xffffu), vec4u(), (later & vec4u(0x7fffu)) == vec4u());
    let high = select(vec4u(0xffff0000u), vec4u(), (later & vec4u(0x7fff0000u)) == vec4u());
    return (later & (low | high)) | (earlier & ~(low | high));
  }

`;

/**
 * Classes of the powers of an f32 dO: of a row's delta, and of a round of a mask; 31 where none is
 * left.
 */
export const CLASSES = wgsl`
  fn classOf(delta: f32) -> u32 { return bitcast<u32>(delta) & 31u; }
  fn powerOf(ownClass: u32) -> f32 { return bitcast<f32>((8u * min(ownClass, 30u) + 7u) << 23u); }
  fn classOfRound(mask: u32, round: u32) -> u32 {
    var left = mask;
    for (var r = 0u; r < round; r++) { left &= ~(1u << firstLeadingBit(left)); }
    return select(firstLeadingBit(left), 31u, left == 0u);
  }

`;
