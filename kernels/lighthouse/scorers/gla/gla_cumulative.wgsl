// Gated linear attention on matrix units, pass 1: cumulative log gates of every chunk, as the other passes
// read them.
//
// Appended by gla_matrix_scores.ts: constants, and gla_chunk.wgsl.

@group(0) @binding(2) var<storage, read_write> cumulative: array<f32>; // [sequences, chunks, CHUNK]

@compute @workgroup_size(CHUNK)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  place(group, index);
  sumGates();
  cumulative[(group.y * params.chunks + group.x) * CHUNK + index] = decay[index];
}
