// Dense causal attention, forward, deliberately naive: one invocation computes one query row, key
// after key, with the online softmax recurrence and nothing else. Nobody tunes this one; tests use
// it as a second opinion.

struct Params {
  rows: u32,       // N
  firstRow: u32,   // first query row of this dispatch
  rowCount: u32,   // query rows of this dispatch
  scale: f32,      // softmax scale
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<u32>; // [heads, N, d], 32-bit words
@group(0) @binding(2) var<storage, read> keys: array<u32>;    // [heads, N, d]
@group(0) @binding(3) var<storage, read> values: array<u32>;  // [heads, N, d]
@group(0) @binding(4) var<storage, read_write> output: array<u32>;    // [heads, N, d]
@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>; // [heads, N]

var<private> q: array<vec2f, PAIRS>;
var<private> o: array<vec2f, PAIRS>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rowCount) { return; }
  let row = params.firstRow + id.x;
  let head = id.y * params.rows;
  for (var c = 0u; c < PAIRS; c++) {
    q[c] = loadQuery((head + row) * PAIRS + c);
    o[c] = vec2f();
  }
  var largest = -3.0e38;
  var total = 0.0;
  for (var key = 0u; key <= row; key++) {
    let at = (head + key) * PAIRS;
    var dot = 0.0;
    for (var c = 0u; c < PAIRS; c++) {
      let k = loadKey(at + c);
      dot = fma(q[c].x, k.x, fma(q[c].y, k.y, dot));
    }
    let logit = dot * params.scale;
    let raised = max(largest, logit);
    let old = exp(largest - raised);
    let weight = exp(logit - raised);
    largest = raised;
    total = total * old + weight;
    for (var c = 0u; c < PAIRS; c++) { o[c] = o[c] * old + weight * loadValue(at + c); }
  }
  for (var c = 0u; c < PAIRS; c++) { storeOutput((head + row) * PAIRS + c, o[c] / total); }
  logSumExp[head + row] = largest + log(total);
}
