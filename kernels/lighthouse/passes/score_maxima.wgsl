// Score maxima (specification, section 3): the entries of one level from those of the level below.
// One thread an entry; score_maxima.ts runs the levels one after the other, finest first.
//
// Scores are squared norms, never negative, so their bits order as integers and NaN is above all
// numbers: a window with a NaN inside gets NaN, which selection ranks last.
//
// Appended by score_maxima.ts: most(), unrolled over the p children. No workgroup memory.

struct Params {
  entries: u32,    // P
  below: u32,      // off(l - 1), first entry of the level below
  offset: u32,     // off(l)
  count: u32,      // N / p^l, entries of the level
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read_write> scores: array<u32>; // f32 bits [heads, P]
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let entry = (group.y * params.gridWidth + group.x) * 256u + local;
  if (entry >= params.count) { return; }
  let head = group.z * params.entries;
  scores[head + params.offset + entry] = most(head + params.below + entry * pooling);
}
