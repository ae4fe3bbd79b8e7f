// Third pass of the sort: moves each pair to its place. A workgroup goes through its block 256 pairs at
// a time; a pair's place is that of its digit, plus the pairs of the same digit before it.
//
// Appended by embedding_backward.ts: constant shift, and pairAt(i). Workgroup memory: 2,048 bytes.

struct Params {
  count: u32,  // pairs
  blocks: u32, // workgroups
}

@group(0) @binding(1) var<storage, read> places: array<u32>;            // [256, blocks]
@group(0) @binding(2) var<storage, read_write> sorted: array<vec2u>;    // [count]
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> next: array<u32, 256>;
var<workgroup> digits: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  next[local] = places[local * params.blocks + group.x];
  for (var i = 0u; i < 1024u; i += 256u) {
    let at = group.x * 1024u + i + local;
    var pair = vec2u();
    var digit = 256u; // none
    if (at < params.count) {
      pair = pairAt(at);
      digit = (pair.x >> shift) & 255u;
    }
    digits[local] = digit;
    workgroupBarrier();
    var before = 0u; // of the pair's digit
    var all = 0u;    // of the digit that is this thread's number
    for (var other = 0u; other < 256u; other++) {
      before += select(0u, 1u, other < local && digits[other] == digit);
      all += select(0u, 1u, digits[other] == local);
    }
    if (digit < 256u) { sorted[next[digit] + before] = pair; }
    workgroupBarrier();
    next[local] += all;
    // The next turn's first barrier orders this before any read of it.
  }
}
