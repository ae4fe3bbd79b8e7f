// Dense causal attention, backward, gradient of the queries, for one block of heads.
//   P = exp(S - lse), dS = P ∘ (dO·Vᵀ - delta), dQ = scale · dS·K
// One workgroup computes TILE_ROWS rows of dQ and walks the keys up to the diagonal, like the
// forward kernel: two first products (scores, and dO·Vᵀ), one second product. Nothing is shared
// between workgroups, so the result is deterministic without atomics.
//
// Workgroup memory and generated functions: see tile_codegen.ts.

struct Params {
  rows: u32,       // N
  tileCount: u32,  // query tiles in this dispatch
  firstTile: u32,  // index of the first of them
  scale: f32,      // softmax scale times log2(e): scores live in base 2
}

@group(0) @binding(0) var<storage, read> queries: array<vec4u>;         // [heads, N, d], 16 bytes a vector
@group(0) @binding(1) var<storage, read> keys: array<vec4u>;            // [heads, N, d]
@group(0) @binding(2) var<storage, read> values: array<vec4u>;          // [heads, N, d]
@group(0) @binding(3) var<storage, read> outputGradients: array<vec4u>; // [heads, N, d]
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;         // [heads, N], natural logarithm
@group(0) @binding(5) var<storage, read> delta: array<f32>;             // [heads, N]
@group(0) @binding(6) var<storage, read_write> queryGradients: array<FourElements>; // [heads, N, d]
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32; // first row of this head in the block
var<private> row0: u32;    // first query row of this workgroup

const LOG2E = 1.4426950408889634;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  headRow = group.x * params.rows;
  let firstRow = (params.firstTile + params.tileCount - 1u - group.y) * TILE_ROWS;
  row0 = firstRow;

  loadRowStatistics();
  clearGradient();
  let end = min(firstRow + TILE_ROWS, params.rows);
  for (var c0 = 0u; c0 < end; c0 += TILE_COLUMNS) {
    computeScores(c0);
    computeWeightGradients(c0);
    fetchGradient(c0, 0u);
    scoreGradients(c0);
    accumulateGradient(c0);
  }
  storeRows();
}
