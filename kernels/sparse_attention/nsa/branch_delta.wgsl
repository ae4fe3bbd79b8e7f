// Delta of a branch, the sum of dO times the branch's output, for the queries of one of several turns. A
// thread takes a row of one query head. No workgroup memory.

struct Params {
  rows: u32,      // N
  queries: u32,   // of this turn
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> outputs: array<Vector>;   // [heads, queries, d]
@group(0) @binding(1) var<storage, read> gradients: array<Vector>; // [heads, N, d], from the turn's first query on
@group(0) @binding(2) var<storage, read_write> deltas: array<f32>; // [heads, N], the same
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * params.gridWidth + group.x) * 256u + local;
  if (row >= params.queries) { return; }
  let output = (group.z * params.queries + row) * COLUMNS;
  let gradient = (group.z * params.rows + row) * COLUMNS;
  var sum = 0.0;
  for (var column = 0u; column < COLUMNS; column++) {
    let o = fours(outputs[output + column]);
    let g = fours(gradients[gradient + column]);
    for (var i = 0u; i < VECTORS; i++) { sum += dot(o[i], g[i]); }
  }
  deltas[group.z * params.rows + row] = sum;
}
