// What the gla kernels that work on chunks share: a chunk is CHUNK consecutive rows of one sequence
// (a residue class modulo the dilation of one head), read in place from strided rows.
//
// Cumulative log gates are taken within the chunk, so every decay is the exponential of a difference
// that is not positive. Gates below LEAST_GATE (minus infinity included) count as LEAST_GATE: its
// exponential is 0 in f32, and differences stay finite.

struct Params {
  rows: u32,        // N / dilation, rows of one sequence
  dilation: u32,
  context: u32,     // N
  entries: u32,     // P
  firstLane: u32,   // sequence of the dispatch's first; sequence = head * dilation + residue
  firstChunk: u32,  // chunk of the dispatch's first
  chunks: u32,      // chunks of each sequence in this dispatch
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gates: array<f32>; // [heads, N], log gates, at most 0

const LEAST_GATE = -104.0;

var<workgroup> decay: array<f32, CHUNK>; // cumulative log gates up to and including each row

var<private> local: u32;
var<private> tx: u32;
var<private> ty: u32;
var<private> firstToken: u32; // row of the tensors that holds the sequence's row 0
var<private> row0: u32;       // first row of the chunk

fn tokenOf(row: u32) -> u32 { return firstToken + row * params.dilation; }

fn place(group: vec3u, index: u32) {
  local = index;
  tx = index % THREADS_X;
  ty = index / THREADS_X;
  let lane = params.firstLane + group.y;
  firstToken = (lane / params.dilation) * params.context + lane % params.dilation;
  row0 = (params.firstChunk + group.x) * CHUNK;
}

// Inclusive prefix sums in log2(CHUNK) steps; rows past the end of the sequence add nothing.
fn sumGates() {
  if (local < CHUNK) {
    var gate = 0.0;
    if (row0 + local < params.rows) { gate = max(gates[tokenOf(row0 + local)], LEAST_GATE); }
    decay[local] = gate;
  }
  workgroupBarrier();
  for (var step = 1u; step < CHUNK; step = step * 2u) {
    var before = 0.0;
    if (local >= step && local < CHUNK) { before = decay[local - step]; }
    workgroupBarrier();
    if (local < CHUNK) { decay[local] += before; }
    workgroupBarrier();
  }
}

// exp of a decay between two rows of the chunk; rounding must not make it grow.
fn decayBetween(difference: f32) -> f32 { return exp(min(difference, 0.0)); }
