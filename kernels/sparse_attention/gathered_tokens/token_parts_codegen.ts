/**
 * Parts of the generated WGSL of attention over gathered tokens: see `token_codegen.ts`.
 *
 * @module
 */
import type { DType } from "../../gpu/buffers.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";

/** Threads of a workgroup. */
export const THREADS = 128;

/** Words of a bit row that are expanded at once: 32 queries each. */
export const CHUNK_WORDS = 32;

/** What a kernel is generated for. */
export interface TokenProgram {
  readonly headDim: number;
  readonly dtype: DType;
  /** Query heads of a key head. */
  readonly group: number;
  /** C, rows that are gathered at once. */
  readonly tile: number;
}

/** Sizes derived from a program. */
export interface Sizes extends TokenProgram {
  /** Vectors of four numbers of a row. */
  readonly vectors: number;
  /** Vectors from one staged row to the next. */
  readonly stride: number;
  /** Groups of threads that each own all columns. */
  readonly slices: number;
  /** Pairs of a gathered row and an own row. */
  readonly pairs: number;
  /** Threads of a pair. */
  readonly lanes: number;
  /** Pairs of a thread. */
  readonly turns: readonly number[];
}

export function sizesOf(program: TokenProgram, own: number): Sizes {
  const vectors = program.headDim / 4;
  const pairs = program.tile * own;
  const lanes = Math.max(1, 2 ** Math.floor(Math.log2(THREADS / pairs)));
  return {
    ...program,
    vectors,
    stride: vectors + 1,
    slices: Math.floor(THREADS / vectors),
    pairs,
    lanes,
    turns: range(Math.ceil(pairs * lanes / THREADS)),
  };
}

/** Bytes of workgroup memory of a pass. */
export function tokenWorkgroupBytes(
  pass: "forward" | "query" | "key-value",
  program: TokenProgram,
): number {
  const { tile, group } = program;
  const { stride, vectors, pairs, lanes } = sizesOf(program, pass === "key-value" ? 1 : group);
  const stages = pass === "forward" ? 1 : 2;
  // The stage also adds up slices.
  const staged = Math.max(stages * tile * stride, THREADS) * 16;
  if (pass === "forward") {
    return staged + group * vectors * 16 + (pairs * lanes + 2 * pairs + tile + group) * 4;
  }
  const own = 2 * (pass === "query" ? group : 1) * vectors * 16;
  const ids = pass === "key-value" ? CHUNK_WORDS * 33 * 4 : 0;
  return staged + own + (2 * pairs * lanes + 2 * pairs + 3 * tile) * 4 + ids;
}

/** Reading and writing four elements. */
export function access(dtype: DType): string {
  return dtype === "f16"
    ? wgsl`
      alias Four = vec2u;
      fn four(x: Four) -> vec4f { return vec4f(unpack2x16float(x.x), unpack2x16float(x.y)); }
      ${NEAREST_HALF}
      fn rounded(x: vec4f) -> Four {
        let y = nearestHalf(x);
        return vec2u(pack2x16float(y.xy), pack2x16float(y.zw));
      }
    `
    : wgsl`
      alias Four = vec4f;
      fn four(x: Four) -> vec4f { return x; }
      fn rounded(x: vec4f) -> Four { return x; }
    `;
}

/** Bindings of group 0, in order. */
export function bindings(lines: readonly string[]): string[] {
  return lines.map((line, i) => `@group(0) @binding(${i}) ${line}`);
}

/** Calls `body` for a thread's share of `count` units, as the variable `u`. */
export function share(count: number, body: readonly string[]): string[] {
  return range(Math.ceil(count / THREADS)).flatMap((n) => {
    const unit = `let u = local + ${n * THREADS}u;`;
    return (n + 1) * THREADS > count
      ? [`{ ${unit} if (u < ${count}u) {`, ...body, "} }"]
      : [`{ ${unit}`, ...body, "}"];
  });
}

/** WGSL of a staged vector, from that of its index. */
export type Stage = (at: string) => string;

