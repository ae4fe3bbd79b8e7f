// The blocks that each query selects: the first INITIAL ones, the last LOCAL ones up to its own, and of
// those between the FREE ones with the largest scores. Equal scores: the smaller block. NaN ranks last.
//
// A thread takes a query and keeps the best blocks so far, ascending, in workgroup memory; a block that
// beats the worst of them takes its place at the end. Scores are compared by u32 keys in the order of the
// floats. Workgroup memory: 512 * max(FREE, 1) bytes.

struct Params {
  rows: u32,      // N
  firstRow: u32,  // of this dispatch
  strip: u32,     // queries of a dispatch
  block: u32,     // keys of a block
  blocks: u32,    // M
  firstHead: u32, // of the lists that the first scores belong to
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;      // [heads, M, strip]
@group(0) @binding(1) var<storage, read_write> lists: array<u32>; // [heads, N, INITIAL + FREE + LOCAL], ~0 past the end
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> keys: array<u32, 64 * MOST>;
var<workgroup> held: array<u32, 64 * MOST>;

// Ascending with the score; NaN first, both zeros alike.
fn keyOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0u; }
  if ((bits & 0x7fffffffu) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let place = group.x * 64u + local;
  let row = params.firstRow + place;
  if (place >= params.strip || row >= params.rows) { return; }
  let own = row / params.block;
  let first = group.z * params.blocks * params.strip + place;
  var count = 0u;
  var worst = 0u;      // where the worst block is
  var worstKey = 0u;
  // Blocks from here on are local ones.
  let local0 = max(own + 1u, LOCAL) - LOCAL;
  for (var block = INITIAL; block < local0 && FREE > 0u; block++) {
    let key = keyOf(scores[first + block * params.strip]);
    if (count == MOST) {
      if (key <= worstKey) { continue; }
      for (var i = worst; i + 1u < MOST; i++) {
        keys[i * 64u + local] = keys[(i + 1u) * 64u + local];
        held[i * 64u + local] = held[(i + 1u) * 64u + local];
      }
      count--;
    }
    keys[count * 64u + local] = key;
    held[count * 64u + local] = block;
    count++;
    if (count == MOST) {
      // Of equal ones the last: the largest block.
      worst = 0u;
      worstKey = keys[local];
      for (var i = 1u; i < MOST; i++) {
        let other = keys[i * 64u + local];
        if (other <= worstKey) {
          worst = i;
          worstKey = other;
        }
      }
    }
  }
  var at = ((params.firstHead + group.z) * params.rows + row) * WIDTH;
  let end = at + WIDTH;
  for (var block = 0u; block < min(INITIAL, own + 1u); block++) {
    lists[at] = block;
    at++;
  }
  for (var i = 0u; i < count; i++) {
    lists[at] = held[i * 64u + local];
    at++;
  }
  for (var block = max(local0, INITIAL); block <= own; block++) {
    lists[at] = block;
    at++;
  }
  for (; at < end; at++) { lists[at] = 0xffffffffu; }
}

const MOST = max(FREE, 1u);
const WIDTH = INITIAL + FREE + LOCAL;
