// Copies the log-sum-exp and delta of queries to their entries in the packed lists. An entry without a
// query gets a log-sum-exp that leaves no weight. A thread takes an entry. No workgroup memory.

struct Params {
  rows: u32,      // N
  group: u32,     // G
  packed: u32,    // entries of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> sources: array<u32>;           // [key heads, packed]: query · G + head in group
@group(0) @binding(1) var<storage, read> logSumExp: array<f32>;         // [heads, N]
@group(0) @binding(2) var<storage, read> deltas: array<f32>;            // [heads, N]
@group(0) @binding(3) var<storage, read_write> entryLse: array<f32>;    // [key heads of this dispatch, packed]
@group(0) @binding(4) var<storage, read_write> entryDeltas: array<f32>; // the same
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let entry = (group.y * params.gridWidth + group.x) * 256u + local;
  if (entry >= params.packed) { return; }
  let keyHead = params.firstHead + group.z;
  let source = sources[keyHead * params.packed + entry];
  var lse = 1.0e30;
  var delta = 0.0;
  if (source != 0xffffffffu) {
    let head = keyHead * params.group + source % params.group;
    let row = head * params.rows + source / params.group;
    lse = logSumExp[row];
    delta = deltas[row];
  }
  entryLse[group.z * params.packed + entry] = lse;
  entryDeltas[group.z * params.packed + entry] = delta;
}
