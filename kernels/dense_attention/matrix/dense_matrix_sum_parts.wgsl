// Adds partial sums of dK and dV, of the ranges of queries that a long list was cut into, in their order,
// and stores the results: a pass of its own after the pass over keys and values on matrix units.
//
// A thread adds 8 adjacent elements of a row of dK or dV. No workgroup memory.

struct Params {
  rows: u32,        // N
  keys: u32,        // keys that have partial sums, from the first on
  parts: u32,       // ranges of queries
  partialRows: u32, // rows of one head in partial sums
  heads: u32,       // of this dispatch
  firstHead: u32,   // of this dispatch
  scale: f32,       // of dK
}

@group(0) @binding(0) var<storage, read> partials: array<vec4f>; // [keys and values, parts, heads, partialRows, d]
@group(0) @binding(1) var<storage, read_write> keyGradients: array<Eight>;   // [heads, N, d], 8 elements each
@group(0) @binding(2) var<storage, read_write> valueGradients: array<Eight>; // the same
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x % ROW_VECTORS;
  let row = id.x / ROW_VECTORS;
  let head = id.y;
  let which = id.z; // 0: keys, 1: values
  if (row >= params.keys) { return; }
  var low = vec4f();
  var high = vec4f();
  for (var part = 0u; part < params.parts; part++) {
    let slot = (which * params.parts + part) * params.heads + head;
    let at = 2u * ((slot * params.partialRows + row) * ROW_VECTORS + column);
    low += partials[at];
    high += partials[at + 1u];
  }
  let to = ((params.firstHead + head) * params.rows + row) * ROW_VECTORS + column;
  if (which == 0u) {
    keyGradients[to] = eight(low * params.scale, high * params.scale);
  } else {
    valueGradients[to] = eight(low, high);
  }
}
