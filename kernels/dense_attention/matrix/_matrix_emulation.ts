/**
 * Runs shaders for subgroup matrices on devices without them. The emulation is slow but exact in
 * what the shader computes: rows, masks and sums. It does not reproduce the order in which the
 * lanes of a real device access the scratch: it assumes that subgroups run in lockstep, and tests
 * on real devices check that.
 *
 * A lane computes 8 elements of a result matrix, all in one row, or 4 of one with 8 columns: it
 * holds as many floats of a result and 16 of a left matrix (one row). Right matrices are read from
 * memory when they are multiplied. Products are queued until a result is stored or a barrier is
 * reached, because compilers of software adapters inline every call and take minutes for a hundred
 * of them.
 *
 * Parameters are a read-only storage buffer: lavapipe recompiles a shader for every dispatch whose
 * loops end at a uniform, with the uniform's value inlined and the loops unrolled.
 *
 * Works only for shaders from the generators in this folder and in `training/matrix_product/`.
 *
 * @module
 */

/** Left operand of a queued entry that sets a result to zero. */
const CLEAR = 0xffff;

/** Results to and from a buffer of f32. */
const PARTIALS = `
fn partialAt(i: u32, offset: u32, stride: u32) -> u32 {
  let e = emulatedLane * eight + i;
  return offset + e / (2u * eight) * stride + e % (2u * eight);
}
fn loadPartial(slot: u32, offset: u32, stride: u32) {
  for (var i = 0u; i < eight; i++) {
    results[slot * 8u + i] = partials[partialAt(i, offset, stride)];
  }
}
fn storePartial(slot: u32, offset: u32, stride: u32) {
  for (var i = 0u; i < eight; i++) {
    partials[partialAt(i, offset, stride)] = results[slot * 8u + i];
  }
}`;

/** A loaded right matrix: its place in memory, in WGSL. */
interface Right {
  readonly buffer: string;
  readonly transposed: boolean;
  readonly offset: string;
  readonly stride: string;
}

const SCOPE_OR_NAME = /[{}]|\b(?:let|var) (\w+)((?: *:[^=;]*)?(?:;| = [^;]*;))/g;

/**
 * Refuses a shader in which a matrix hides a number of the same name, or a number a matrix: the
 * emulation knows them by their names.
 */
function requireOwnNames(code: string): void {
  const scopes: Map<string, boolean>[] = [new Map()];
  for (const [text, name, value] of code.matchAll(SCOPE_OR_NAME)) {
    if (text === "{") scopes.push(new Map());
    else if (text === "}") scopes.pop();
    else {
      const isMatrix = /subgroup(?:Matrix|_matrix_)/.test(value);
      if (scopes.some((scope) => (scope.get(name) ?? isMatrix) !== isMatrix)) {
        throw new Error(`emulate matrices: ${name} is the name of a matrix and of a number`);
      }
      scopes[scopes.length - 1].set(name, isMatrix);
    }
  }
}

