// Sums of listed rows of V, each times a weight, one chunk of a list in each workgroup: grid (chunks,
// heads). The host adds the chunks in float64.
//
// Appended by the generator: QUADS (16-byte words of a row), ELEMENTS (of one word), `alias Cell`,
// `unpackCell`, `storeCell`.
//
// Workgroup memory: 64 cells, at most 2 KiB.

struct Params {
  context: u32,   // N
  width: u32,     // entries of a list
  chunks: u32,
  chunkRows: u32, // a multiple of 64
}

const TILE = 64u;

@group(0) @binding(0) var<storage, read> values: array<vec4u>;
// A row, and the bits of its weight; entries that pad a list have weight 0.
@group(0) @binding(1) var<storage, read> entries: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<Cell, TILE>;

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) place: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = place.y;
  let first = place.x * params.chunkRows;
  let end = min(first + params.chunkRows, params.width);
  let column = lane % QUADS;
  var sum = Cell();
  for (var i = first + lane / QUADS; i < end; i += TILE / QUADS) {
    let entry = entries[head * params.width + i];
    let word = values[(head * params.context + entry.x) * QUADS + column];
    sum = sum + unpackCell(word) * bitcast<f32>(entry.y);
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < QUADS) {
    var all = sums[lane];
    for (var g = lane + QUADS; g < TILE; g += QUADS) { all = all + sums[g]; }
    storeCell(((head * params.chunks + place.x) * QUADS + lane) * ELEMENTS, all);
  }
}