/** The first stage, of a pass with one or two. */
export const FIRST: Stage = (at) => `stage[${at}]`;

/** The second, behind it. */
export function secondStage({ tile, stride }: Sizes): Stage {
  return (at) => `stage[${tile * stride}u + ${at}]`;
}

/** The dot products of own rows and staged rows, as one partial sum a lane in `into`. */
export function dots(
  { pairs, lanes, turns, vectors, stride, tile }: Sizes,
  options: { readonly own: string; readonly stage: Stage; readonly into: string },
): string[] {
  const { own, stage, into } = options;
  return turns.flatMap((n) => {
    const place = `local + ${n * THREADS}u`;
    const guard = (n + 1) * THREADS > pairs * lanes ? `if (${place} < ${pairs * lanes}u) ` : "";
    return [
      `${guard}{`,
      `  let pair = (${place}) / ${lanes}u;`,
      `  let lane = (${place}) % ${lanes}u;`,
      // Pairs of the same own row are side by side.
      `  let a = pair / ${tile}u * ${vectors}u;`,
      `  let b = pair % ${tile}u * ${stride}u;`,
      "  var total = vec4f();",
      `  for (var c = lane; c < ${vectors}u; c += ${lanes}u) {`,
      `    total = fma(${own}[a + c], ${stage("b + c")}, total);`,
      "  }",
      `  ${into}[${place}] = (total.x + total.y) + (total.z + total.w);`,
      "}",
    ];
  });
}

/** The sum of a pair's partial sums. */
export function partialSum({ lanes }: Sizes, from: string, pair: string): string {
  return range(lanes).map((l) => `${from}[${pair} * ${lanes}u + ${l}u]`).join(" + ");
}

/** A statement for each pair of a thread, as the variable `pair`, and its turn. */
export function eachPair({ pairs }: Sizes, body: (turn: number) => readonly string[]): string[] {
  return range(Math.ceil(pairs / THREADS)).flatMap((n) => {
    const pair = `let pair = local + ${n * THREADS}u;`;
    return (n + 1) * THREADS > pairs
      ? [`{ ${pair} if (pair < ${pairs}u) {`, ...body(n), "} }"]
      : [`{ ${pair}`, ...body(n), "}"];
  });
}

/** Sums over slices of a register, four columns a thread; `store` gets the total as `total`. */
export function addSlices(
  { slices, vectors }: Sizes,
  register: string,
  store: readonly string[],
): string[] {
  return [
    "workgroupBarrier();",
    `if (slice < ${slices}u) { stage[slice * ${vectors}u + column] = ${register}; }`,
    "workgroupBarrier();",
    "if (slice == 0u) {",
    "  var total = stage[column];",
    ...range(slices).slice(1).map((s) => `  total += stage[${s * vectors}u + column];`),
    ...store,
    "}",
  ];
}

/** A thread's columns and slice. */
export function columns({ vectors }: Sizes): string[] {
  return [`let column = local % ${vectors}u;`, `let slice = local / ${vectors}u;`];
}

/**
 * Gathers rows of sources into stages; `row` is WGSL of the row that the staged row `i` comes from.
 */
export function gather(
  { tile, vectors, stride }: Sizes,
  sources: readonly (readonly [source: string, stage: Stage])[],
  row: string,
): string[] {
  return share(tile * vectors, [
    `let i = u / ${vectors}u;`,
    `let c = u % ${vectors}u;`,
    `let at = ${row} * ${vectors}u + c;`,
    ...sources.map(([source, stage]) => `${stage(`i * ${stride}u + c`)} = four(${source}[at]);`),
  ]);
}

/** Opens the entry point. */
export const MAIN = (params: string) =>
  wgsl`
  @compute @workgroup_size(${THREADS})
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    ${params}
`;

/** A weight from its exponent in base 2: no weight is above 1. NaN stays NaN. */
export const WEIGHT_OF = "fn weightOf(x: f32) -> f32 { return exp2(select(x, 0.0, x > 0.0)); }";
