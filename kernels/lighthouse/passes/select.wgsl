// Selection (specification, section 4): one workgroup of 256 threads per tile and head.
//
// Downwards, level by level: a radix select finds the 64th largest query score of the candidates,
// another the 64th largest key score of the rest; both give thresholds, so that membership is a pure
// function of score and order and nothing of the candidates' size is stored. The 128 parents are
// sorted by index; their children are the next level's candidates. Then every emitted entry computes
// its gathered position in closed form from ranks in the parent lists. No global sort, no atomics on
// storage, the same result on every device and in every run.
//
// Indices inside a tile are local to it: entry i of level l is i - tile * (tile's entries at l).
// Workgroup memory: 15 * 128 * 4 (parents) + 128 * 4 + 256 * 4 + 16 * 4 + 20 = 9,300 bytes.

struct Params {
  context: u32,          // N
  logPooling: u32,       // log2 p
  levels: u32,           // L
  tiles: u32,            // T
  tileEntries: u32,      // coarsest entries of a tile
  entries: u32,          // P
  gathered: u32,         // S
  gatheredPerTile: u32,  // S / T
  gridWidth: u32,        // workgroups in x
}

@group(0) @binding(0) var<storage, read> queryScores: array<u32>;   // f32 bits [heads, P]
@group(0) @binding(1) var<storage, read> keyScores: array<u32>;     // f32 bits [heads, P]
@group(0) @binding(2) var<storage, read_write> indices: array<u32>; // [heads, S]
@group(0) @binding(3) var<storage, read_write> slots: array<u32>;   // [heads, P]
@group(0) @binding(4) var<uniform> params: Params;

const threads = 256u;
const parentCount = 128u;
const ranked = 64u;
const maxLevels = 16u;
const notSelected = 0xffffffffu;

struct Found {
  digit: u32,   // histogram bin that holds the threshold
  above: u32,   // candidates in higher bins
  inside: u32,  // candidates in that bin
}

var<workgroup> parents: array<u32, (maxLevels - 1u) * parentCount>; // level l at (l - 1) * 128
var<workgroup> unsorted: array<u32, parentCount>;
var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> sixteenths: array<u32, 16>;
var<workgroup> found: Found;
var<workgroup> appended: atomic<u32>;

fn levelOffset(level: u32) -> u32 {
  var offset = 0u;
  for (var l = 0u; l < level; l++) { offset += params.context >> (l * params.logPooling); }
  return offset;
}

fn tileWidth(level: u32) -> u32 {
  return params.tileEntries << ((params.levels - 1u - level) * params.logPooling);
}

fn candidateCount(level: u32) -> u32 {
  return select(parentCount << params.logPooling, params.tileEntries, level == params.levels - 1u);
}

// Index of candidate e, in index order, at a level.
fn candidate(level: u32, e: u32) -> u32 {
  if (level == params.levels - 1u) { return e; }
  let parent = parents[level * parentCount + (e >> params.logPooling)];
  return (parent << params.logPooling) + (e & ((1u << params.logPooling) - 1u));
}

// Larger keys for larger scores: -0 as +0, NaN below everything.
fn orderKey(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  if (magnitude == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits != magnitude);
}

// The rank of candidate e as a 64-bit number: score first, then smaller index.
fn rankKey(bits: u32, e: u32) -> vec2u { return vec2u(orderKey(bits), ~e); }

fn reaches(key: vec2u, threshold: vec2u) -> bool {
  return key.x > threshold.x || (key.x == threshold.x && key.y >= threshold.y);
}

