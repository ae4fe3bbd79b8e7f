// The k largest scores of each query of a strip, exactly: of equal scores the smaller position first.
// Lists are ascending, padded with -1.
//
// One workgroup finds the list of one query. Scores become whole numbers of the same order, NaN the
// smallest. What may be among the k largest is read once and held in workgroup memory, in order:
//
// 1. Of each 128 scores 8 are a sample. One of its values is a bound that few more than k scores reach:
//    the r-th largest, where r is in the middle between what k and what HELD scores have in a sample.
//    Equal values differ by their position, so a bound holds for scores that are mostly equal, too.
// 2. All scores are read, and those that reach the bound are held.
// 3. Three histograms, of 11, 11 and 10 bits of those that agree in the bits before, find the k-th largest
//    of what is held. It is the k-th of all: whatever is larger reaches the bound as well.
// 4. Positions are taken 32 a thread: marked in two words, counted, and written in order.
//
// Where fewer than k scores reach the bound, or more than HELD, or k is too large for HELD, steps 3 and 4
// read the scores themselves. The sample decides how long it takes, never what is found.
//
// Appended is `scan(local, value)`: sums of the values of all threads up to each; the sum of all is then in
// `all`. A barrier lies between two of its calls.
//
// Workgroup memory: 2 * HELD * 4 + 2048 * 4 + 2 * THREADS * 4 bytes, a few numbers, and what scans need.

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
@group(0) @binding(1) var<storage, read> scores: array<vec4f>;   // [strip, stride]
@group(0) @binding(2) var<storage, read> blocks: array<i32>;     // [strip, blockCount], ascending
@group(0) @binding(3) var<storage, read_write> lists: array<i32>; // [strip, width]

const BINS = 2048u;
const THREADS = 256u;
const FEW = 16u; // of a sample

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> above: array<atomic<u32>, THREADS>; // one bit a position: larger than the k-th
var<workgroup> equal: array<atomic<u32>, THREADS>; // or equal to it
var<workgroup> all: vec2u;
var<workgroup> found: vec3u; // the bin that holds the k-th, how many of it are taken, how many it holds
var<workgroup> place: u32;   // of the sample that is the bound
// Orders of what is held, then what stands for it in a list; or the orders of the sample.
var<workgroup> held: array<u32, 2 * HELD>;

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
fn rankOf(order: u32, at: u32, count: u32) -> u32 {
  return select(order, 0xffffffffu, params.forced == 1u && (at == 0u || at + 1u == count));
}

// Four scores of a query from a position on; past its last position any.
fn fourOf(first: u32, at: u32, count: u32) -> vec4f { return scores[(first + min(at, count - 1u)) / 4u]; }

// The orders of four positions; 0 past the last.
fn ranksOf(four: vec4f, at: u32, count: u32) -> vec4u {
  let bits = bitcast<vec4u>(four);
  let size = bits & vec4u(0x7fffffffu);
  let negative = bitcast<vec4u>(bitcast<vec4i>(bits) >> vec4u(31u));
  let ordered = bits ^ (negative | vec4u(0x80000000u));
  let numbers = select(ordered, vec4u(0x80000000u), size == vec4u());
  let positions = vec4u(at) + vec4u(0u, 1u, 2u, 3u);
  var ranks = select(numbers, vec4u(), (size > vec4u(0x7f800000u)) | (positions >= vec4u(count)));
  if (params.forced == 1u) {
    let ends = (positions == vec4u()) | (positions == vec4u(count - 1u));
    ranks = select(ranks, vec4u(0xffffffffu), ends);
  }
  return ranks;
}

// The order of what is held, or of a score.
fn rankAt(first: u32, at: u32, total: u32, stored: bool) -> u32 {
  if (stored) { return held[at]; }
  let element = first + at;
  return rankOf(orderOf(scores[element / 4u][element % 4u]), at, total);
}

struct Kth {
  order: u32,
  ties: u32,  // how many of those that are equal to it are among the k
  equal: u32, // of how many
}