/** Rewrites a generated shader as plain WGSL. */
export function emulateMatrices(code: string, subgroups: number): string {
  requireOwnNames(code);
  const [lefts, results] = [new Map<string, number>(), new Map<string, number>()];
  const [leftBuffers, rightBuffers] = [new Map<string, number>(), new Map<string, number>()];
  const indexOf = (slots: Map<string, number>, name: string) => {
    if (!slots.has(name)) slots.set(name, slots.size);
    return slots.get(name)!;
  };
  const slot = (slots: Map<string, number>, name: string) => `${indexOf(slots, name)}u`;
  const rights = new Map<string, Right>();
  // Right matrices that are variables: a subgroup keeps copies.
  const held = new Map<string, number>();
  let waiting = false;
  // Entries in the text since the last flush, and their maximum.
  let [run, longestRun] = [0, 0];
  const flush = () => {
    waiting = false;
    run = 0;
    return "runQueue(); ";
  };
  const parseLoad = (text: string) => {
    const found = text.match(
      /^subgroupMatrixLoad<subgroup_matrix_(\w+)<f16, \d+, 16>, (\w+)>\(&(\w+), (.*), ([^,]+)\)$/s,
    );
    if (!found) throw new Error(`emulate matrices: not a load: ${text}`);
    const [, side, order, buffer, offset, stride] = found;
    return { side, transposed: order === "col_major", buffer, offset, stride };
  };
  const load = (name: string, text: string, declares: boolean) => {
    const result = text.match(
      /^subgroupMatrixLoad<subgroup_matrix_result<f32, \d+, 16>, row_major>\(&partials, (.*), ([^,]+)\)$/s,
    );
    if (result) return `${flush()}loadPartial(${slot(results, name)}, ${result[1]}, ${result[2]});`;
    const { side, ...place } = parseLoad(text);
    const { buffer, transposed } = place;
    // What is queued still multiplies what a variable held.
    const before = !declares && waiting ? flush() : "";
    if (side === "left") {
      slot(leftBuffers, buffer);
      const from = `${place.offset}, ${place.stride}`;
      return `${before}left_${buffer}(${slot(lefts, name)}, ${from}, ${transposed});`;
    }
    if (held.has(name)) {
      const from = `${place.offset} + emulatedLane / 2u * ${place.stride} + emulatedLane % 2u`;
      return `${before}held[${rights.get(name)!.offset} + emulatedLane] = ${buffer}[${from}];`;
    }
    const [offset, stride] = [`${name}_offset`, `${name}_stride`];
    rights.set(name, { ...place, offset, stride });
    return `let ${offset} = ${place.offset}; let ${stride} = ${place.stride};`;
  };
  /** Queues a product: its left matrix, its result, and the address of its right matrix. */
  const enqueue = (
    left: number,
    result: string,
    right?: { buffer: number; transposed: boolean; offset: string; stride: string },
  ) => {
    waiting = true;
    longestRun = Math.max(longestRun, ++run);
    const { buffer, transposed, offset, stride } = right ??
      { buffer: 0, transposed: false, offset: "0u", stride: "0u" };
    const operands = left * 2 ** 16 + indexOf(results, result) * 2 ** 8 + buffer * 2 +
      Number(transposed);
    return `queue[queued] = vec3u(${operands}u, ${offset}, ${stride}); queued++;`;
  };
  const multiply = (left: string, right: string, sum: string) => {
    const { buffer, ...place } = rights.get(right) ?? parseLoad(right);
    return enqueue(indexOf(lefts, left), sum, { ...place, buffer: indexOf(rightBuffers, buffer) });
  };
  const clear = (sum: string) => enqueue(CLEAR, sum);
  const columns = code.includes("subgroup_matrix_result<f32, 8, 16>") ? 8 : 16;
  // After the loops, a barrier flushes only if entries were queued since.
  let inLoops = true;
  const hasPartials = code.includes("> partials:");
  const statements = code
    .replace(/^(enable|diagnostic).*$/gm, "")
    .replace(/^ *var \w+: subgroup_matrix_left<[^>]*>;$/gm, "")
    .replace(/var<uniform>/g, "var<storage, read>")
    .replace(/subgroupShuffleXor\(/g, "otherLane(")
    .replace(/subgroupMax\((\w+)\)/g, "mostOfSubgroup($1)")
    // What some subgroups skip would change nothing; here all meet at barriers.
    .replace(/if \(\d+u <= own\) \{/g, "{")
    .replace(/\bpack2x16float/g, "packNearest")
    // In lockstep, all lanes have read the scratch before any lane overwrites it.
    .replace(/scratch\[[^\]]*\] =/g, "lockstep(); $&");
  const rewritten = statements.replace(
    /(?:let|var)? ?(\w+)(?:: [\w<>, ]+)? ?= (subgroup\w+<[^;]*|subgroup_matrix_(?:result|left|right)[^;]*|subgroupMatrixMultiplyAccumulate[^;]*|subgroupMatrixScalarMultiply[^;]*);|subgroupMatrixStore[^;]*;|workgroupBarrier\(\);|workgroupUniformLoad|\bfor \(|if \((?:later|known != exponent|known != gradientScale)\)/g,
    (text: string, name: string | undefined, value: string | undefined) => {
      if (text === "workgroupUniformLoad") {
        inLoops = false;
        return text;
      }
      if (text === "for (") {
        // The end of the loop may have queued products.
        waiting = true;
        return text;
      }
      // Flush before a branch: otherwise only one of two branches would run the queue.
      if (text.startsWith("if (")) return `${flush()}${text}`;
      if (text === "workgroupBarrier();") return `${inLoops || waiting ? flush() : ""}${text}`;
      const store = text.match(
        /^subgroupMatrixStore<row_major>\(&(scratch|partials), (.*), (\w+), ([^,]+)\);$/s,
      );
      if (store) {
        const [, buffer, offset, result, stride] = store;
        const call = buffer === "scratch" ? "storeResult" : "storePartial";
        return `${waiting ? flush() : ""}${call}(${slot(results, result)}, ${offset}, ${stride});`;
      }
      if (name === undefined || value === undefined) throw new Error(`emulate matrices: ${text}`);
      if (value.startsWith("subgroup_matrix_result")) return clear(name);
      if (value.startsWith("subgroup_matrix_left")) return "";
      if (value.startsWith("subgroup_matrix_right")) {
        const place = `(${indexOf(held, name) * subgroups}u + emulatedSubgroup) * 32u`;
        const later = new RegExp(`\\b${name} = (subgroupMatrixLoad[^;]*);`, "s").exec(code)![1];
        rights.set(name, { ...parseLoad(later), buffer: "held", offset: place, stride: "2u" });
        return "";
      }
      if (value.startsWith("subgroupMatrixLoad")) {
        return load(name, value, /^(?:let|var) /.test(text));
      }
      const scaled = value.match(/^subgroupMatrixScalarMultiply\((\w+), (.*)\)$/s);
      if (scaled) {
        return `${waiting ? flush() : ""}scaleResult(${slot(results, scaled[1])}, ${scaled[2]});`;
      }
      const product = value.match(/^subgroupMatrixMultiplyAccumulate\((\w+),\s*(.*), (\w+)\)$/s);
      if (!product) throw new Error(`emulate matrices: ${text}`);
      return multiply(product[1], product[2], product[3]);
    },
  ).replace(
    /(fn main\([\s\S]*?\) \{\n)/,
    "$1emulatedLane = local & 31u; emulatedSubgroup = local >> 5u;\n" +
      // Loop bounds unknown at compile time prevent unrolling.
      `eight = min(params.rows, ${columns / 2}u); sixteen = min(params.rows, 16u);\n`,
  );
  const half = (buffer: string) => `
fn half_${buffer}(offset: u32, column: u32) -> f32 {
  return unpack2x16float(${buffer}[offset + column / 8u][column % 8u / 2u])[column % 2u];
}`;
  const left = (buffer: string) => `
fn left_${buffer}(slot: u32, offset: u32, stride: u32, transposed: bool) {
  ${buffer === "scratch" ? "workgroupBarrier();" : ""}
  let row = emulatedLane / 2u;
  for (var c = 0u; c < sixteen; c++) {
    let at = offset + select(row, c, transposed) * stride;
    lefts[slot * 16u + c] = half_${buffer}(at, select(c, row, transposed));
  }
}`;
  const right = ([buffer, index]: [string, number]) =>
    `if (buffer == ${index}u) { value = half_${buffer}(at, column); }`;
  return `${rewritten}
${held.size > 0 ? `var<workgroup> held: array<vec4u, ${32 * subgroups * held.size}>;` : ""}
var<workgroup> halves: array<f32, ${32 * subgroups}>;
var<private> lefts: array<f32, ${lefts.size * 16}>;
var<private> results: array<f32, ${results.size * 8}>;
// Between two flushes are at most the end of a loop, its start and the code before it.
var<private> queue: array<vec3u, ${3 * longestRun}>;
var<private> queued: u32;
var<private> emulatedLane: u32;
var<private> emulatedSubgroup: u32;
var<private> eight: u32;
var<private> sixteen: u32;
// Element k of a column of the right matrix of an entry.
fn rightAt(entry: vec3u, mine: u32, k: u32) -> f32 {
  let buffer = (entry.x >> 1u) & 127u;
  let transposed = (entry.x & 1u) == 1u;
  let at = entry.y + select(k, mine, transposed) * entry.z;
  let column = select(mine, k, transposed);
  var value = 0.0;
  ${[...rightBuffers].map(right).join("\n")}
  return value;
}
fn runQueue() {
  for (var q = 0u; q < queued; q++) {
    let entry = queue[q];
    let left = entry.x >> 16u;
    let result = (entry.x >> 8u) & 255u;
    for (var i = 0u; i < eight; i++) {
      let mine = emulatedLane % 2u * eight + i;
      let sum = result * 8u + i;
      if (left == ${CLEAR}u) { results[sum] = 0.0; continue; }
      var total = results[sum];
      // Two per iteration: a software adapter limits the loop iterations of an invocation.
      for (var k = 0u; k < sixteen; k += 2u) {
        total += lefts[left * 16u + k] * rightAt(entry, mine, k);
        total += lefts[left * 16u + k + 1u] * rightAt(entry, mine, k + 1u);
      }
      results[sum] = total;
    }
  }
  queued = 0u;
}
fn lockstep() { workgroupBarrier(); }
fn storeResult(slot: u32, offset: u32, stride: u32) {
  workgroupBarrier();
  for (var i = 0u; i < eight; i++) {
    let e = emulatedLane * eight + i;
    let column = e % (2u * eight);
    scratch[offset + e / (2u * eight) * stride + column / 4u][column % 4u] = bitcast<u32>(results[slot * 8u + i]);
  }
  workgroupBarrier();
}
fn scaleResult(slot: u32, factor: f32) {
  for (var i = 0u; i < eight; i++) { results[slot * 8u + i] *= factor; }
}
${hasPartials ? PARTIALS : ""}
fn packNearest(pair: vec2f) -> u32 {
  let bits = bitcast<vec2u>(pair);
  let rounded = (bits + 0xfffu + ((bits >> vec2u(13u)) & vec2u(1u))) & vec2u(0xffffe000u);
  return pack2x16float(bitcast<vec2f>(rounded));
}
fn otherLane(value: f32, mask: u32) -> f32 {
  let at = emulatedSubgroup * 32u;
  workgroupBarrier();
  halves[at + emulatedLane] = value;
  workgroupBarrier();
  let other = halves[at + (emulatedLane ^ mask)];
  workgroupBarrier();
  return other;
}
fn mostOfSubgroup(value: f32) -> f32 {
  let at = emulatedSubgroup * 32u;
  workgroupBarrier();
  halves[at + emulatedLane] = value;
  workgroupBarrier();
  var most = value;
  for (var i = 0u; i < 32u; i++) { most = max(most, halves[at + i]); }
  workgroupBarrier();
  return most;
}
${[...new Set([...leftBuffers.keys(), ...rightBuffers.keys()])].map(half).join("\n")}
${[...leftBuffers.keys()].map(left).join("\n")}
`;
}
