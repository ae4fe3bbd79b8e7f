// Parents of a level whose candidates fit workgroup memory: replaces threshold() and findParents() of
// select.wgsl. Appended by select.ts: `capacity`, a multiple of 32.
//
// The rank keys of all candidates are read from memory once. Bits that all keys of a level share are
// not searched, so that the first digit already tells candidates apart. The parents' positions follow
// from a mask of the candidates, which are in index order.
//
// Workgroup memory in addition: capacity * 8 (keys) + capacity / 8 (mask) + 17 * 8 bytes.

var<workgroup> keys: array<vec2u, capacity>; // orderKey() of query and key scores
var<workgroup> chosen: array<atomic<u32>, capacity / 32u>; // a bit for each candidate
var<workgroup> joined: array<vec2u, 16>;
var<workgroup> differing: vec2u; // bits in which keys of the level differ

// Loads the keys of a level, and finds the bits in which they differ.
fn loadKeys(local: u32, first: u32, level: u32) {
  let count = candidateCount(level);
  for (var e = local; e < count; e += threads) {
    let address = first + candidate(level, e);
    keys[e] = vec2u(orderKey(queryScores[address]), orderKey(keyScores[address]));
  }
  if (local < capacity / 32u) { atomicStore(&chosen[local], 0u); }
  workgroupBarrier();
  if (local < 16u) {
    var bits = vec2u(0u);
    for (var n = local; n < capacity; n += 16u) {
      bits |= select(vec2u(0u), keys[n] ^ keys[0], n < count);
    }
    joined[local] = bits;
  }
  workgroupBarrier();
  if (local == 0u) {
    var bits = vec2u(0u);
    for (var n = 0u; n < 16u; n++) { bits |= joined[n]; }
    differing = bits;
  }
}

fn keyOf(e: u32, byKey: bool) -> u32 { return select(keys[e].x, keys[e].y, byKey); }

// The rank key that exactly 64 candidates reach. With byKey, key scores of the candidates that do not
// reach `taken` by query score.
fn threshold(local: u32, count: u32, byKey: bool, taken: vec2u) -> vec2u {
  let bits = workgroupUniformLoad(&differing);
  let width = 32u - countLeadingZeros(select(bits.x, bits.y, byKey));
  // Candidates are fewer than 2^16, so the upper half of an index digit is always the same.
  var decided = vec2u(select(0xffffffffu << (width & 31u), 0u, width == 32u), 0xffff0000u);
  var prefix = vec2u(keyOf(0u, byKey), 0xffff0000u) & decided;
  var high = width > 0u;
  var shift = select(8u, max(width, 8u) - 8u, high);
  var need = ranked;
  for (var digit = 0u; digit < 6u; digit++) {
    if (local < 256u) { atomicStore(&histogram[local], 0u); }
    workgroupBarrier();
    for (var e = local; e < count; e += threads) {
      let key = vec2u(keyOf(e, byKey), ~e);
      let eligible = !byKey || !reaches(vec2u(keys[e].x, ~e), taken);
      if (eligible && all(((key ^ prefix) & decided) == vec2u(0u))) {
        atomicAdd(&histogram[(select(key.y, key.x, high) >> shift) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if (local < 16u) {
      var sum = 0u;
      for (var b = 0u; b < 16u; b++) { sum += atomicLoad(&histogram[local * 16u + b]); }
      sixteenths[local] = sum;
    }
    workgroupBarrier();
    // Ends of loops are constants, so that their loads are in flight together.
    let sixteenth = local / 16u;
    var above = 0u;
    for (var g = 0u; g < 16u; g++) { above += select(0u, sixteenths[g], g > sixteenth); }
    if (local < 256u && above < need && need <= above + sixteenths[sixteenth]) {
      for (var b = 0u; b < 16u; b++) {
        let bin = sixteenth * 16u + b;
        above += select(0u, atomicLoad(&histogram[bin]), bin > local);
      }
      let inside = atomicLoad(&histogram[local]);
      if (above < need && need <= above + inside) { found = Found(local, above, inside); }
    }
    let bin = workgroupUniformLoad(&found);
    let mask = 255u << shift;
    if (high) {
      prefix.x = (prefix.x & ~mask) | (bin.digit << shift);
      decided.x |= mask;
    } else {
      prefix.y = (prefix.y & ~mask) | (bin.digit << shift);
      decided.y |= mask;
    }
    need -= bin.above;
    if (bin.inside == need) { break; }
    if (high && shift == 0u) {
      high = false;
      shift = 8u;
    } else {
      shift = max(shift, 8u) - 8u;
    }
  }
  // Undecided index digits of a threshold are zero: all candidates of its bin reach it.
  return vec2u(prefix.x, select(prefix.y, 0u, high));
}

// Finds the parents of a level and leaves them sorted by index.
fn findParents(local: u32, first: u32, level: u32) {
  let count = candidateCount(level);
  loadKeys(local, first, level);
  let byQuery = threshold(local, count, false, vec2u(0u));
  let byKey = threshold(local, count, true, byQuery);
  for (var e = local; e < count; e += threads) {
    if (reaches(vec2u(keys[e].x, ~e), byQuery) || reaches(vec2u(keys[e].y, ~e), byKey)) {
      atomicOr(&chosen[e / 32u], 1u << (e & 31u));
    }
  }
  workgroupBarrier();
  for (var e = local; e < count; e += threads) {
    let word = atomicLoad(&chosen[e / 32u]);
    let bit = 1u << (e & 31u);
    if ((word & bit) != 0u) {
      var smaller = countOneBits(word & (bit - 1u));
      for (var w = 0u; w < capacity / 32u; w++) {
        smaller += select(0u, countOneBits(atomicLoad(&chosen[w])), w < e / 32u);
      }
      // The bound cannot be exceeded: exactly 64 reach each threshold, the second among the rest.
      parents[(level - 1u) * parentCount + min(smaller, parentCount - 1u)] = candidate(level, e);
    }
  }
  workgroupBarrier();
}
