// Compressed keys or values: the mean of each window of rows. A thread takes ELEMENTS elements of a window.
// No workgroup memory.

struct Params {
  rows: u32,      // N
  windows: u32,   // C
  window: u32,    // l, rows of a window
  stride: u32,    // s, rows from one window to the next
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> rows: array<Elements>;               // [heads, N, d]
@group(0) @binding(1) var<storage, read_write> compressed: array<Elements>;   // [heads, C, d]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  let window = at / COLUMNS;
  if (window >= params.windows) { return; }
  let first = (group.z * params.rows + window * params.stride) * COLUMNS + at % COLUMNS;
  var sums: array<vec4f, VECTORS>;
  for (var n = 0u; n < params.window; n++) {
    let four = fours(rows[first + n * COLUMNS]);
    for (var i = 0u; i < VECTORS; i++) { sums[i] += four[i]; }
  }
  for (var i = 0u; i < VECTORS; i++) { sums[i] /= f32(params.window); }
  compressed[group.z * params.windows * COLUMNS + at] = elements(sums);
}
