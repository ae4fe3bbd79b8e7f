// Converts sums of dK, or dV, to the storage type. A thread takes ELEMENTS elements. No workgroup memory.

struct Params {
  shares: u32,    // threads' shares of all key heads
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> sums: array<vec4f>;             // [key heads, N, d]
@group(0) @binding(1) var<storage, read_write> results: array<Elements>; // the same
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  if (at >= params.shares) { return; }
  var own: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) { own[i] = sums[at * VECTORS + i]; }
  results[at] = elements(own);
}
