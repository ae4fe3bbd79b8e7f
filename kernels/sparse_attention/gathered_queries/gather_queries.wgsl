// Copies rows of queries, or of dO, to their entries in the packed lists, 16 bytes a thread; entries
// without a query get zeros. No workgroup memory.

struct Params {
  rows: u32,      // N
  group: u32,     // G
  packed: u32,    // entries of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> sources: array<u32>;           // [key heads, packed]: query · G + head in group
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;            // [heads, N, COLUMNS]
@group(0) @binding(2) var<storage, read_write> entries: array<vec4u>;   // [key heads of this dispatch, packed, COLUMNS]
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  let entry = at / COLUMNS;
  if (entry >= params.packed) { return; }
  let keyHead = params.firstHead + group.z;
  let source = sources[keyHead * params.packed + entry];
  var vector = vec4u();
  if (source != 0xffffffffu) {
    let head = keyHead * params.group + source % params.group;
    vector = rows[(head * params.rows + source / params.group) * COLUMNS + at % COLUMNS];
  }
  entries[group.z * params.packed * COLUMNS + at] = vector;
}
