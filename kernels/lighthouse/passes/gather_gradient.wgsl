// Gradient of the forward scatter (specification, section 6): entry i of level l with c = p^l was
// added to base rows c*i + c - 1 … c*i + 2c - 2, so its gradient is the sum of their output
// gradients. Rows from N on do not exist.
//
// A thread takes one gathered row and one 16-byte column and walks over the rows, first to last. Long
// windows are shared by lanes: a lane takes every lanes-th row, and the first adds the lanes' sums in
// order. The order of summation follows from the shape alone, not from the tuning options. Gathered
// rows ascend by position, so that rows which several levels reach are read again while they are
// still in a cache.
//
// Appended by gather_gradient.ts: constants (threads, columns, levels, logPooling, rowsInFlight,
// lanes), the element type's Cell functions, storeCell(), addRows(), unrolled so that several rows of a thread are
// under way at once, and joinLanes().
// Workgroup memory: threads * 32 bytes (8 KiB for 256 threads) with several lanes, else none.

struct Params {
  context: u32,    // N
  gathered: u32,   // S
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read> outputGradient: array<vec4u>; // [heads, N, columns]
@group(0) @binding(1) var<storage, read> indices: array<u32>;          // [heads, S]
@group(0) @binding(2) var<storage, read_write> rows: array<vec4u>;     // [heads, S, columns], of f32
@group(0) @binding(3) var<uniform> params: Params;

// Base rows first … end - 1.
struct Reach {
  first: u32,
  end: u32,
}

fn reachOf(entry: u32) -> Reach {
  var index = entry;
  var level = 0u;
  while (level + 1u < levels && index >= (params.context >> (level * logPooling))) {
    index -= params.context >> (level * logPooling);
    level++;
  }
  let window = 1u << (level * logPooling);
  let first = index * window + window - 1u;
  return Reach(first, min(first + window, params.context));
}

// Zero past the end, which costs no read.
fn rowAt(head: u32, row: u32, end: u32, column: u32) -> vec4u {
  if (row >= end) { return vec4u(0u); }
  return outputGradient[(head * params.context + row) * columns + column];
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns / lanes);
  let slot = first + local / (columns * lanes);
  let lane = local / columns % lanes;
  let column = local % columns;
  let head = group.z;
  let at = head * params.gathered + slot;
  let live = slot < params.gathered;
  var sum = Cell();
  if (live) {
    let reach = reachOf(indices[at]);
    for (var row = reach.first + lane; row < reach.end; row += rowsInFlight * lanes) {
      sum = addRows(sum, head, row, reach.end, column);
    }
  }
  sum = joinLanes(sum, local, lane);
  if (live && lane == 0u) { storeCell(at * columns + column, sum); }
}
