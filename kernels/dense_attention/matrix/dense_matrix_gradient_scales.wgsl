// First backward pass on matrix units where dO is f32: they multiply f16, so dO becomes f16 times a
// power of two. 64 rows of a head share a power of 2^8 that brings their largest number to between 1 and
// 2^8; a row whose own power would be smaller by more than 2^8 gets that, because it would keep few bits
// of f16 beside the others. Where the power of 16 rows spread over the head, with some room above, is
// the same or the next larger one, 64 rows take that: the pass over keys and values is fastest where all
// rows of a head share a power, and rows around a power of 2^8 would have two.
// delta_i = Σ_c dO_ic · O_ic is that of the rounded dO over the power. NaN and infinities stay what they
// are and have no say in it.
//
// The class of a row is its power: 2^(8 · class - 120). It lies in the low five bits of its delta. The
// pass over keys and values takes one class of each tile at a time, and reads from a mask of each 16
// rows which classes they have, mostly one.
//
// A workgroup takes 64 rows, a thread 8 elements of one of each 16 of them.
// Workgroup memory: (16 * ROW_VECTORS + 70) * 4 bytes.

struct Params {
  rows: u32,      // N
  blocks: u32,    // N / 64, rounded up
  gridWidth: u32, // blocks in one row of the grid
}

@group(0) @binding(0) var<storage, read> outputs: array<vec4u>;            // [heads, N, d] f16
@group(0) @binding(1) var<storage, read> outputGradients: array<vec4f>;    // [heads, N, d] f32
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;          // [heads, N], over the power
@group(0) @binding(3) var<storage, read_write> scaledGradients: array<vec4u>; // [heads, N, d] f16
@group(0) @binding(4) var<storage, read_write> classMasks: array<u32>;     // [heads, N / 16], rounded up
@group(0) @binding(5) var<uniform> params: Params;

const MOST = 120; // of an exponent: so that a power and its inverse are normal numbers
const ROWS = 64u;
const ROOM = 2u; // powers of two: how much larger rows may be than those that are looked at

var<workgroup> largest: atomic<u32>; // bits of the largest finite |dO|
var<workgroup> spread: atomic<u32>; // the same of 16 rows of the head
var<workgroup> rowLargest: array<atomic<u32>, ROWS>; // the same of each row
var<workgroup> classes: array<atomic<u32>, 4>; // of 16 rows each: a bit for each class
var<workgroup> partial: array<f32, 16 * ROW_VECTORS>;

// Bits of the largest finite magnitude: these order as the numbers do.
fn magnitude(x: vec4f) -> u32 {
  let bits = bitcast<vec4u>(x) & vec4u(0x7fffffffu);
  let finite = select(vec4u(), bits, bits < vec4u(0x7f800000u));
  return max(max(finite.x, finite.y), max(finite.z, finite.w));
}

// Exponent of the power for a largest number of these bits.
fn exponentOf(bits: u32) -> i32 {
  if (bits == 0u) { return 0; }
  return clamp(((i32(bits >> 23u) - 127) >> 3u) * 8, -MOST, MOST);
}

// Exponent of the power of rows with a largest number of these bits, in a head with such rows.
fn powerBeside(bits: u32, spread: u32) -> i32 {
  let own = exponentOf(bits);
  if (spread == 0u) { return own; }
  let joint = exponentOf(spread + (ROOM << 23u));
  return select(own, joint, bits == 0u || (own <= joint && own >= joint - 8));
}

// 2^exponent.
fn power(exponent: i32) -> f32 {
  return bitcast<f32>(u32(exponent + 127) << 23u);
}

// Index of a thread's 8 elements of a row, which may lie past the end.
fn vectorOf(head: u32, row: u32, local: u32) -> u32 {
  return (head * params.rows + min(row, params.rows - 1u)) * ROW_VECTORS + local % ROW_VECTORS;
}

@compute @workgroup_size(16 * ROW_VECTORS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * params.gridWidth + group.x;
  if (block >= params.blocks) { return; }
  let leads = local % ROW_VECTORS == 0u;
  if (local < ROWS) { atomicStore(&rowLargest[local], 0u); }
  if (local < 4u) { atomicStore(&classes[local], 0u); }
  if (local == 0u) {
    atomicStore(&largest, 0u);
    atomicStore(&spread, 0u);
  }
  workgroupBarrier();
  for (var first = 0u; first < ROWS; first += 16u) {
    let within = first + local / ROW_VECTORS;
    let row = block * ROWS + within;
    if (row < params.rows) {
      let at = vectorOf(group.z, row, local);
      let most = max(magnitude(outputGradients[2u * at]), magnitude(outputGradients[2u * at + 1u]));
      atomicMax(&rowLargest[within], most);
    }
  }
  let looked = vectorOf(group.z, local / ROW_VECTORS * (params.rows / 16u), local);
  atomicMax(
    &spread,
    max(magnitude(outputGradients[2u * looked]), magnitude(outputGradients[2u * looked + 1u])),
  );
  workgroupBarrier();
  if (local < ROWS) { atomicMax(&largest, atomicLoad(&rowLargest[local])); }
  workgroupBarrier();
  let shared64 = powerBeside(atomicLoad(&largest), atomicLoad(&spread));
  for (var first = 0u; first < ROWS; first += 16u) {
    let within = first + local / ROW_VECTORS;
    let row = block * ROWS + within;
    let live = row < params.rows;
    let at = vectorOf(group.z, row, local);
    let most = atomicLoad(&rowLargest[within]);
    let own = exponentOf(most);
    let exponent = select(shared64, own, most > 0u && own < shared64 - 8);
    let low = nearestHalf(outputGradients[2u * at] * power(-exponent));
    let high = nearestHalf(outputGradients[2u * at + 1u] * power(-exponent));
    let b = vec4u(
      pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw),
    );
    if (live) { scaledGradients[at] = b; }
    partial[local] = dotVector(outputs[at], b);
    workgroupBarrier();
    if (live && leads) {
      var total = 0.0;
      for (var i = 0u; i < ROW_VECTORS; i++) { total += partial[local + i]; }
      let ownClass = u32(exponent + MOST) / 8u;
      atomicOr(&classes[first / 16u], 1u << ownClass);
      delta[group.z * params.rows + row] = bitcast<f32>((bitcast<u32>(total) & 0xffffffe0u) | ownClass);
    }
    workgroupBarrier();
  }
  let masks = (params.rows + 15u) / 16u;
  if (local < 4u && block * 4u + local < masks) {
    classMasks[group.z * masks + block * 4u + local] = atomicLoad(&classes[local]);
  }
}
