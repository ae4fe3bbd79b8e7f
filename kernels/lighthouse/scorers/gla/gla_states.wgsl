// Gated linear attention, pass 1: what each chunk adds to the state, were it empty before:
// S = sum over the chunk's rows t of exp(a_end - a_t) w_t v_t^T, with a the cumulative log gates and w
// the rows that write (keys for query scores, queries for key scores). Also exp(a_end), by which the
// state before the chunk decays.
//
// One workgroup computes the d x d matrix of one chunk of one sequence, a register tile a thread,
// from DEPTH rows at a time in workgroup memory: DEPTH * 2d * 4 bytes (16 KiB for DEPTH 16 and d = 128), and CHUNK
// floats of gla_chunk.wgsl, which is appended, as are the unrolled functions of gla_scores_codegen.ts.

@group(0) @binding(2) var<storage, read> writers: array<vec4u>;       // [heads, N, d]
@group(0) @binding(3) var<storage, read> values: array<vec4u>;        // [heads, N, d]
@group(0) @binding(4) var<storage, read_write> states: array<vec4f>;  // [sequences, chunks, d, d]
@group(0) @binding(5) var<storage, read_write> decays: array<f32>;    // [sequences, chunks]

var<workgroup> stage: array<vec4f, STAGE_VECTORS>;

@compute @workgroup_size(THREADS_X * THREADS_Y)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  place(group, index);
  sumGates();
  let end = decay[CHUNK - 1u];
  let slot = group.y * params.chunks + group.x;
  clearState();
  for (var t = 0u; t < CHUNK; t += DEPTH) {
    stageRows(t, end);
    workgroupBarrier();
    multiplyRows();
    workgroupBarrier();
  }
  storeState(slot);
  if (index == 0u) { decays[slot] = exp(end); }
}