// The rank key that exactly 64 candidates reach, by 8-bit digits from the top. With byKey, key scores
// of the candidates that do not reach `taken` by query score. Ends as soon as a digit separates, so
// the index digits are visited only to break ties.
fn threshold(local: u32, first: u32, level: u32, byKey: bool, taken: vec2u) -> vec2u {
  let count = candidateCount(level);
  var prefix = vec2u(0u);
  var decided = vec2u(0u);
  var need = ranked;
  for (var digit = 0u; digit < 8u; digit++) {
    let shift = 24u - 8u * (digit & 3u);
    let high = digit < 4u;
    atomicStore(&histogram[local], 0u);
    workgroupBarrier();
    for (var e = local; e < count; e += threads) {
      let address = first + candidate(level, e);
      let queryKey = rankKey(queryScores[address], e);
      var key = queryKey;
      var eligible = true;
      if (byKey) {
        key = rankKey(keyScores[address], e);
        eligible = !reaches(queryKey, taken);
      }
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
    var above = 0u;
    for (var g = local / 16u + 1u; g < 16u; g++) { above += sixteenths[g]; }
    for (var b = local + 1u; b < (local | 15u) + 1u; b++) { above += atomicLoad(&histogram[b]); }
    let inside = atomicLoad(&histogram[local]);
    if (above < need && need <= above + inside) { found = Found(local, above, inside); }
    let bin = workgroupUniformLoad(&found);
    let mask = 255u << shift;
    if (high) {
      prefix.x |= bin.digit << shift;
      decided.x |= mask;
    } else {
      prefix.y |= bin.digit << shift;
      decided.y |= mask;
    }
    need -= bin.above;
    if (bin.inside == need) { break; }
  }
  return prefix;
}

// Finds the parents of a level and leaves them sorted by index.
fn findParents(local: u32, first: u32, level: u32) {
  let byQuery = threshold(local, first, level, false, vec2u(0u));
  let byKey = threshold(local, first, level, true, byQuery);
  if (local == 0u) { atomicStore(&appended, 0u); }
  workgroupBarrier();
  let count = candidateCount(level);
  for (var e = local; e < count; e += threads) {
    let i = candidate(level, e);
    if (reaches(rankKey(queryScores[first + i], e), byQuery) ||
        reaches(rankKey(keyScores[first + i], e), byKey)) {
      // The bound cannot be exceeded: exactly 64 reach each threshold, the second among the rest.
      unsorted[min(atomicAdd(&appended, 1u), parentCount - 1u)] = i;
    }
  }
  workgroupBarrier();
  if (local < parentCount) {
    let i = unsorted[local];
    var smaller = 0u;
    for (var n = 0u; n < parentCount; n++) { smaller += select(0u, 1u, unsorted[n] < i); }
    parents[(level - 1u) * parentCount + smaller] = i;
  }
  workgroupBarrier();
}

// Parents of a level with an index below i.
fn parentsBelow(level: u32, i: u32) -> u32 {
  let list = (level - 1u) * parentCount;
  var low = 0u;
  for (var step = parentCount / 2u; step > 0u; step >>= 1u) {
    if (parents[list + low + step - 1u] < i) { low += step; }
  }
  return low + select(0u, 1u, parents[list + low] < i);
}

fn isParent(level: u32, i: u32) -> bool {
  let below = parentsBelow(level, i);
  return below < parentCount && parents[(level - 1u) * parentCount + min(below, parentCount - 1u)] == i;
}

// Emitted entries of a level with an index below i.
fn emittedBelow(level: u32, i: u32) -> u32 {
  if (level == params.levels - 1u) { return i; }
  let window = i >> params.logPooling;
  let whole = parentsBelow(level + 1u, window) << params.logPooling;
  let part = i & ((1u << params.logPooling) - 1u);
  if (part == 0u) { return whole; }
  return whole + select(0u, part, isParent(level + 1u, window));
}

// Position in the tile's gathered rows. A childless entry starts its window; a parent ends it: it
// comes after everything inside, and before its own ancestors, which are parents too.
fn position(level: u32, i: u32) -> u32 {
  var parent = 0u;
  if (level > 0u) { parent = select(0u, 1u, isParent(level, i)); }
  var before = 0u;
  for (var m = 0u; m < params.levels; m++) {
    if (m <= level) {
      before += emittedBelow(m, (i + parent) << ((level - m) * params.logPooling));
    } else {
      before += emittedBelow(m, i >> ((m - level) * params.logPooling));
    }
  }
  return before - parent;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let tile = group.y * params.gridWidth + group.x;
  if (tile >= params.tiles) { return; }
  let scoresOfHead = group.z * params.entries;
  for (var level = 0u; level < params.levels; level++) {
    let width = tileWidth(level);
    let first = scoresOfHead + levelOffset(level) + tile * width;
    for (var i = local; i < width; i += threads) { slots[first + i] = notSelected; }
  }
  for (var level = params.levels - 1u; level > 0u; level--) {
    findParents(local, scoresOfHead + levelOffset(level) + tile * tileWidth(level), level);
  }
  // Orders the marks above before the positions below: both are of this workgroup's tile alone.
  storageBarrier();
  let firstSlot = tile * params.gatheredPerTile;
  for (var level = 0u; level < params.levels; level++) {
    let count = candidateCount(level);
    let entry = levelOffset(level) + tile * tileWidth(level);
    for (var e = local; e < count; e += threads) {
      let i = candidate(level, e);
      let slot = firstSlot + position(level, i);
      slots[scoresOfHead + entry + i] = slot;
      indices[group.z * params.gathered + slot] = entry + i;
    }
  }
}
