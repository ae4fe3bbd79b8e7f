// Random scores: one thread a base row writes its query score and its key score, both in [0, 1).
//
// The score of row n of head h is the upper 24 bits of pcg(seedHash + 2 (n H + h)) as a fraction, and
// for keys the next counter: the same bits on every device.

struct Params {
  seedHash: u32,   // pcg(seed)
  firstHead: u32,  // of the block
  allHeads: u32,   // H
  rows: u32,       // N
  entries: u32,    // P, entries of a head
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read_write> queryScores: array<f32>; // [heads, P]
@group(0) @binding(1) var<storage, read_write> keyScores: array<f32>;   // [heads, P]
@group(0) @binding(2) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn fraction(counter: u32) -> f32 {
  return f32(pcg(params.seedHash + counter) >> 8u) * 0x1p-24f; // exact
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * params.gridWidth + group.x) * 256u + local;
  if (row >= params.rows) { return; }
  let counter = 2u * (row * params.allHeads + params.firstHead + group.z);
  queryScores[group.z * params.entries + row] = fraction(counter);
  keyScores[group.z * params.entries + row] = fraction(counter + 1u);
}
