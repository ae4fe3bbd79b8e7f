// First backward pass: delta_i = Σ_c dO_ic · O_ic for every row, in f32.
// LANES threads share a row, 16 bytes of O at a time; 256 / LANES rows a workgroup.
// Workgroup memory: 256 * 4 = 1,024 bytes.

struct Params {
  rows: u32,   // rows of all heads in the block
  stride: u32, // rows in one grid row
}

@group(0) @binding(0) var<storage, read> outputs: array<vec4u>;         // [heads, N, d], 16 bytes a vector
@group(0) @binding(1) var<storage, read> outputGradients: array<vec4u>; // [heads, N, d]
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;       // [heads, N]
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let row = group.y * params.stride + group.x * (256u / LANES) + index / LANES;
  let lane = index % LANES;
  var sum = 0.0;
  if (row < params.rows) {
    for (var c = lane; c < ROW_VECTORS; c += LANES) {
      sum += dotAt(row * ROW_VECTORS + c);
    }
  }
  partial[index] = sum;
  workgroupBarrier();
  if (row < params.rows && lane == 0u) {
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) { total += partial[index + i]; }
    delta[row] = total;
  }
}
