// Means of blocks of rows, f32. A workgroup takes a block of a head: each thread adds every STEP-th row's
// four elements, then the partial sums of a column are added in order.
// Workgroup memory: 256 * 16 = 4,096 bytes.

struct Params {
  rows: u32,      // N
  block: u32,     // rows of a block
  blocks: u32,    // M
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> rows: array<FourElements>; // [heads, N, d]
@group(0) @binding(1) var<storage, read_write> means: array<vec4f>; // [heads, M, d]
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<vec4f, 256>;

const STEP = 256u / COLUMNS;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * params.gridWidth + group.x;
  if (block >= params.blocks) { return; }
  let column = local % COLUMNS;
  let lane = local / COLUMNS;
  let first = block * params.block;
  let end = min(first + params.block, params.rows);
  var sum = vec4f();
  if (lane < STEP) {
    for (var row = first + lane; row < end; row += STEP) {
      sum += fourOf(rows[(group.z * params.rows + row) * COLUMNS + column]);
    }
  }
  partial[local] = sum;
  workgroupBarrier();
  if (lane > 0u) { return; }
  for (var i = 1u; i < STEP; i++) { sum += partial[i * COLUMNS + column]; }
  means[(group.z * params.blocks + block) * COLUMNS + column] = sum / f32(end - first);
}
