// First backward pass on matrix units where dO is f32: they multiply f16, so dO becomes f16 times a
// power of two. 16 rows of a head share a power of 2^8 that brings their largest number to between 1 and
// 2^8; a row whose own power would be smaller by more than 2^8 gets that, because it would keep few bits
// of f16 beside the others. Rows that follow each other seldom differ, and gathered rows of normal
// numbers are left as they are. delta_i = Σ_c dO_ic · O_ic is that of the rounded dO over the power.
// NaN and infinities stay what they are and have no say in it.
//
// The pass over keys and values takes one power of each 16 rows at a time: the largest in round 0, which
// is mostly the only one. The low four bits of a row's power, and of its delta, say in which round the
// row is taken; those of the power of 16 rows, in which round the last of them.
//
// A workgroup takes 16 rows, a thread 8 elements of one of them.
// Workgroup memory: (16 * ROW_VECTORS + 34) * 4 bytes.

struct Params {
  rows: u32,      // N
  blocks: u32,    // N / 16, rounded up
  gridWidth: u32, // blocks in one row of the grid
}

@group(0) @binding(0) var<storage, read> outputs: array<vec4u>;            // [heads, N, d] f16
@group(0) @binding(1) var<storage, read> outputGradients: array<vec4f>;    // [heads, N, d] f32
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;          // [heads, N], over the power
@group(0) @binding(3) var<storage, read_write> scaledGradients: array<vec4u>; // [heads, N, d] f16
@group(0) @binding(4) var<storage, read_write> gradientScales: array<u32>; // [heads, blocks, 17]: of all, of each
@group(0) @binding(5) var<uniform> params: Params;

const MOST = 120; // of an exponent: so that a power and its inverse are normal numbers

var<workgroup> largest: atomic<u32>; // bits of the largest finite |dO|
var<workgroup> rowLargest: array<atomic<u32>, 16>; // the same of each row
var<workgroup> exponents: array<i32, 16>; // of the rows' powers
var<workgroup> lastRound: atomic<u32>;
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

// 2^exponent.
fn power(exponent: i32) -> f32 {
  return bitcast<f32>(u32(exponent + 127) << 23u);
}

@compute @workgroup_size(16 * ROW_VECTORS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * params.gridWidth + group.x;
  if (block >= params.blocks) { return; }
  let row = block * 16u + local / ROW_VECTORS;
  let live = row < params.rows;
  let at = (group.z * params.rows + min(row, params.rows - 1u)) * ROW_VECTORS + local % ROW_VECTORS;
  let low = outputGradients[2u * at];
  let high = outputGradients[2u * at + 1u];
  let ownRow = local / ROW_VECTORS;
  let leads = local % ROW_VECTORS == 0u;
  if (local == 0u) {
    atomicStore(&largest, 0u);
    atomicStore(&lastRound, 0u);
  }
  if (leads) { atomicStore(&rowLargest[ownRow], 0u); }
  workgroupBarrier();
  if (live) {
    let most = max(magnitude(low), magnitude(high));
    atomicMax(&rowLargest[ownRow], most);
    atomicMax(&largest, most);
  }
  workgroupBarrier();
  let common16 = exponentOf(atomicLoad(&largest));
  let most = atomicLoad(&rowLargest[ownRow]);
  let own = exponentOf(most);
  let exponent = select(common16, own, most > 0u && own < common16 - 8);
  if (leads) { exponents[ownRow] = exponent; }
  let x = nearestHalf(low * power(-exponent));
  let z = nearestHalf(high * power(-exponent));
  let b = vec4u(
    pack2x16float(x.xy), pack2x16float(x.zw), pack2x16float(z.xy), pack2x16float(z.zw),
  );
  if (live) { scaledGradients[at] = b; }
  let a = outputs[at];
  partial[local] = dotVector(a, b);
  workgroupBarrier();
  let first = (group.z * params.blocks + block) * 17u;
  if (leads) {
    // Distinct powers above its own.
    var round = 0u;
    if (exponent < common16) {
      for (var r = 0u; r < 16u; r++) {
        var counts = exponents[r] > exponent;
        for (var before = 0u; before < r; before++) { counts = counts && exponents[before] != exponents[r]; }
        round += select(0u, 1u, counts);
      }
      atomicMax(&lastRound, round);
    }
    gradientScales[first + 1u + ownRow] = bitcast<u32>(power(exponent)) | round;
    if (live) {
      var total = 0.0;
      for (var i = 0u; i < ROW_VECTORS; i++) { total += partial[local + i]; }
      delta[group.z * params.rows + row] = bitcast<f32>((bitcast<u32>(total) & 0xfffffff0u) | round);
    }
  }
  workgroupBarrier();
  if (local == 0u) {
    gradientScales[first] = bitcast<u32>(power(common16)) | atomicLoad(&lastRound);
  }
}
