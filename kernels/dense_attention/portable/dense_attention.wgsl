// Dense causal attention, forward, for one block of heads. Portable: no matrix units, no f16 type.
//
// One workgroup computes TILE_ROWS query rows of one head. It walks the keys in tiles of
// TILE_COLUMNS from the first to the diagonal and keeps, per row, a running maximum, a running sum
// and the unnormalised output in f32 registers (online softmax, as in FlashAttention). Tiles beyond
// the diagonal are never visited.
//
// Workgroup memory: 2 * STAGE_VECTORS * 16 bytes, two stages that alternate. A stage holds
//   for the scores: QUERY[chunk][TILE_ROWS] then KEY[chunk][TILE_COLUMNS], transposed, f32
//   for the output: VALUE[THREADS_X][d] then P[THREADS_X][TILE_ROWS + 4], f32
// or, where that fits, rows of one width with a QUERY and a KEY, or a VALUE and a P, beside each other
// (TileLayout.stageWidth).
// tile_codegen.ts explains the products; what it and dense_attention_codegen.ts generate is
// appended below, unrolled, because some stacks add a counter to every loop and a check to every
// index.
//
// With ROW_STRIDE > 1 each residue class of rows modulo ROW_STRIDE is a sequence of its own, read in
// place: the dilated scorer of Lighthouse attention.

struct Params {
  rows: u32,       // N, rows of one sequence
  tileCount: u32,  // query tiles in this dispatch
  firstTile: u32,  // index of the first of them
  scale: f32,      // softmax scale times log2(e): scores live in base 2
  sequences: u32,  // heads * ROW_STRIDE
  gridWidth: u32,  // sequences in one layer of the grid
  resultRows: u32, // rows of one head in the result
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [heads, N * ROW_STRIDE, d], 16 bytes a vector
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // the same
@group(0) @binding(3) var<storage, read> values: array<vec4u>;  // the same
// Results, declared by the generator: output [heads, N, d] and logSumExp [heads, N] (natural
// logarithm), or squaredNorms [heads, resultRows] of the output rows alone.

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32; // first row of this sequence in the tensors
var<private> result0: u32; // where the result of that row goes
var<private> row0: u32;    // first query row of this workgroup

const MASKED = -3.0e38; // finite, so that no NaN arises from differences
const LN2 = 0.6931471805599453;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  let sequence = group.z * params.gridWidth + group.x;
  if (sequence >= params.sequences) { return; }
  let head = sequence / ROW_STRIDE;
  let residue = sequence % ROW_STRIDE;
  headRow = head * params.rows * ROW_STRIDE + residue;
  result0 = head * params.resultRows + residue;
  // The heaviest tiles go first: they attend to the most keys.
  let firstRow = (params.firstTile + params.tileCount - 1u - group.y) * TILE_ROWS;
  row0 = firstRow; // private variables count as non-uniform, so control flow uses the constant

  clearRows();
  clearOutput();
  let end = min(firstRow + TILE_ROWS, params.rows);
  for (var c0 = 0u; c0 < end; c0 += TILE_COLUMNS) {
    computeScores(c0);
    fetchOutput(c0, 0u);
    if (c0 + TILE_COLUMNS > firstRow + 1u) { maskScores(c0); }
    updateRows();
    accumulateOutput(c0);
  }
  sumRows();
  storeRows();
}