// The k-th largest of some orders, from its highest bits on. Of a bound the lowest bits may be zeros,
// where few have the same bits before.
fn kthOf(local: u32, first: u32, total: u32, k: u32, stored: bool, bound: bool) -> Kth {
  var prefix = 0u;
  var wanted = k;
  var equals = 0u;
  for (var pass0 = 0u; pass0 < 3u; pass0++) {
    let shift = select(select(0u, 10u, pass0 == 1u), 21u, pass0 == 0u);
    let bits = select(11u, 10u, pass0 == 2u);
    for (var i = local; i < BINS; i += THREADS) { atomicStore(&bins[i], 0u); }
    workgroupBarrier();
    for (var i = local; i < total; i += THREADS) {
      let order = rankAt(first, i, total, stored);
      // Those that agree in all bits before; a shift by 32 is none.
      let before = select(order >> ((shift + bits) & 31u), 0u, pass0 == 0u);
      if (before == prefix) { atomicAdd(&bins[(order >> shift) & ((1u << bits) - 1u)], 1u); }
    }
    workgroupBarrier();
    // Each thread adds 8 bins, the largest first; then sums of threads before.
    let share = BINS / THREADS;
    let top = BINS - 1u - local * share;
    var own = 0u;
    // Threads begin at other bins, so that they read other banks.
    for (var i = 0u; i < share; i++) { own += atomicLoad(&bins[top - (i + local / 4u) % share]); }
    let sum = scan(local, vec2u(own, 0u)).x;
    let earlier = sum - own;
    if (earlier < wanted && wanted <= sum) {
      var left = wanted - earlier;
      for (var i = 0u; i < share; i++) {
        let here = atomicLoad(&bins[top - i]);
        if (left <= here) { found = vec3u(top - i, left, here); break; }
        left -= here;
      }
    }
    let next = workgroupUniformLoad(&found);
    prefix = (prefix << bits) | next.x;
    wanted = next.y;
    equals = next.z;
    if (bound && pass0 == 1u && equals <= wanted + FEW) { return Kth(prefix << 10u, equals, equals); }
  }
  return Kth(prefix, wanted, equals);
}

// A bound from a sample: an order, and the last position of those with this order that reach it.
fn boundOf(local: u32, first: u32, count: u32) -> vec2u {
  var spacing = 128u;
  while ((count + spacing - 1u) / spacing * 8u > 2u * HELD) { spacing *= 2u; }
  let samples = (count + spacing - 1u) / spacing * 8u;
  for (var i = local; i < samples / 4u; i += THREADS) {
    let at = (i >> 1u) * spacing + (i & 1u) * 4u;
    let ranks = ranksOf(fourOf(first, at, count), at, count);
    held[4u * i] = ranks.x;
    held[4u * i + 1u] = ranks.y;
    held[4u * i + 2u] = ranks.z;
    held[4u * i + 3u] = ranks.w;
  }
  let middle = sqrt(f32(params.width) * f32(HELD)) * f32(samples) / f32(count);
  let sample = kthOf(local, 0u, samples, clamp(u32(middle), 1u, samples), true, true);
  if (sample.equal <= sample.ties + FEW) { return vec2u(sample.order, 0xffffffffu); }
  // Many are equal: the position of the last that is taken.
  let share = (samples + THREADS - 1u) / THREADS;
  let end = min((local + 1u) * share, samples);
  var own = 0u;
  for (var i = local * share; i < end; i++) { own += u32(held[i] == sample.order); }
  let sum = scan(local, vec2u(own, 0u)).x;
  if (sum - own < sample.ties && sample.ties <= sum) {
    var left = sample.ties - (sum - own);
    for (var i = local * share; i < end; i++) {
      if (held[i] != sample.order) { continue; }
      left--;
      if (left == 0u) { place = i / 8u * spacing + i % 8u; break; }
    }
  }
  return vec2u(sample.order, workgroupUniformLoad(&place));
}

// One bit for each of four scores that reaches the bound. NaN may: what is found then is too small.
fn marksOf(four: vec4f, at: u32, count: u32, bound: vec2u) -> u32 {
  let bits = bitcast<vec4u>(four);
  let order = bits ^ (bitcast<vec4u>(bitcast<vec4i>(bits) >> vec4u(31u)) | vec4u(0x80000000u));
  // Minus zero is as large as zero.
  var reach = order >= vec4u(select(bound.x, 0x7fffffffu, bound.x == 0x80000000u));
  if (bound.y != 0xffffffffu) {
    let positions = vec4u(at) + vec4u(0u, 1u, 2u, 3u);
    reach = (order > vec4u(bound.x)) | (reach & (positions <= vec4u(bound.y)));
  }
  let each = select(vec4u(), vec4u(1u, 2u, 4u, 8u), reach);
  var marks = (each.x | each.y) | (each.z | each.w);
  if (params.forced == 1u) {
    let last = count - 1u - at;
    marks |= u32(at == 0u) | select(0u, 1u << (last & 3u), last < 4u);
  }
  let left = max(count, at) - at;
  return marks & ((1u << min(left, 4u)) - 1u);
}

