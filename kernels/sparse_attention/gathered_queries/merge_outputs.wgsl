// Joins what a query's entries found: O = Σ exp(r_n)·O_n / Σ exp(r_n)·s_n, in the order of blocks, with r_n
// the log-sum-exp of an entry and s_n = 1, or what a row O_n of sums refers to and the sum of its weights.
// A thread takes ELEMENTS elements of a row. No workgroup memory.

struct Params {
  rows: u32,      // N
  count: u32,     // blocks that a query selects
  group: u32,     // G
  packed: u32,    // entries of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  turnRows: u32,  // queries of the turn: tensors begin at its first one, heads N rows apart
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> places: array<u32>;         // [key heads, N, count]: a query's first entry
@group(0) @binding(1) var<storage, read> entryOutputs: array<vec4f>; // [key heads of this dispatch, packed, d]
@group(0) @binding(2) var<storage, read> entryStatistics: array<f32>; // [key heads of this dispatch, packed], or two numbers each
@group(0) @binding(3) var<storage, read_write> outputs: array<Elements>; // [heads, N, d]
@group(0) @binding(4) var<storage, read_write> logSumExp: array<f32>;    // [heads, N]
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  let row = at / COLUMNS;
  let column = at % COLUMNS;
  if (row >= params.turnRows) { return; }
  let keyHead = params.firstHead + group.z / params.group;
  let list = (keyHead * params.rows + row) * params.count;
  let first = group.z / params.group * params.packed + group.z % params.group;
  var largest = -3.0e38;
  for (var n = 0u; n < params.count; n++) {
    let place = places[list + n];
    if (place == 0xffffffffu) { break; }
    largest = max(largest, statisticsOf(first + place).x);
  }
  var total = 0.0;
  var sums: array<vec4f, VECTORS>;
  for (var n = 0u; n < params.count; n++) {
    let place = places[list + n];
    if (place == 0xffffffffu) { break; }
    let known = statisticsOf(first + place);
    let weight = exp(known.x - largest);
    total += weight * known.y;
    let begin = ((first + place) * COLUMNS + column) * VECTORS;
    for (var i = 0u; i < VECTORS; i++) { sums[i] += weight * entryOutputs[begin + i]; }
  }
  for (var i = 0u; i < VECTORS; i++) { sums[i] /= total; }
  let head = params.firstHead * params.group + group.z;
  outputs[(head * params.rows + row) * COLUMNS + column] = elements(sums);
  if (column == 0u) { logSumExp[head * params.rows + row] = largest + log(total); }
}
