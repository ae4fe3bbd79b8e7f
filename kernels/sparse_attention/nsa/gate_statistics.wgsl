// Folds the gates into the log-sum-exp of the branches: a weight times a gate is exp(s - (lse - ln g)), so
// the backward passes see dO itself. A gate of zero, or a row without keys, leaves no weight.
// A thread takes a row of a head. No workgroup memory.

struct Params {
  rows: u32,      // rows of all heads
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> gates: array<f32>;            // [heads, N, 3], as generated
@group(0) @binding(1) var<storage, read> logSumExp: array<f32>;        // [3, heads, N], ROWS apart
@group(0) @binding(2) var<storage, read_write> gatedLse: array<f32>;   // the same
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * params.gridWidth + group.x) * 256u + local;
  if (row >= params.rows) { return; }
  for (var branch = 0u; branch < 3u; branch++) {
    let gate = gates[3u * row + branch] / 8.0 + 0.5;
    let lse = logSumExp[branch * ROWS + row];
    let weighs = gate > 0.0 && (bitcast<u32>(lse) & 0x7f800000u) != 0x7f800000u;
    gatedLse[branch * ROWS + row] = select(1.0e30, lse - log(max(gate, 1.0e-30)), weighs);
  }
}
