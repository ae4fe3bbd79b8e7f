// One pass over a buffer: an order-free 128-bit digest of its words and a count of values that are
// not finite. Every word is hashed together with its index and the hashes are summed modulo 2^32 in
// four lanes. Integer sums commute, so the atomics give the same digest in any order.
// Workgroup memory: 5 * 4 = 20 bytes.

struct Params {
  words: u32,   // 32-bit words to read
  stride: u32,  // invocations in the whole grid
  kind: u32,    // 0: f32, 1: two f16 a word, 2: integers (nothing can be non-finite)
  first: u32,   // index of the first word, so that blocks of one tensor hash as one
}

@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> totals: array<atomic<u32>, 8>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<atomic<u32>, 5>;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn notFinite(word: u32) -> u32 {
  if (params.kind == 0u) { return select(0u, 1u, (word & 0x7f800000u) == 0x7f800000u); }
  if (params.kind == 2u) { return 0u; }
  return select(0u, 1u, (word & 0x7c00u) == 0x7c00u) +
    select(0u, 1u, (word & 0x7c000000u) == 0x7c000000u);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  if (local < 5u) { atomicStore(&sums[local], 0u); }
  workgroupBarrier();
  var lanes = vec4u(0u);
  var bad = 0u;
  for (var i = id.x; i < params.words; i += params.stride) {
    let word = data[i];
    let index = pcg(i + params.first);
    let a = pcg(word ^ index);
    let b = pcg(word + index * 2654435769u);
    lanes += vec4u(a, b, pcg(a + 0x9e3779b9u), pcg(b ^ 0x85ebca6bu));
    bad += notFinite(word);
  }
  atomicAdd(&sums[0], lanes.x);
  atomicAdd(&sums[1], lanes.y);
  atomicAdd(&sums[2], lanes.z);
  atomicAdd(&sums[3], lanes.w);
  atomicAdd(&sums[4], bad);
  workgroupBarrier();
  if (local < 5u) { atomicAdd(&totals[local], atomicLoad(&sums[local])); }
}
