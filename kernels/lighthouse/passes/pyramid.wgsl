// Pyramid (specification, section 2): one pass over Q, K or V. A thread owns one 16-byte column of
// one coarsest window and walks down the window's rows; neighbouring threads own neighbouring
// columns, so that a row is read by consecutive threads. Sums of all levels stay in f32 registers:
// a coarse mean is rounded once, not once a level.
//
// Appended by pyramid.ts: constants (threads, columns, windowRows), the element type's Cell
// functions, and walk(), which is unrolled by the rows that are loaded before the first is used.
// When scores are wanted, norm_scores.wgsl is appended too. No workgroup memory here.

struct Params {
  context: u32,        // N
  windows: u32,        // N / p^(L-1), coarsest entries of a head
  entries: u32,        // P
  pooledEntries: u32,  // P - N
  gridWidth: u32,      // workgroups in x
}

@group(0) @binding(0) var<storage, read> base: array<vec4u>;         // [heads, N, columns]
@group(0) @binding(1) var<storage, read_write> pooled: array<vec4u>; // [heads, P - N, columns]
@group(0) @binding(2) var<uniform> params: Params;

// What one thread works on.
struct Place {
  live: bool,    // false past the last window: takes part in barriers alone
  head: u32,
  window: u32,   // coarsest entry
  column: u32,   // 16-byte word of the row
  lane: u32,     // window of the workgroup
}

fn storePooled(place: Place, entry: u32, cell: Cell) {
  if (place.live) {
    let row = place.head * params.pooledEntries + entry;
    pooled[row * columns + place.column] = packCell(cell);
  }
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns);
  if (first >= params.windows) { return; }
  let lane = local / columns;
  let live = first + lane < params.windows;
  let window = min(first + lane, params.windows - 1u);
  let place = Place(live, group.z, window, local % columns, lane);
  walk(place, (group.z * params.context + window * windowRows) * columns + place.column);
}
