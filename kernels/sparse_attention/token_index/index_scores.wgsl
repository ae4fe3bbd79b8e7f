// Scores of an index, for a strip of queries: I[t, s] = Σ_j w[j, t] · max(0, q[j, t] · k[s]).
//
// One workgroup computes TILE_ROWS queries × TILE_COLUMNS keys, one index head after another, as a first
// product of tiles (`tile_codegen.ts`), whose generated functions are appended. Tiles of keys that no query
// of the tile sees are left as they are.
//
// Workgroup memory: 2 * STAGE_VECTORS * 16 bytes.

struct Params {
  rows: u32,      // N, queries
  firstRow: u32,  // the first query of the strip
  endRow: u32,    // past the last
  keys: u32,      // keys, or blocks of keys
  keyRows: u32,   // tokens of a key: query t sees key s if s * keyRows <= t
  stride: u32,    // scores of a query
  heads: u32,     // J
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [J, N, c], 16 bytes a vector
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [keys, c], and rows up to whole tiles
@group(0) @binding(3) var<storage, read> weights: array<f32>;   // [J, N]
@group(0) @binding(4) var<storage, read_write> scores: array<f32>; // [strip, stride]

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32; // first row of this index head in the queries
var<private> keyRow: u32;  // 0: there is one head of keys
var<private> row0: u32;    // first query row of this workgroup

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  let firstRow = params.firstRow + group.y * TILE_ROWS;
  let c0 = group.x * TILE_COLUMNS;
  if (c0 * params.keyRows >= min(firstRow + TILE_ROWS, params.endRow)) { return; }
  row0 = firstRow;
  clearTotals();
  for (var head = 0u; head < params.heads; head++) {
    headRow = head * params.rows;
    computeScores(c0);
    addHead();
  }
  storeTotals(c0);
}
