// The lists of queries that select their own block only. A thread takes a query. No workgroup memory.

struct Params {
  rows: u32,      // N
  block: u32,     // keys of a block
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read_write> lists: array<u32>; // [heads, N]
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * params.gridWidth + group.x) * 256u + local;
  if (row < params.rows) { lists[group.z * params.rows + row] = row / params.block; }
}
