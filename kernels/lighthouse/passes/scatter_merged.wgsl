// The scatter of gradients of Q, K and V in one dispatch: declarations and entry point. The work is that
// of scatter.wgsl. Appended by merged_scatter.ts: constants, Cell functions, and the functions that read
// or write a tensor, once for each.

struct Params {
  context: u32,    // N
  entries: u32,    // P
  gathered: u32,   // S
  units: u32,      // N / rowsPerThread
  gridWidth: u32,  // workgroups in x
  heads: u32,      // of each tensor
}

@group(0) @binding(0) var<storage, read> gathered_q: array<vec4u>;     // [heads, S, columns], of f32
@group(0) @binding(1) var<storage, read> gathered_k: array<vec4u>;     // the same
@group(0) @binding(2) var<storage, read> gathered_v: array<vec4u>;     // the same
@group(0) @binding(3) var<storage, read> slots: array<u32>;            // [heads, P]
@group(0) @binding(4) var<storage, read_write> output_q: array<vec4u>; // [heads, N, columns]
@group(0) @binding(5) var<storage, read_write> output_k: array<vec4u>; // the same
@group(0) @binding(6) var<storage, read_write> output_v: array<vec4u>; // the same
@group(0) @binding(7) var<uniform> params: Params;

const notSelected = 0xffffffffu;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns);
  let unit = first + local / columns;
  if (unit >= params.units) { return; }
  let head = group.z % params.heads;
  switch group.z / params.heads {
    case 0u: { sumRows_q(head, unit, local % columns); }
    case 1u: { sumRows_k(head, unit, local % columns); }
    default: { sumRows_v(head, unit, local % columns); }
  }
}
