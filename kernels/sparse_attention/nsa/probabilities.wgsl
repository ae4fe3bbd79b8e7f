// Probabilities of the compressed branch: exp(q·k̃/√d - lse) of the windows that a query sees, f32.
//
// A workgroup takes TILE_ROWS packed queries of one key head and walks the compressed keys in tiles of
// TILE_COLUMNS up to the last window that any of them sees. The product is that of dense attention's tiles
// (dense_attention/portable/tile_codegen.ts), appended with the store of a tile.
//
// Workgroup memory: 2 * STAGE_VECTORS * 16 bytes.

struct Params {
  rows: u32,      // packed queries of a head, N · G
  firstRow: u32,  // of this dispatch, a multiple of TILE_ROWS
  strip: u32,     // packed queries of a dispatch
  windows: u32,   // C
  firstHead: u32, // key head that is the dispatch's first
  scale: f32,     // softmax scale times log2(e)
}

@group(0) @binding(0) var<storage, read> queries: array<vec4u>;       // [heads of a dispatch, N · G, d]
@group(0) @binding(1) var<storage, read> compressed: array<vec4u>;    // [key heads, C, d]
@group(0) @binding(2) var<storage, read> logSumExp: array<f32>;       // [heads of a dispatch, N · G]
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;   // [heads of a dispatch, C, strip]
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32;    // first query of this head
var<private> row0: u32;       // first query of this workgroup
var<private> column0Row: u32; // first compressed key of this head
var<private> columnRows: u32; // compressed keys of this head

const LOG2E = 1.4426950408889634;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  headRow = group.z * params.rows;
  column0Row = (params.firstHead + group.z) * params.windows;
  columnRows = params.windows;
  let firstRow = params.firstRow + group.x * TILE_ROWS;
  row0 = firstRow;
  let end = seenWindows((min(firstRow + TILE_ROWS, params.rows) - 1u) / GROUP);
  let weight0 = group.z * params.windows * params.strip + firstRow - params.firstRow;
  for (var c0 = 0u; c0 < end; c0 += TILE_COLUMNS) {
    computeScores(c0);
    keepWeights(c0, weight0);
  }
}
