// Marks which queries list each token of a strip: one bit a query. Lists become rows of bits, which are
// read in ascending order; setting a bit twice or in another order changes nothing.
//
// One workgroup marks the list of one query.

struct Params {
  firstRow: u32, // the first query of this dispatch
  listRow: u32,  // the first query of the lists that are bound
  width: u32,    // k, entries of a list
  firstKey: u32, // the first key of the strip
  keys: u32,     // keys of the strip
  words: u32,    // words of a bit row
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lists: array<i32>;              // [queries, width], -1 padded
@group(0) @binding(2) var<storage, read_write> bits: array<atomic<u32>>; // [strip, words]

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = params.firstRow + group.x;
  let list = (row - params.listRow) * params.width;
  for (var i = local; i < params.width; i += 128u) {
    let token = lists[list + i];
    if (token < 0) { continue; }
    let key = u32(token) - params.firstKey; // wraps around before the strip
    if (key < params.keys) {
      atomicOr(&bits[key * params.words + row / 32u], 1u << (row % 32u));
    }
  }
}
