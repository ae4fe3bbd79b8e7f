/**
 * Runs shaders for subgroup matrices where there are none: every matrix becomes 256 floats of
 * workgroup memory, every operation on matrices a function of 32 threads with barriers around it.
 * Slow, and exact about what the shader says: which rows, which masks, which sums. It tells nothing
 * about the order in which a real device's lanes see a scratch: subgroups are taken to run in
 * lockstep, and tests on such devices say whether that holds.
 *
 * For text of the generators beside this file only.
 *
 * @module
 */

/** Rewrites a shader of the generators into plain WGSL. */
export function emulateMatrices(code: string, subgroups: number): string {
  const slots = new Map<string, number>();
  const slot = (name: string) => {
    if (!slots.has(name)) slots.set(name, slots.size);
    return `${slots.get(name)}u`;
  };
  const buffers = new Set<string>();
  const load = (into: string, text: string) => {
    const found = text.match(
      /^subgroupMatrixLoad<subgroup_matrix_(\w+)<f16, 16, 16>, (\w+)>\(&(\w+), (.*), ([^,]+)\)$/s,
    );
    if (!found) throw new Error(`emulate matrices: not a load: ${text}`);
    const [, , order, buffer, offset, stride] = found;
    buffers.add(buffer);
    return `load_${buffer}(${slot(into)}, ${offset}, ${stride}, ${order === "col_major"});`;
  };
  const statements = code
    .replace(/^(enable|diagnostic).*$/gm, "")
    .replace(/subgroupShuffleXor\((\w+), 16u\)/g, "otherHalf($1)")
    .replace(/pack2x16float/g, "packNearest")
    // In lockstep all lanes have read the scratch before any writes over it.
    .replace(/scratch\[\w+ \+ side\] =/g, "workgroupBarrier(); $&");
  const rewritten = statements.replace(
    /(?:let|var)? ?(\w+)(?:: [\w<>, ]+)? ?= (subgroup\w+<[^;]*|subgroup_matrix_result[^;]*|subgroupMatrixMultiplyAccumulate[^;]*);|subgroupMatrixStore[^;]*;/g,
    (text: string, name: string | undefined, value: string | undefined) => {
      const store = text.match(
        /^subgroupMatrixStore<row_major>\(&(\w+), (.*), (\w+), ([^,]+)\);$/s,
      );
      if (store) return `store_${store[1]}(${slot(store[3])}, ${store[2]}, ${store[4]});`;
      if (name === undefined || value === undefined) throw new Error(`emulate matrices: ${text}`);
      if (value.startsWith("subgroup_matrix_result")) return `clear(${slot(name)});`;
      if (value.startsWith("subgroupMatrixLoad")) return load(name, value);
      const product = value.match(/^subgroupMatrixMultiplyAccumulate\((\w+),\s*(.*), (\w+)\)$/s);
      if (!product) throw new Error(`emulate matrices: ${text}`);
      const [, left, right, sum] = product;
      if (/^\w+$/.test(right)) return `multiply(${slot(left)}, ${slot(right)}, ${slot(sum)});`;
      return `${load("right", right)} multiply(${slot(left)}, ${slot("right")}, ${slot(sum)});`;
    },
  ).replace(
    /(fn main\([\s\S]*?\) \{\n)/,
    "$1emulatedLane = local & 31u; emulatedBase = (local >> 5u) * MATRICES * 256u;\n",
  );
  const loads = [...buffers].map((buffer) => `
fn load_${buffer}(slot: u32, offset: u32, stride: u32, transposed: bool) {
  workgroupBarrier();
  for (var i = 0u; i < 8u; i++) {
    let e = emulatedLane * 8u + i;
    let row = e / 16u; let column = e % 16u;
    let word = ${buffer}[offset + row * stride + column / 8u][column % 8u / 2u];
    let value = unpack2x16float(word)[column % 2u];
    let at = select(e, column * 16u + row, transposed);
    matrices[emulatedBase + slot * 256u + at] = value;
  }
  workgroupBarrier();
}`);
  return `${rewritten}
const MATRICES = ${slots.size}u;
var<workgroup> matrices: array<f32, ${slots.size * 256 * subgroups}>;
var<workgroup> halves: array<f32, ${32 * subgroups}>;
var<private> emulatedLane: u32;
var<private> emulatedBase: u32;
fn clear(slot: u32) {
  for (var i = 0u; i < 8u; i++) {
    matrices[emulatedBase + slot * 256u + emulatedLane * 8u + i] = 0.0;
  }
  workgroupBarrier();
}
fn multiply(left: u32, right: u32, sum: u32) {
  workgroupBarrier();
  for (var i = 0u; i < 8u; i++) {
    let e = emulatedLane * 8u + i;
    var total = matrices[emulatedBase + sum * 256u + e];
    for (var k = 0u; k < 16u; k++) {
      total += matrices[emulatedBase + left * 256u + e / 16u * 16u + k] *
        matrices[emulatedBase + right * 256u + k * 16u + e % 16u];
    }
    matrices[emulatedBase + sum * 256u + e] = total;
  }
  workgroupBarrier();
}
fn store_scratch(slot: u32, offset: u32, stride: u32) {
  workgroupBarrier();
  for (var i = 0u; i < 8u; i++) {
    let e = emulatedLane * 8u + i;
    let at = offset + e / 16u * stride + e % 16u / 4u;
    scratch[at][e % 4u] = bitcast<u32>(matrices[emulatedBase + slot * 256u + e]);
  }
  workgroupBarrier();
}
fn packNearest(pair: vec2f) -> u32 {
  let bits = bitcast<vec2u>(pair);
  let rounded = (bits + 0xfffu + ((bits >> vec2u(13u)) & vec2u(1u))) & vec2u(0xffffe000u);
  return pack2x16float(bitcast<vec2f>(rounded));
}
fn otherHalf(value: f32) -> f32 {
  let at = emulatedBase / (MATRICES * 256u) * 32u;
  workgroupBarrier();
  halves[at + emulatedLane] = value;
  workgroupBarrier();
  let other = halves[at + (emulatedLane ^ 16u)];
  workgroupBarrier();
  return other;
}
${loads.join("\n")}
`;
}
