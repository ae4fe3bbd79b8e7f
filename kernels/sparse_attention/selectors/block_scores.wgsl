// Scores of queries against the means of the blocks before their own: q·k̄, f32, no scale.
//
// A workgroup takes TILE_ROWS queries of one head and walks the means in tiles of TILE_COLUMNS up to the
// last block before the last query's own. The product is that of dense attention's tiles
// (dense_attention/portable/tile_codegen.ts), appended with the store of a tile.
//
// Workgroup memory: 2 * STAGE_VECTORS * 16 bytes.

struct Params {
  rows: u32,     // N
  firstRow: u32, // of this dispatch, a multiple of TILE_ROWS
  strip: u32,    // queries of a dispatch
  block: u32,    // keys of a block
  blocks: u32,   // M
  group: u32,    // G
}

@group(0) @binding(0) var<storage, read> queries: array<vec4u>;     // [heads, N, d]
@group(0) @binding(1) var<storage, read> means: array<vec4u>;       // [key heads, M, d] f32
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;  // [heads, M, strip]
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> stage: Stages;

var<private> tx: u32;
var<private> ty: u32;
var<private> local: u32;
var<private> headRow: u32;    // first query of this head
var<private> row0: u32;       // first query of this workgroup
var<private> column0Row: u32; // first mean of this head
var<private> columnRows: u32; // means of this head

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  headRow = group.z * params.rows;
  column0Row = group.z / params.group * params.blocks;
  columnRows = params.blocks;
  let firstRow = params.firstRow + group.x * TILE_ROWS;
  row0 = firstRow;
  let end = (min(firstRow + TILE_ROWS, params.rows) - 1u) / params.block;
  let score0 = group.z * params.blocks * params.strip + firstRow - params.firstRow;
  for (var c0 = 0u; c0 < end; c0 += TILE_COLUMNS) {
    computeScores(c0);
    keepScores(c0, score0);
  }
}
