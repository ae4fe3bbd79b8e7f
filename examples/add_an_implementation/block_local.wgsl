// Causal block-local attention: one invocation computes one query row, which attends to the keys of
// its own block up to itself. The host prepends `alias element = vec4<f16>;` or `vec4<f32>` and the
// constant QUADS, d / 4: four elements at a time, because a software driver stops the loops of an
// invocation after 65,535 steps together.

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
  let at = (head + row) * QUADS;
  var o: array<vec4f, QUADS>;
  var largest = -3.0e38;
  var total = 0.0;
  for (var key = row / params.block * params.block; key <= row; key++) {
    let start = (head + key) * QUADS;
    var sum = 0.0;
    for (var c = 0u; c < QUADS; c++) { sum += dot(vec4f(queries[at + c]), vec4f(keys[start + c])); }
    let logit = sum * params.scale;
    let raised = max(largest, logit);
    let old = exp(largest - raised);
    let weight = exp(logit - raised);
    largest = raised;
    total = total * old + weight;
    for (var c = 0u; c < QUADS; c++) { o[c] = o[c] * old + weight * vec4f(values[start + c]); }
  }
  for (var c = 0u; c < QUADS; c++) { output[at + c] = element(o[c] / total); }
  logSumExp[head + row] = largest + log(total);
}
