// Adds dK, or dV, of the three branches: the selected one, the window, and of the compressed windows that
// hold a row each one's gradient over its length, ascending. A thread takes ELEMENTS elements of a row.
// No workgroup memory.

struct Params {
  rows: u32,      // N
  windows: u32,   // C
  window: u32,    // l, rows of a window
  stride: u32,    // s, rows from one window to the next
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> selected: array<vec4f>;    // [key heads, N, d]
@group(0) @binding(1) var<storage, read> sliding: array<vec4f>;     // the same
@group(0) @binding(2) var<storage, read> compressed: array<vec4f>;  // [key heads, C, d]
@group(0) @binding(3) var<storage, read_write> gradients: array<Elements>; // [key heads, N, d]
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  let row = at / COLUMNS;
  if (row >= params.rows) { return; }
  let to = group.z * params.rows * COLUMNS + at;
  var spread: array<vec4f, VECTORS>;
  let low = (max(row + params.stride, params.window) - params.window) / params.stride;
  let high = min(row / params.stride + 1u, params.windows);
  for (var window = low; window < high; window++) {
    let begin = ((group.z * params.windows + window) * COLUMNS + at % COLUMNS) * VECTORS;
    for (var i = 0u; i < VECTORS; i++) { spread[i] += compressed[begin + i]; }
  }
  var sums: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) {
    sums[i] = selected[to * VECTORS + i] + sliding[to * VECTORS + i] + spread[i] / f32(params.window);
  }
  gradients[to] = elements(sums);
}
