// Gated linear attention, pass 3: squared norms of the outputs, which themselves are not kept:
// o_i = exp(a_i) r_i S + sum over rows j <= i of the chunk of exp(a_i - a_j) (r_i . w_j) v_j, with S the
// state before the chunk, r the rows that read (queries for query scores, keys for key scores) and w
// those that write.
//
// One workgroup computes the CHUNK outputs of one chunk of one sequence, a register tile a thread:
// first r S and the products r w^T in one walk over d, DEPTH elements at a time, then the decayed
// products times v, THREADS_X rows of v at a time. Workgroup memory, one stage used in turn for
//   READER[DEPTH][CHUNK], WRITER[DEPTH][CHUNK] (both transposed) and STATE[DEPTH][d], f32
//   WEIGHT[THREADS_X][CHUNK + 4] and VALUE[THREADS_X][d]
//   SQUARE[CHUNK][THREADS_X]
// (12.5 KiB for DEPTH 8, CHUNK 64, d = 128; 16 KiB for DEPTH 16), and CHUNK floats of gla_chunk.wgsl, which is appended, as are the
// unrolled functions of gla_scores_codegen.ts.

@group(0) @binding(2) var<storage, read> readers: array<vec4u>;    // [heads, N, d]
@group(0) @binding(3) var<storage, read> writers: array<vec4u>;    // [heads, N, d]
@group(0) @binding(4) var<storage, read> values: array<vec4u>;     // [heads, N, d]
@group(0) @binding(5) var<storage, read> states: array<vec4f>;     // [sequences, chunks, d, d]
@group(0) @binding(6) var<storage, read_write> scores: array<f32>; // [heads, P]

var<workgroup> stage: array<vec4f, STAGE_VECTORS>;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  place(group, index);
  sumGates();
  let slot = group.y * params.chunks + group.x;
  clearProducts();
  clearOutput();
  for (var k = 0u; k < HEAD_DIM; k += DEPTH) {
    stageReaders(k);
    stageWriters(k);
    stageState(slot, k);
    workgroupBarrier();
    multiplyState();
    workgroupBarrier();
  }
  decayOutput();
  decayProducts();
  for (var e = 0u; e < COLUMNS_PER_THREAD; e++) {
    stageWeights(e);
    stageValues(e);
    workgroupBarrier();
    // Threads whose rows all lie before these columns would only add zeros.
    if (e * THREADS_X < (ty + 1u) * ROWS_PER_THREAD) { multiplyWeights(); }
    workgroupBarrier();
  }
  stageSquares();
  workgroupBarrier();
  let row = row0 + index;
  if (index < CHUNK && row < params.rows) {
    let lane = params.firstLane + group.y;
    let token = row * params.dilation + lane % params.dilation;
    scores[(lane / params.dilation) * params.entries + token] = squareOf(index) * (1.0 / f32(HEAD_DIM));
  }
}
