// Joins the three branches of NSA: O = g_c·O_c + g_s·O_s + g_w·O_w, with O_s joined from the entries of a
// query in the order of blocks, as in merge_outputs.wgsl. A query before the first window's end sees no compressed key.
//
// A thread takes ELEMENTS elements of a row of one query head. No workgroup memory.

struct Params {
  rows: u32,      // N
  count: u32,     // blocks that a query selects
  packed: u32,    // entries of a key head
  firstHead: u32, // key head of the block that is this dispatch's first
  window: u32,    // l, rows of a compressed window
  turnRows: u32,  // queries of the turn: tensors begin at its first one, heads N rows apart
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> places: array<u32>;         // [key heads, N, count]: a query's first entry
@group(0) @binding(1) var<storage, read> entryOutputs: array<vec4f>; // [key heads of this dispatch, packed, d]
@group(0) @binding(2) var<storage, read> entryStatistics: array<f32>; // [key heads of this dispatch, packed], or two numbers each
@group(0) @binding(3) var<storage, read> compressedOutputs: array<vec4f>; // [key heads of this dispatch, N · G, d]
@group(0) @binding(4) var<storage, read> windowOutputs: array<vec4f>;     // the same
@group(0) @binding(5) var<storage, read> statistics: array<f32>;     // [2, key heads of this dispatch, N · G], STATISTICS apart
@group(0) @binding(6) var<storage, read> gates: array<f32>;          // [heads, N, 3], as generated
@group(0) @binding(7) var<storage, read_write> outputs: array<Elements>; // [heads, N, d]
@group(0) @binding(8) var<storage, read_write> branches: array<Elements>; // [3, heads, turnRows, d], TENSOR apart
@group(0) @binding(9) var<storage, read_write> logSumExp: array<f32>;     // [3, heads, N], ROWS apart
@group(0) @binding(10) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = (group.y * params.gridWidth + group.x) * 256u + local;
  let row = at / COLUMNS;
  let column = at % COLUMNS;
  if (row >= params.turnRows) { return; }
  let keyHead = params.firstHead + group.z / GROUP;
  let list = (keyHead * params.rows + row) * params.count;
  let first = group.z / GROUP * params.packed + group.z % GROUP;
  var largest = -3.0e38;
  for (var n = 0u; n < params.count; n++) {
    let place = places[list + n];
    if (place == 0xffffffffu) { break; }
    largest = max(largest, statisticsOf(first + place).x);
  }
  var total = 0.0;
  var selected: array<vec4f, VECTORS>;
  for (var n = 0u; n < params.count; n++) {
    let place = places[list + n];
    if (place == 0xffffffffu) { break; }
    let known = statisticsOf(first + place);
    let weight = exp(known.x - largest);
    total += weight * known.y;
    let begin = ((first + place) * COLUMNS + column) * VECTORS;
    for (var i = 0u; i < VECTORS; i++) { selected[i] += weight * entryOutputs[begin + i]; }
  }
  let packedRow = (group.z / GROUP * params.rows + row) * GROUP + group.z % GROUP;
  let begin = (packedRow * COLUMNS + column) * VECTORS;
  let compresses = row + 1u >= params.window;
  let head = params.firstHead * GROUP + group.z;
  let resultRow = head * params.rows + row;
  let gate = vec3f(gates[3u * resultRow], gates[3u * resultRow + 1u], gates[3u * resultRow + 2u]) / 8.0 + 0.5;
  var compressed: array<vec4f, VECTORS>;
  var window: array<vec4f, VECTORS>;
  var sums: array<vec4f, VECTORS>;
  for (var i = 0u; i < VECTORS; i++) {
    selected[i] /= total;
    if (compresses) { compressed[i] = compressedOutputs[begin + i]; }
    window[i] = windowOutputs[begin + i];
    sums[i] = gate.x * compressed[i] + gate.y * selected[i] + gate.z * window[i];
  }
  let to = resultRow * COLUMNS + column;
  outputs[to] = elements(sums);
  if (KEEPS) {
    let kept = (head * params.turnRows + row) * COLUMNS + column;
    branches[kept] = elements(compressed);
    branches[TENSOR + kept] = elements(selected);
    branches[2u * TENSOR + kept] = elements(window);
  }
  if (column == 0u) {
    logSumExp[resultRow] = select(minusInfinity(), statistics[packedRow], compresses);
    logSumExp[ROWS + resultRow] = largest + log(total);
    logSumExp[2u * ROWS + resultRow] = statistics[STATISTICS + packedRow];
  }
}

// A constant infinity is no valid expression: its bits come through a uniform.
fn minusInfinity() -> f32 { return bitcast<f32>(0xff800000u | min(params.rows, 0u)); }
