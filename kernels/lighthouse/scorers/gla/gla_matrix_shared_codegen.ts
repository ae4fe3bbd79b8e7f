/**
 * WGSL that both passes of gla scores on subgroup matrices share (`gla_matrix_codegen.ts`).
 *
 * @module
 */
import { LANE_PLACES } from "../../../dense_attention/matrix/matrix_exchange_codegen.ts";
import { SCRATCH } from "../../../dense_attention/matrix/matrix_layout.ts";
import { range, wgsl } from "../../../gpu/wgsl.ts";

/** Rows of a chunk. */
export const MATRIX_CHUNK = 64;
/** Subgroups of a workgroup, for each of the two directions. */
export const SUBGROUPS = 4;
/** Threads of a workgroup. */
export const THREADS = 2 * SUBGROUPS * 32;
/** Blocks of 16 rows in a chunk, and in the part of the state that a workgroup holds. */
export const BLOCKS = range(4);

/** The uniform of both passes. */
export const PARAMS = wgsl`
  struct Params {
    rows: u32,        // N / dilation, rows of one sequence
    dilation: u32,
    context: u32,     // N
    entries: u32,     // P
    firstLane: u32,   // sequence of the dispatch's first; sequence = head * dilation + residue
    firstChunk: u32,  // chunk of the dispatch's first
    chunks: u32,      // chunks of each sequence in this dispatch
  }
`;

/** Powers of two that bring a largest magnitude below 2^15. */
export const POWERS = wgsl`
  fn exponentOf(largest: f32, least: i32) -> i32 {
    let bits = bitcast<u32>(largest) & 0x7fffffffu;
    if (bits == 0u || bits >= 0x7f800000u) { return 0; }
    return clamp(i32(bits >> 23u) - 141, least, 60);
  }
  fn power(exponent: i32) -> f32 { return bitcast<f32>(u32(exponent + 127) << 23u); }
  fn largestOf(a: vec4f, z: vec4f) -> f32 {
    let most = max(abs(a), abs(z));
    return max(max(most.x, most.y), max(most.z, most.w));
  }
  fn packed(a: vec4f, z: vec4f) -> vec4u {
    return vec4u(
      pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(z.xy), pack2x16float(z.zw),
    );
  }
  fn scaled(word: vec4u, factor: f32) -> vec4u {
    return packed(
      vec4f(unpack2x16float(word.x), unpack2x16float(word.y)) * factor,
      vec4f(unpack2x16float(word.z), unpack2x16float(word.w)) * factor,
    );
  }

`;

/** Bindings of group 0, in order. */
export function declare(bindings: readonly string[]): string[] {
  return bindings.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** The sequence of a workgroup, and where its rows lie. */
const OPEN_LANE = wgsl`
  let lane = params.firstLane + group.y;
  let firstToken = (lane / params.dilation) * params.context + lane % params.dilation;
`;

/** The start of both entry points. */
export const OPEN_MAIN = wgsl`
  @compute @workgroup_size(${THREADS})
  fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
  ) {
    ${LANE_PLACES}
    ${OPEN_LANE}
    let scratch0 = subgroup * ${SCRATCH}u;
    let direction = subgroup / ${SUBGROUPS}u; // 0: queries read what keys write; 1: the reverse
    let own = subgroup % ${SUBGROUPS}u;       // its subgroup of the direction
`;

/** A thread's share of 64 rows of `vectors` 16-byte vectors. */
export function shares(vectors: number): { i: number; row: string; column: string }[] {
  return range(MATRIX_CHUNK * vectors / THREADS).map((i) => {
    const unit = `(local + ${i * THREADS}u)`;
    return { i, row: `(${unit} / ${vectors}u)`, column: `(${unit} % ${vectors}u)` };
  });
}

/**
 * WGSL of a vector of a row of the sequence; past its end of its last row. Only the last chunk has
 * such rows: its state goes nowhere, no row sees them, and their own outputs are dropped. Nothing
 * may depend on a load before it is used: a `select` here would wait for it.
 */
export function vectorOf(tensor: string, row: string, column: string, vectors: number): string {
  const token = `(firstToken + min(${row}, params.rows - 1u) * params.dilation)`;
  return `${tensor}[${token} * ${vectors}u + ${column}]`;
}

/** Multiplies a result matrix by a number. */
export function multiply(name: string, factor: string): string {
  return `${name} = subgroupMatrixScalarMultiply(${name}, ${factor});`;
}
