// Adds partial sums of dK and dV, of the parts that the queries of a key were cut into, in their order, and
// stores the results: a pass of its own after the passes over keys and values on matrix units. Keys whose
// queries are all in one part have their results already.
//
// A thread adds 8 adjacent elements of a row of dK or dV. No workgroup memory.

struct Params {
  rows: u32,        // keys of a head
  partialRows: u32, // keys of a slot
  slots: u32,       // partial sums of a head
  partQueries: u32, // queries of a part
  heads: u32,       // of this dispatch
  scale: f32,       // of dK
  gridWidth: u32,   // workgroups in x
}

@group(0) @binding(0) var<storage, read> partials: array<vec4f>; // [keys and values, slots, heads, partialRows, d]
@group(0) @binding(1) var<storage, read_write> keyGradients: array<Eight>;   // [heads, rows, d], 8 elements each
@group(0) @binding(2) var<storage, read_write> valueGradients: array<Eight>; // the same
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * params.gridWidth + group.x) * 64u + local;
  let column = index % ROW_VECTORS;
  let row = index / ROW_VECTORS;
  let head = group.z % params.heads;
  let which = group.z / params.heads; // 0: keys, 1: values
  if (row >= params.rows) { return; }
  let path = openWalk(head, row / OWN_ROWS * OWN_ROWS, 0u, 0xffffffffu);
  if (path.rows == 0u) { return; }
  let first = path.seeing / params.partQueries;
  let end = (path.past - 1u) / params.partQueries + 1u;
  if (end - first < 2u) { return; }
  // Where the last keys are fewer than a matrix, it began earlier, with rows of the block before.
  let own = row / 16u * 16u;
  let stored = row + own - min(own, params.rows - 16u) - slotKey(path);
  var low = vec4f();
  var high = vec4f();
  for (var i = firstSlot(path, first); i < endSlot(path, end); i++) {
    if (!hasSums(i, first, end)) { continue; }
    let slot = (which * params.slots + i) * params.heads + head;
    let at = 2u * ((slot * params.partialRows + stored) * ROW_VECTORS + column);
    low += partials[at];
    high += partials[at + 1u];
  }
  let to = (ownHead(head) + row) * ROW_VECTORS + column;
  if (which == 0u) {
    keyGradients[to] = eight(low * params.scale, high * params.scale);
  } else {
    valueGradients[to] = eight(low, high);
  }
}
