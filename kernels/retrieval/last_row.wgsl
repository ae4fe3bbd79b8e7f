// Attention of a few query rows, one chunk of rows in each workgroup: grid (chunks, queries, heads).
// The chunk's maximum, sum of weights and weighted sum of values go to `partials`; the host merges
// chunks in float64.
//
// Appended by the generator: bindings, QUADS (16-byte words of a row), ELEMENTS (of one word), SCALE,
// `alias Cell`, `unpackCell`, `dotCell`, `storeCell`, and for the source of the rows `rowEnd`,
// `keyWord`, `valueWord`, `admit`.
//
// Workgroup memory: QUADS cells of the query, 64 weights (256 B), 64 cells: at most 6.3 KiB.

struct Params {
  context: u32,       // N
  rows: u32,          // rows attended to: N, or S gathered ones
  queries: u32,       // query rows of a head
  chunks: u32,
  chunkRows: u32,     // a multiple of 64
  pooledEntries: u32, // P - N
  entries: u32,       // P
  logPooling: u32,    // log2 p
}

const TILE = 64u;
const NONE = -3.0e38;

var<workgroup> query: array<Cell, QUADS>;
var<workgroup> weights: array<f32, TILE>;
var<workgroup> sums: array<Cell, TILE>;

fn logitOf(head: u32, row: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < QUADS; c++) {
    sum += dotCell(query[c], unpackCell(keyWord(head, row, c)));
  }
  return sum * SCALE;
}

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) place: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = place.y;
  let head = place.z;
  let at = head * params.queries + slot;
  if (lane < QUADS) { query[lane] = unpackCell(queries[at * QUADS + lane]); }
  workgroupBarrier();
  let first = place.x * params.chunkRows;
  let end = min(first + params.chunkRows, rowEnd(head, slot));
  let column = lane % QUADS;
  let group = lane / QUADS;
  var top = NONE;
  var total = 0.0;
  var sum = Cell();
  for (var base = first; base < end; base += TILE) {
    var logit = NONE;
    if (base + lane < end) { logit = admit(head, base + lane, logitOf(head, base + lane)); }
    weights[lane] = logit;
    workgroupBarrier();
    var most = top;
    for (var r = 0u; r < TILE; r++) { most = max(most, weights[r]); }
    workgroupBarrier();
    weights[lane] = select(0.0, exp(logit - most), logit > NONE);
    workgroupBarrier();
    let shrink = exp(top - most);
    top = most;
    total *= shrink;
    for (var r = 0u; r < TILE; r++) { total += weights[r]; }
    sum = sum * shrink;
    for (var r = group; r < min(TILE, end - base); r += TILE / QUADS) {
      sum = sum + unpackCell(valueWord(head, base + r, column)) * weights[r];
    }
    workgroupBarrier();
  }
  sums[lane] = sum;
  workgroupBarrier();
  let out = (at * params.chunks + place.x) * (4u + QUADS * ELEMENTS);
  if (lane < QUADS) {
    var all = sums[lane];
    for (var g = lane + QUADS; g < TILE; g += QUADS) { all = all + sums[g]; }
    storeCell(out + 4u + lane * ELEMENTS, all);
  }
  if (lane == 0u) {
    partials[out] = top;
    partials[out + 1u] = total;
  }
}
