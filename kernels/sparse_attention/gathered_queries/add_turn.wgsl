// Sums of dK, or of dV, over turns of queries. A thread takes four elements. No workgroup memory.
//
// clear     before a turn: its part is zero where none of its queries sees a key, and the passes write no
//           row there; before the first turn the sums are zero too
// add       after a turn: adds its part to the sums

struct Params {
  vectors: u32,   // of four elements, of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  first: u32,     // 1 before the first turn
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read_write> part: array<vec4f>; // [key heads, keys, d]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4f>; // the same
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn clear(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  if (at >= params.vectors) { return; }
  let to = (params.firstHead + group.z) * params.vectors + at;
  part[to] = vec4f();
  if (params.first != 0u) { sums[to] = vec4f(); }
}

@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  if (at >= params.vectors) { return; }
  let to = (params.firstHead + group.z) * params.vectors + at;
  sums[to] += part[to];
}
