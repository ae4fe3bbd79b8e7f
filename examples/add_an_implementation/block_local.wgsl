// Causal block-local attention: one invocation computes one query row, which attends to the keys of
// its own block up to itself. The host prepends `alias element = f16;` or `f32` and the constant
// DIM.

struct Params {
  rows: u32,   // N
  block: u32,  // b, rows of a block
  scale: f32,  // 1 / sqrt(d)
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<element>; // [heads, N, d]
@group(0) @binding(2) var<storage, read> keys: array<element>;    // [heads, N, d]
@group(0) @binding(3) var<storage, read> values: array<element>;  // [heads, N, d]
@group(0) @binding(4) var<storage, read_write> output: array<element>;   // [heads, N, d]
@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>;    // [heads, N]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.rows) { return; }
  let head = id.y * params.rows;
  let at = (head + row) * DIM;
  var o: array<f32, DIM>;
  var largest = -3.0e38;
  var total = 0.0;
  for (var key = row / params.block * params.block; key <= row; key++) {
    let start = (head + key) * DIM;
    var dot = 0.0;
    for (var c = 0u; c < DIM; c++) { dot = fma(f32(queries[at + c]), f32(keys[start + c]), dot); }
    let logit = dot * params.scale;
    let raised = max(largest, logit);
    let old = exp(largest - raised);
    let weight = exp(logit - raised);
    largest = raised;
    total = total * old + weight;
    for (var c = 0u; c < DIM; c++) { o[c] = o[c] * old + weight * f32(values[start + c]); }
  }
  for (var c = 0u; c < DIM; c++) { output[at + c] = element(o[c] / total); }
  logSumExp[head + row] = largest + log(total);
}
