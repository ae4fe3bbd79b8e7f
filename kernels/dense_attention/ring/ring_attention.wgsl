// One step of ring attention for one block of heads: a run of query rows attends to a run of keys of
// the same causal sequence, and the result is merged with what earlier steps left.
//
// Products and online softmax are those of dense_attention.wgsl; what tile_codegen.ts and
// ring_attention_codegen.ts generate is appended below. Keys from keyEnd on belong to another shard
// and are masked like those of the future.
//
// Merging: with sums s and s' of exponentials and normalised rows o and o', the row over both sets
// of keys is (s·o + s'·o') / (s + s'); sums are kept as logarithms.
//
// Workgroup memory as in dense_attention.wgsl.

struct Params {
  rows: u32,       // S, rows of the whole sequence
  tileCount: u32,  // query tiles in this dispatch
  firstTile: u32,  // index of the first of them, from queryFirst
  scale: f32,      // softmax scale times log2(e)
  heads: u32,
  gridWidth: u32,  // heads in one layer of the grid
  queryFirst: u32,
  queryEnd: u32,
  keyFirst: u32,
  keyEnd: u32,
  fresh: u32,      // 1: nothing to merge with yet
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [heads, S, d], 16 bytes a vector
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // the same
@group(0) @binding(3) var<storage, read> values: array<vec4u>;  // the same
@group(0) @binding(4) var<storage, read_write> merged: array<vec4f>;    // [heads, S, d], f32
@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>;   // [heads, S], natural

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32; // first row of this head in the tensors
var<private> row0: u32;    // first query row of this workgroup

const MASKED = -3.0e38; // finite, so that no NaN arises from differences
const LN2 = 0.6931471805599453;
const LOG2E = 1.4426950408889634;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  let head = group.z * params.gridWidth + group.x;
  if (head >= params.heads) { return; }
  headRow = head * params.rows;
  let tile = params.firstTile + params.tileCount - 1u - group.y;
  let firstRow = params.queryFirst + tile * TILE_ROWS;
  row0 = firstRow; // private variables count as non-uniform, so control flow uses the constant

  clearRows();
  clearOutput();
  let end = min(firstRow + TILE_ROWS, params.keyEnd);
  for (var c0 = params.keyFirst; c0 < end; c0 += TILE_COLUMNS) {
    computeScores(c0);
    fetchOutput(c0, 0u);
    if (c0 + TILE_COLUMNS > min(firstRow + 1u, params.keyEnd)) { maskScores(c0); }
    updateRows();
    accumulateOutput(c0);
  }
  sumRows();
  mergeRows();
}
