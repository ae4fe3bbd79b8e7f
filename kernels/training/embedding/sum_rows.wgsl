// The gradient of one row of an embedding: the sum of the gradients at its tokens, which lie side by
// side in the sorted pairs: the workgroup of the first of them sums all, the others have nothing to do.
// 16 threads share a column of four elements, each takes every 16th token; the first adds up what they
// found, in their order.
//
// Appended by embedding_backward.ts: constant columns (quads of a row). Workgroup memory: 4 KiB.

struct Params {
  count: u32,     // pairs
  vocabulary: u32,
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> sorted: array<vec2u>;         // (token, row) [count]
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;       // f32 [count, columns]
@group(0) @binding(2) var<storage, read_write> table: array<vec4f>;    // f32 [vocabulary, columns], added to
@group(0) @binding(3) var<uniform> params: Params;

const lanes = 16u;

var<workgroup> found: array<vec4f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let begin = group.y * params.gridWidth + group.x;
  if (begin >= params.count) { return; }
  let token = sorted[begin].x;
  let isFirst = begin == 0u || sorted[max(begin, 1u) - 1u].x != token;
  let column = group.z * 16u + local % 16u;
  let lane = local / 16u;
  var sum = vec4f();
  if (isFirst && column < columns) {
    for (var i = begin + lane; i < params.count; i += lanes) {
      if (sorted[i].x != token) { break; }
      sum += gradient[sorted[i].y * columns + column];
    }
  }
  found[local] = sum;
  workgroupBarrier();
  if (isFirst && lane == 0u && token < params.vocabulary && column < columns) {
    for (var other = 1u; other < lanes; other++) { sum += found[other * 16u + local]; }
    table[token * columns + column] += sum;
  }
}
