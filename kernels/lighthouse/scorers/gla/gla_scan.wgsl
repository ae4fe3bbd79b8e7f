// Gated linear attention, pass 2: turns what chunks add into the state before each chunk, in place,
// sequentially over the chunks of a sequence and in parallel over the elements of the state. `carry`
// holds the state between dispatches that follow each other along a sequence.
//
// Appended by gla_scores.ts: constants, and scanChunks(), unrolled so that several states are loaded
// before the first is used. No workgroup memory.

struct Params {
  rows: u32,
  dilation: u32,
  context: u32,
  entries: u32,
  firstLane: u32,
  firstChunk: u32,  // 0: the sequences begin here, with an empty state
  chunks: u32,      // chunks of each sequence in this dispatch, at least 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> decays: array<f32>;        // [sequences, chunks]
@group(0) @binding(2) var<storage, read_write> states: array<f32>;  // [sequences, chunks, d, d]
@group(0) @binding(3) var<storage, read_write> carry: array<f32>;   // [sequences, d, d]

@compute @workgroup_size(SCAN_THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let element = group.x * SCAN_THREADS + index;
  let kept = group.y * ELEMENTS + element;
  let first = group.y * params.chunks;
  var state = 0.0;
  if (params.firstChunk > 0u) { state = carry[kept]; }
  for (var c = 0u; c < params.chunks; c += IN_FLIGHT) {
    state = scanChunks(first, c, element, state);
  }
  carry[kept] = state;
}
