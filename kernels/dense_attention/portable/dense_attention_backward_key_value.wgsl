// Dense causal attention, backward, gradients of keys and values, for one block of heads.
//   P = exp(S - lse), dV = Pᵀ·dO, dS = P ∘ (dO·Vᵀ - delta), dK = scale · dSᵀ·Q
// One workgroup computes TILE_ROWS rows of dK and dV: its rows are keys and its columns are
// queries, walked from the diagonal to the end. Two first products (Sᵀ, and V·dOᵀ), two second
// products. Nothing is shared between workgroups, so the result is deterministic without atomics.
//
// Workgroup memory and generated functions: see tile_codegen.ts.

struct Params {
  rows: u32,       // N
  tileCount: u32,  // key tiles in this dispatch
  firstTile: u32,  // index of the first of them
  scale: f32,      // softmax scale times log2(e): scores live in base 2
}

@group(0) @binding(0) var<storage, read> queries: array<vec4u>;         // [heads, N, d], 16 bytes a vector
@group(0) @binding(1) var<storage, read> keys: array<vec4u>;            // [heads, N, d]
@group(0) @binding(2) var<storage, read> values: array<vec4u>;          // [heads, N, d]
@group(0) @binding(3) var<storage, read> outputGradients: array<vec4u>; // [heads, N, d]
@group(0) @binding(4) var<storage, read> logSumExp: array<f32>;         // [heads, N], natural logarithm
@group(0) @binding(5) var<storage, read> delta: array<f32>;             // [heads, N]
@group(0) @binding(6) var<storage, read_write> keyGradients: array<FourElements>;   // [heads, N, d]
@group(0) @binding(7) var<storage, read_write> valueGradients: array<FourElements>; // [heads, N, d]
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32; // first row of this head in the block
var<private> row0: u32;    // first key row of this workgroup

const LOG2E = 1.4426950408889634;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  headRow = group.x * params.rows;
  // The heaviest tiles go first: the earliest keys are attended to by the most queries.
  let firstRow = (params.firstTile + group.y) * TILE_ROWS;
  row0 = firstRow;

  clearKeyGradient();
  clearValueGradient();
  for (var c0 = firstRow - firstRow % TILE_COLUMNS; c0 < params.rows; c0 += TILE_COLUMNS) {
    computeScores(c0);
    fetchValueGradient(c0, 0u);
    weights(c0);
    accumulateValueGradient(c0);
    computeWeightGradients(c0);
    fetchKeyGradient(c0, 0u);
    scoreGradients(c0);
    accumulateKeyGradient(c0);
  }
  storeKeyRows();
  storeValueRows();
}
