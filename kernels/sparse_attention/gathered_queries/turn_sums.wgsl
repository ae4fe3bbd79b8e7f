// Sums of dK, or of dV, over turns of queries. No workgroup memory.
//
// clear     before a turn: its part is zero where none of its queries sees a key, and the passes write no
//           row there. A thread takes four elements
// add       after a turn: adds its part to the sums, which the first turn begins. The same
// finish    in place of it after the last turn: stores the result in the storage type. A thread takes
//           ELEMENTS elements

struct Params {
  vectors: u32,   // of four elements, of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  first: u32,     // 1 in the first turn
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read_write> part: array<vec4f>; // [key heads, keys, d]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4f>; // the same
@group(0) @binding(2) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> results: array<Elements>; // the same, of finish

fn indexOf(group: vec3u, local: u32) -> u32 { return (group.y * params.gridWidth + group.x) * 256u + local; }

fn sumAt(at: u32) -> vec4f { return select(sums[at], vec4f(), params.first != 0u) + part[at]; }

@compute @workgroup_size(256)
fn clear(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = indexOf(group, local);
  if (at >= params.vectors) { return; }
  part[(params.firstHead + group.z) * params.vectors + at] = vec4f();
}

@compute @workgroup_size(256)
fn add(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = indexOf(group, local);
  if (at >= params.vectors) { return; }
  let to = (params.firstHead + group.z) * params.vectors + at;
  sums[to] = sumAt(to);
}

@compute @workgroup_size(256)
fn finish(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let share = indexOf(group, local);
  if (share >= params.vectors / VECTORS) { return; }
  let to = (params.firstHead + group.z) * params.vectors / VECTORS + share;
  var own: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) { own[i] = sumAt(to * VECTORS + i); }
  results[to] = elements(own);
}
