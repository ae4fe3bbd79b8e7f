// Copies one buffer into another: the memory ceiling. One invocation moves four 16-byte words, one
// workgroup's width apart, so that reads are contiguous and four are in flight.
// Workgroup memory: none.

struct Params {
  words: u32,     // 16-byte words to copy, a multiple of 1024
  rowStride: u32, // words covered by one grid row
  pad0: u32,
  pad1: u32,
}

@group(0) @binding(0) var<storage, read> source: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> target_: array<vec4u>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = group.y * params.rowStride + group.x * 1024u + local;
  if (i + 768u >= params.words) { return; }
  let a = source[i];
  let b = source[i + 256u];
  let c = source[i + 512u];
  let d = source[i + 768u];
  target_[i] = a;
  target_[i + 256u] = b;
  target_[i + 512u] = c;
  target_[i + 768u] = d;
}
