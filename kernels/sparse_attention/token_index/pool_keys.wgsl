// Means of the index keys of each block of tokens, f32; the last block may be short.
//
// A thread adds one column of a block, in the order of tokens.

struct Params {
  rows: u32,   // N
  blocks: u32, // blocks of tokens
  block: u32,  // B, tokens of a block
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;        // [N, c], 32-bit words
@group(0) @binding(2) var<storage, read_write> means: array<f32>; // [blocks, c]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let block = id.x / COLUMNS;
  let column = id.x % COLUMNS;
  if (block >= params.blocks) { return; }
  let first = block * params.block;
  let end = min(first + params.block, params.rows);
  var sum = 0.0;
  for (var row = first; row < end; row++) { sum += element(row * COLUMNS + column); }
  means[id.x] = sum / f32(end - first);
}
