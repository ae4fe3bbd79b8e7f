// Gather (specification, section 5): copies the rows of one tensor at the selected pyramid entries,
// 16 bytes a thread and row. Base rows come from the input, the others from the pooled levels.
//
// Appended by gather.ts: constants (threads, columns, rowsPerThread) and copyRows(), unrolled so that
// several rows of a thread are under way at once. No workgroup memory.

struct Params {
  context: u32,        // N
  pooledEntries: u32,  // P - N
  gathered: u32,       // S
  gridWidth: u32,      // workgroups in x
}

@group(0) @binding(0) var<storage, read> base: array<vec4u>;      // [heads, N, columns]
@group(0) @binding(1) var<storage, read> pooled: array<vec4u>;    // [heads, P - N, columns]
@group(0) @binding(2) var<storage, read> indices: array<u32>;     // [heads, S]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4u>; // [heads, S, columns]
@group(0) @binding(4) var<uniform> params: Params;

const rowsPerStep = threads / columns;

fn entryOf(head: u32, row: u32) -> u32 {
  return indices[head * params.gathered + min(row, params.gathered - 1u)];
}

fn readRow(head: u32, entry: u32, column: u32) -> vec4u {
  if (entry < params.context) { return base[(head * params.context + entry) * columns + column]; }
  return pooled[(head * params.pooledEntries + entry - params.context) * columns + column];
}

fn writeRow(head: u32, row: u32, column: u32, word: vec4u) {
  if (row < params.gathered) { rows[(head * params.gathered + row) * columns + column] = word; }
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * rowsPerStep * rowsPerThread;
  copyRows(group.z, first + local / columns, local % columns);
}
