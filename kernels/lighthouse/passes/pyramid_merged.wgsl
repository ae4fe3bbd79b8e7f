// The pyramid pass over Q, K and V in one dispatch: declarations and entry point. The work is that of
// pyramid.wgsl; norm scores of Q and K are those of norm_scores.wgsl. Appended by merged_passes.ts:
// constants, Cell functions, the functions that read or write a tensor, once for each, and with norm
// scores their bindings.

struct Params {
  context: u32,        // N
  windows: u32,        // N / p^(L-1), coarsest entries of a head
  entries: u32,        // P
  pooledEntries: u32,  // P - N
  gridWidth: u32,      // workgroups in x
  heads: u32,          // of each tensor
}

@group(0) @binding(0) var<storage, read> base_q: array<vec4u>;         // [heads, N, columns]
@group(0) @binding(1) var<storage, read> base_k: array<vec4u>;         // the same
@group(0) @binding(2) var<storage, read> base_v: array<vec4u>;         // the same
@group(0) @binding(3) var<storage, read_write> pooled_q: array<vec4u>; // [heads, P - N, columns]
@group(0) @binding(4) var<storage, read_write> pooled_k: array<vec4u>; // the same
@group(0) @binding(5) var<storage, read_write> pooled_v: array<vec4u>; // the same
@group(0) @binding(6) var<uniform> params: Params;

// What one thread works on.
struct Place {
  live: bool,    // false past the last window: takes part in barriers alone
  head: u32,
  window: u32,   // coarsest entry
  column: u32,   // 16-byte word of the row
  lane: u32,     // window of the workgroup
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns);
  if (first >= params.windows) { return; }
  let lane = local / columns;
  let live = first + lane < params.windows;
  let window = min(first + lane, params.windows - 1u);
  let head = group.z % params.heads;
  let place = Place(live, head, window, local % columns, lane);
  let at = (head * params.context + window * windowRows) * columns + place.column;
  switch group.z / params.heads {
    case 0u: { walk_q(place, at); }
    case 1u: { walk_k(place, at); }
    default: { walk_v(place, at); }
  }
}
