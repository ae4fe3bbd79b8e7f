// Scores of an index for the candidates of each query of a strip: the tokens of the blocks of its list.
//
// One workgroup computes 128 candidates of one query, a candidate a thread: I = Σ_j w[j] · max(0, q[j] · k).
// Candidates after the query are left as they are.
//
// Workgroup memory: HEADS * VECTORS * 16 bytes, the index queries as f32.

struct Params {
  rows: u32,       // N
  firstRow: u32,   // the first query of the strip
  blockRows: u32,  // B, tokens of a block
  blockCount: u32, // m, blocks of a list
  stride: u32,     // scores of a query
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<Four>; // [J, N, c]
@group(0) @binding(2) var<storage, read> keys: array<Four>;    // [N, c]
@group(0) @binding(3) var<storage, read> weights: array<f32>;  // [J, N]
@group(0) @binding(4) var<storage, read> blocks: array<i32>;   // [strip, m], ascending, -1 padded
@group(0) @binding(5) var<storage, read_write> scores: array<f32>; // [strip, stride]

var<workgroup> own: array<vec4f, HEADS * VECTORS>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = params.firstRow + group.y;
  for (var i = local; i < HEADS * VECTORS; i += 128u) {
    own[i] = four(queries[(i / VECTORS * params.rows + row) * VECTORS + i % VECTORS]);
  }
  workgroupBarrier();
  let at = group.x * 128u + local;
  if (at >= params.blockRows * params.blockCount) { return; }
  let block = blocks[group.y * params.blockCount + at / params.blockRows];
  let token = u32(max(block, 0)) * params.blockRows + at % params.blockRows;
  if (block < 0 || token > row) { return; }
  var score = 0.0;
  for (var j = 0u; j < HEADS; j++) {
    var total = vec4f();
    for (var c = 0u; c < VECTORS; c++) {
      total = fma(own[j * VECTORS + c], four(keys[token * VECTORS + c]), total);
    }
    let product = (total.x + total.y) + (total.z + total.w);
    score = fma(weights[j * params.rows + row], max(product, 0.0), score);
  }
  scores[group.y * params.stride + at] = score;
}
