// Importance of blocks to the queries of a key head: the probabilities of the windows that share rows with
// a block, each times the number of strides that they share, over all query heads of the group.
//
// A thread takes a block and a query and adds windows in their order, query heads in theirs. No workgroup
// memory.

struct Params {
  rows: u32,      // N
  firstToken: u32, // of this dispatch
  tokens: u32,    // queries of a dispatch
  windows: u32,   // C
  blocks: u32,    // M
}

@group(0) @binding(0) var<storage, read> weights: array<f32>;            // [heads of a dispatch, C, tokens · G]
@group(0) @binding(1) var<storage, read_write> importances: array<f32>;  // [heads of a dispatch, M, tokens]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let token = group.x * 64u + local;
  let t = params.firstToken + token;
  let block = group.y;
  if (token >= params.tokens || t >= params.rows || block * BLOCK > t) { return; }
  // Windows that overlap the block, and that the query sees.
  let first = max(block * BLOCK + STRIDE, WINDOW) - WINDOW;
  let low = (first + STRIDE - 1u) / STRIDE;
  let high = min(min((block + 1u) * BLOCK / STRIDE, params.windows), seenWindows(t));
  var sum = 0.0;
  for (var window = low; window < high; window++) {
    let begin = max(window * STRIDE, block * BLOCK);
    let end = min(window * STRIDE + WINDOW, (block + 1u) * BLOCK);
    let share = f32((end - begin) / STRIDE);
    let at = (group.z * params.windows + window) * params.tokens * GROUP + token * GROUP;
    for (var g = 0u; g < GROUP; g++) { sum += share * weights[at + g]; }
  }
  importances[(group.z * params.blocks + block) * params.tokens + token] = sum;
}
