// Embedding: x[row] = table[tokens[row]], four adjacent elements a thread.
//
// Appended by embedding.ts: constant columns (quads of a row). No workgroup memory.

struct Params {
  quads: u32,      // rows * columns
  vocabulary: u32,
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read> tokens: array<u32>;    // [rows]
@group(0) @binding(1) var<storage, read> table: array<vec4f>;   // f32 [vocabulary, columns]
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>; // f32 [rows, columns]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.quads) { return; }
  // The host refuses tokens beyond the vocabulary; nothing is read beyond the table in any case.
  let token = min(tokens[i / columns], params.vocabulary - 1u);
  x[i] = table[token * columns + i % columns];
}