// Holds all that reaches a bound, in the order of positions. Returns how many do, or more than HELD.
fn holdAll(local: u32, first: u32, count: u32, list: u32, bound: vec2u) -> u32 {
  var kept = 0u;
  // Scores of the next chunk are fetched before those of this one are used.
  var next0 = fourOf(first, 4u * local, count);
  var next1 = fourOf(first, 4u * (local + THREADS), count);
  var next2 = fourOf(first, 4u * (local + 2u * THREADS), count);
  var next3 = fourOf(first, 4u * (local + 3u * THREADS), count);
  for (var chunk = 0u; chunk < count && kept <= HELD; chunk += 16u * THREADS) {
    let at = chunk + 4u * local;
    let marks0 = marksOf(next0, at, count, bound);
    let marks1 = marksOf(next1, at + 4u * THREADS, count, bound);
    let marks2 = marksOf(next2, at + 8u * THREADS, count, bound);
    let marks3 = marksOf(next3, at + 12u * THREADS, count, bound);
    next0 = fourOf(first, at + 16u * THREADS, count);
    next1 = fourOf(first, at + 20u * THREADS, count);
    next2 = fourOf(first, at + 24u * THREADS, count);
    next3 = fourOf(first, at + 28u * THREADS, count);
    // Two counts in each number: at most 1,024 each.
    let own = vec2u(
      countOneBits(marks0) | (countOneBits(marks1) << 16u),
      countOneBits(marks2) | (countOneBits(marks3) << 16u),
    );
    let before = scan(local, own) - own;
    let total = workgroupUniformLoad(&all);
    // Where the marks of each vector begin.
    let start0 = kept + (before.x & 0xffffu);
    let sum1 = kept + (total.x & 0xffffu);
    let sum2 = sum1 + (total.x >> 16u);
    let sum3 = sum2 + (total.y & 0xffffu);
    let start1 = sum1 + (before.x >> 16u);
    let start2 = sum2 + (before.y & 0xffffu);
    let start3 = sum3 + (before.y >> 16u);
    let marks = (marks0 | (marks1 << 4u)) | ((marks2 << 8u) | (marks3 << 12u));
    for (var rest = marks; rest != 0u; rest &= rest - 1u) {
      let bit = firstTrailingBit(rest);
      let vector = bit / 4u;
      let start = select(
        select(start0, start1, vector == 1u),
        select(start2, start3, vector == 3u),
        vector > 1u,
      );
      let to = start + countOneBits(marks & ((1u << bit) - 1u) & (15u << (4u * vector)));
      let position = at + 4u * THREADS * vector + bit % 4u;
      if (to < HELD) {
        held[to] = rankAt(first, position, count, false);
        held[HELD + to] = u32(nameOf(position, list));
      }
    }
    kept = sum3 + (total.y >> 16u);
  }
  return kept;
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

  var kept = 0u;
  var bound = vec2u(0u, 0xffffffffu);
  if (count <= HELD || SAMPLED) {
    if (count > HELD) { bound = boundOf(local, first, count); }
    kept = holdAll(local, first, count, list, bound);
  }
  var stored = kept >= params.width && kept <= HELD;
  var total = select(count, kept, stored);
  var kth = kthOf(local, first, total, params.width, stored, false);
  if (stored && kth.order < bound.x) {
    // NaN has taken the place of larger ones.
    stored = false;
    total = count;
    kth = kthOf(local, first, total, params.width, false, false);
  }
  let wanted = kth.ties;

  // Everything above it, and the first `wanted` of those equal to it.
  var written = 0u;
  var taken = 0u;
  for (var chunk = 0u; chunk < total; chunk += 32u * THREADS) {
    atomicStore(&above[local], 0u);
    atomicStore(&equal[local], 0u);
    workgroupBarrier();
    for (var i = 0u; i < 32u; i++) {
      let spot = i * THREADS + local;
      let at = chunk + spot;
      if (at >= total) { break; }
      let order = rankAt(first, at, total, stored);
      let bit = 1u << (spot & 31u);
      if (order > kth.order) { atomicOr(&above[spot >> 5u], bit); }
      if (order == kth.order) { atomicOr(&equal[spot >> 5u], bit); }
    }
    workgroupBarrier();
    let larger = atomicLoad(&above[local]);
    var ties = atomicLoad(&equal[local]);
    // Counts of both in one number: at most 8,192 each.
    let own = countOneBits(larger) | (countOneBits(ties) << 16u);
    let sum = scan(local, vec2u(own, 0u)).x;
    let sums = workgroupUniformLoad(&all).x;
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
      let spot = chunk + local * 32u + firstTrailingBit(bit);
      if (stored) {
        lists[at] = i32(held[HELD + spot]);
      } else {
        lists[at] = nameOf(spot, list);
      }
      at++;
    }
    written += (sums & 0xffffu) + min(taken + (sums >> 16u), wanted) - min(taken, wanted);
    taken += sums >> 16u;
    workgroupBarrier();
  }
}
