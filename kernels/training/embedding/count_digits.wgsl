// First of three passes of a stable radix sort of (token, row) by one digit of 8 bits of the token:
// how often each digit occurs in each block of 1,024 pairs. Integer atomics alone: any order of them
// gives the same counts.
//
// Appended by embedding_backward.ts: constant shift, and pairAt(i), which reads tokens in the first
// round and sorted pairs later. Workgroup memory: 1,024 bytes.

struct Params {
  count: u32,  // pairs
  blocks: u32, // workgroups
}

@group(0) @binding(1) var<storage, read_write> counts: array<u32>; // [256, blocks]
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> found: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  atomicStore(&found[local], 0u);
  workgroupBarrier();
  for (var i = 0u; i < 1024u; i += 256u) {
    let at = group.x * 1024u + i + local;
    if (at < params.count) { atomicAdd(&found[(pairAt(at).x >> shift) & 255u], 1u); }
  }
  workgroupBarrier();
  counts[local * params.blocks + group.x] = atomicLoad(&found[local]);
}
