// The k largest scores of each query of a strip, exactly: of equal scores the smaller position first.
// Lists are ascending, padded with -1.
//
// One workgroup finds the list of one query. Scores become whole numbers of the same order, NaN the
// smallest. Three histograms, of 11, 11 and 10 bits of those that agree in the bits before, find the k-th
// largest. Then positions are taken 32 a thread: marked in two words, counted, and written in order.
//
// Workgroup memory: 2048 * 4 + 3 * THREADS * 4 bytes and a few numbers.

struct Params {
  rows: u32,       // N, queries
  firstRow: u32,   // the first query of the strip
  width: u32,      // k
  stride: u32,     // scores of a query
  keyRows: u32,    // tokens of a key: query t has t / keyRows + 1 keys
  blockRows: u32,  // of candidates: tokens of a block, or 0 where all keys are ranked
  blockCount: u32, // of candidates: blocks of a list
  forced: u32,     // 1: the first and the last key are selected whatever their score
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<f32>;     // [strip, stride]
@group(0) @binding(2) var<storage, read> blocks: array<i32>;     // [strip, blockCount], ascending
@group(0) @binding(3) var<storage, read_write> lists: array<i32>; // [strip, width]

const BINS = 2048u;
const THREADS = 256u;

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> above: array<atomic<u32>, THREADS>; // one bit a position: larger than the k-th
var<workgroup> equal: array<atomic<u32>, THREADS>; // or equal to it
var<workgroup> sums: array<u32, THREADS>;
var<workgroup> found: vec2u; // the bin that holds the k-th, and how many of it are taken

// Scores in the order of whole numbers.
fn orderOf(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  let nan = (bits & 0x7fffffffu) > 0x7f800000u;
  let zero = (bits & 0x7fffffffu) == 0u; // both zeros are equal
  let ordered = select(bits ^ 0x80000000u, ~bits, (bits >> 31u) == 1u);
  return select(select(ordered, 0x80000000u, zero), 0u, nan);
}

// Keys of a query.
fn countOf(row: u32) -> u32 {
  if (params.blockRows == 0u) { return row / params.keyRows + 1u; }
  let held = min(params.blockCount, row / params.blockRows + 1u);
  return (held - 1u) * params.blockRows + row % params.blockRows + 1u;
}

// What stands in a list for the key at a position.
fn nameOf(at: u32, list: u32) -> i32 {
  if (params.blockRows == 0u) { return i32(at); }
  return blocks[list + at / params.blockRows] * i32(params.blockRows) + i32(at % params.blockRows);
}

// The order of a position; forced ones come before all others.
fn rankOf(first: u32, at: u32, count: u32) -> u32 {
  let order = orderOf(scores[first + at]);
  return select(order, 0xffffffffu, params.forced == 1u && (at == 0u || at + 1u == count));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let strip = group.x;
  let row = params.firstRow + strip;
  let count = countOf(row);
  let first = strip * params.stride;
  let to = strip * params.width;
  let list = strip * params.blockCount;
  if (count <= params.width) {
    for (var i = local; i < params.width; i += THREADS) {
      lists[to + i] = select(-1, nameOf(min(i, count - 1u), list), i < count);
    }
    return;
  }

  // The k-th largest, from its highest bits on.
  var prefix = 0u;
  var wanted = params.width;
  for (var pass0 = 0u; pass0 < 3u; pass0++) {
    let shift = select(select(0u, 10u, pass0 == 1u), 21u, pass0 == 0u);
    let bits = select(11u, 10u, pass0 == 2u);
    for (var i = local; i < BINS; i += THREADS) { atomicStore(&bins[i], 0u); }
    workgroupBarrier();
    for (var i = local; i < count; i += THREADS) {
      let order = rankOf(first, i, count);
      // Those that agree in all bits before; a shift by 32 is none.
      let before = select(order >> ((shift + bits) & 31u), 0u, pass0 == 0u);
      if (before == prefix) { atomicAdd(&bins[(order >> shift) & ((1u << bits) - 1u)], 1u); }
    }
    workgroupBarrier();
    // Each thread adds 8 bins, the largest first; then sums of threads before.
    let share = BINS / THREADS;
    let top = BINS - 1u - local * share;
    var total = 0u;
    for (var i = 0u; i < share; i++) { total += atomicLoad(&bins[top - i]); }
    let sum = scan(local, total);
    let earlier = sum - total;
    if (earlier < wanted && wanted <= sum) {
      var left = wanted - earlier;
      for (var i = 0u; i < share; i++) {
        let here = atomicLoad(&bins[top - i]);
        if (left <= here) { found = vec2u(top - i, left); break; }
        left -= here;
      }
    }
    let next = workgroupUniformLoad(&found);
    prefix = (prefix << bits) | next.x;
    wanted = next.y;
  }

  // Everything above it, and the first `wanted` of those equal to it.
  var written = 0u;
  var taken = 0u;
  for (var chunk = 0u; chunk < count; chunk += 32u * THREADS) {
    atomicStore(&above[local], 0u);
    atomicStore(&equal[local], 0u);
    workgroupBarrier();
    for (var i = 0u; i < 32u; i++) {
      let place = i * THREADS + local;
      let at = chunk + place;
      if (at >= count) { break; }
      let order = rankOf(first, at, count);
      let bit = 1u << (place & 31u);
      if (order > prefix) { atomicOr(&above[place >> 5u], bit); }
      if (order == prefix) { atomicOr(&equal[place >> 5u], bit); }
    }
    workgroupBarrier();
    let larger = atomicLoad(&above[local]);
    var ties = atomicLoad(&equal[local]);
    // Counts of both in one number: at most 8,192 each.
    let own = countOneBits(larger) | (countOneBits(ties) << 16u);
    let sum = scan(local, own);
    let all = workgroupUniformLoad(&sums[THREADS - 1u]);
    let earlier = sum - own;
    let tiesBefore = taken + (earlier >> 16u);
    var at = to + written + (earlier & 0xffffu) + min(tiesBefore, wanted) - min(taken, wanted);
    var room = wanted - min(tiesBefore, wanted);
    var marks = larger | ties;
    while (marks != 0u) {
      let bit = marks & (~marks + 1u);
      marks ^= bit;
      let tie = (ties & bit) != 0u;
      if (tie && room == 0u) { continue; }
      if (tie) { room--; }
      lists[at] = nameOf(chunk + local * 32u + firstTrailingBit(bit), list);
      at++;
    }
    written += (all & 0xffffu) + min(taken + (all >> 16u), wanted) - min(taken, wanted);
    taken += all >> 16u;
    workgroupBarrier();
  }
}

// Sums of the values of all threads up to each.
fn scan(local: u32, value: u32) -> u32 {
  sums[local] = value;
  workgroupBarrier();
  for (var step = 1u; step < THREADS; step *= 2u) {
    var sum = sums[local];
    if (local >= step) { sum += sums[local - step]; }
    workgroupBarrier();
    sums[local] = sum;
    workgroupBarrier();
  }
  return sums[local];
}
