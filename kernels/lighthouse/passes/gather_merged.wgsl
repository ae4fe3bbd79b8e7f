// The gather of Q, K and V in one dispatch: declarations and entry point. The work is that of
// gather.wgsl. Appended by merged_passes.ts: constants, and the functions that read or write a
// tensor, once for each.

struct Params {
  context: u32,        // N
  pooledEntries: u32,  // P - N
  gathered: u32,       // S
  gridWidth: u32,      // workgroups in x
  heads: u32,          // of each tensor
}

@group(0) @binding(0) var<storage, read> base_q: array<vec4u>;       // [heads, N, columns]
@group(0) @binding(1) var<storage, read> base_k: array<vec4u>;       // the same
@group(0) @binding(2) var<storage, read> base_v: array<vec4u>;       // the same
@group(0) @binding(3) var<storage, read> pooled_q: array<vec4u>;     // [heads, P - N, columns]
@group(0) @binding(4) var<storage, read> pooled_k: array<vec4u>;     // the same
@group(0) @binding(5) var<storage, read> pooled_v: array<vec4u>;     // the same
@group(0) @binding(6) var<storage, read> indices: array<u32>;        // [heads, S]
@group(0) @binding(7) var<storage, read_write> rows_q: array<vec4u>; // [heads, S, columns]
@group(0) @binding(8) var<storage, read_write> rows_k: array<vec4u>; // the same
@group(0) @binding(9) var<storage, read_write> rows_v: array<vec4u>; // the same
@group(0) @binding(10) var<uniform> params: Params;

const rowsPerStep = threads / columns;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * rowsPerStep * rowsPerThread;
  let head = group.z % params.heads;
  let row = first + local / columns;
  switch group.z / params.heads {
    case 0u: { copyRows_q(head, row, local % columns); }
    case 1u: { copyRows_k(head, row, local % columns); }
    default: { copyRows_v(head, row, local % columns); }
  }
}
