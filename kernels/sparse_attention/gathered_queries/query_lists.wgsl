// Inverts lists of blocks: to each block of keys the ascending queries that selected it, packed one list
// after another. Six passes, one entry point each; a stable counting sort whose counts are bits.
//
// clear     a thread takes a word of 32 queries' bits
// mark      a thread takes a query and sets its bit in each block that it selected (atomic or: any order
//           gives the same bits)
// count     a workgroup takes a block: entries before each word, and of the whole list
// start     a workgroup takes a head: where each block's list starts and ends. Lists are packed in turns from
//           the first and from the last block, since the first are longest: so ranges of entries hold lists
//           of all lengths
// fill      a workgroup takes a block: whose each tile of its list is, and marks entries that no query gets as
//           empty. TAIL workgroups do the same past the last list
// place     a thread takes a query: its entry in each list is where the list starts, plus the entries
//           before its word, plus the bits before its own
//
// Workgroup memory: 1,024 bytes in count and start.

struct Params {
  rows: u32,      // N
  count: u32,     // blocks that a query selects
  blocks: u32,    // M
  words: u32,     // N / 32, rounded up
  group: u32,     // G, query heads to a key head: each query has G entries, one after another
  packed: u32,    // entries of a head
  tileRows: u32,  // lists start at multiples of it
  firstHead: u32, // of this dispatch
  turnRows: u32,  // queries of the turn: tensors begin at its first one, heads N rows apart
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> lists: array<u32>;              // [heads, N, count]; ~0 past the end
@group(0) @binding(1) var<storage, read_write> bits: array<atomic<u32>>; // [heads of a dispatch, M, words]
@group(0) @binding(2) var<storage, read_write> before: array<u32>;       // the same: entries before a word
@group(0) @binding(3) var<storage, read_write> tables: array<u32>;       // [heads, packed / tileRows + 2 M]
@group(0) @binding(4) var<storage, read_write> sources: array<u32>;      // [heads, packed]: query · G + head in group
@group(0) @binding(5) var<storage, read_write> places: array<u32>;       // [heads, N, count]: a query's first entry
@group(0) @binding(6) var<uniform> params: Params;

const THREADS = 256u;
const NONE = 0xffffffffu;
const TAIL = 64u;

var<workgroup> sums: array<u32, THREADS>;

fn indexOf(group: vec3u, local: u32) -> u32 { return (group.y * params.gridWidth + group.x) * THREADS + local; }

@compute @workgroup_size(THREADS)
fn clear(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let word = indexOf(group, local);
  if (word < params.blocks * params.words) {
    atomicStore(&bits[group.z * params.blocks * params.words + word], 0u);
  }
}

@compute @workgroup_size(THREADS)
fn mark(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = indexOf(group, local);
  if (row >= params.turnRows) { return; }
  let list = ((params.firstHead + group.z) * params.rows + row) * params.count;
  for (var n = 0u; n < params.count; n++) {
    let block = lists[list + n];
    if (block >= params.blocks) { break; }
    atomicOr(&bits[(group.z * params.blocks + block) * params.words + row / 32u], 1u << (row % 32u));
  }
}

// Inclusive sums of a value of each thread.
fn sumBefore(local: u32, value: u32) -> u32 {
  workgroupBarrier();
  sums[local] = value;
  for (var step = 1u; step < THREADS; step *= 2u) {
    workgroupBarrier();
    let other = select(0u, sums[max(local, step) - step], local >= step);
    workgroupBarrier();
    sums[local] += other;
  }
  workgroupBarrier();
  return sums[local];
}

@compute @workgroup_size(THREADS)
fn count(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * params.gridWidth + group.x;
  if (block >= params.blocks) { return; }
  let first = (group.z * params.blocks + block) * params.words;
  var total = 0u;
  for (var w0 = 0u; w0 < params.words; w0 += THREADS) {
    let word = w0 + local;
    var own = 0u;
    if (word < params.words) { own = countOneBits(atomicLoad(&bits[first + word])); }
    let sum = sumBefore(local, own);
    if (word < params.words) { before[first + word] = total + sum - own; }
    total += sums[THREADS - 1u];
  }
  // Kept for the next pass where the list will start.
  if (local == 0u) { tables[startOf(params.firstHead + group.z, block)] = total; }
}

fn tableOf(head: u32) -> u32 { return head * (params.packed / params.tileRows + 2u * params.blocks); }
fn startOf(head: u32, block: u32) -> u32 { return tableOf(head) + params.packed / params.tileRows + block; }

// The block of the list at a place in the order of packing.
fn blockAt(place: u32) -> u32 { return select(params.blocks - 1u - place / 2u, place / 2u, place % 2u == 0u); }

// Entries of a list in whole tiles.
fn wholeTiles(entries: u32) -> u32 { return (entries + params.tileRows - 1u) / params.tileRows * params.tileRows; }

@compute @workgroup_size(THREADS)
fn start(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = params.firstHead + group.x;
  var total = 0u;
  for (var b0 = 0u; b0 < params.blocks; b0 += THREADS) {
    let place = b0 + local;
    let block = blockAt(min(place, params.blocks - 1u));
    var entries = 0u;
    if (place < params.blocks) { entries = tables[startOf(head, block)] * params.group; }
    let own = wholeTiles(entries);
    let first = total + sumBefore(local, own) - own;
    if (place < params.blocks) {
      tables[startOf(head, block)] = first;
      tables[startOf(head, block) + params.blocks] = first + entries;
    }
    total += sums[THREADS - 1u];
  }
}

@compute @workgroup_size(THREADS)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = params.firstHead + group.z;
  let index = group.y * params.gridWidth + group.x;
  if (index >= params.blocks + TAIL) { return; }
  let tail = index >= params.blocks;
  let block = select(index, blockAt(params.blocks - 1u), tail);
  let first = tables[startOf(head, block)];
  let end = tables[startOf(head, block) + params.blocks];
  let past = first + wholeTiles(end - first);
  let table = tableOf(head);
  let skipped = select(local, (index - params.blocks) * THREADS + local, tail);
  let step = select(THREADS, TAIL * THREADS, tail);
  let lastEntry = select(past, params.packed, tail);
  for (var entry = select(end, past, tail) + skipped; entry < lastEntry; entry += step) {
    sources[head * params.packed + entry] = NONE;
  }
  let lastTile = lastEntry / params.tileRows;
  for (var tile = select(first, past, tail) / params.tileRows + skipped; tile < lastTile; tile += step) {
    tables[table + tile] = select(block, NONE, tail);
  }
}

@compute @workgroup_size(THREADS)
fn place(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = indexOf(group, local);
  if (row >= params.turnRows) { return; }
  let head = params.firstHead + group.z;
  let list = (head * params.rows + row) * params.count;
  for (var n = 0u; n < params.count; n++) {
    let block = lists[list + n];
    if (block >= params.blocks) {
      places[list + n] = NONE;
      continue;
    }
    let word = (group.z * params.blocks + block) * params.words + row / 32u;
    let earlier = before[word] + countOneBits(atomicLoad(&bits[word]) & ((1u << (row % 32u)) - 1u));
    let entry = tables[startOf(head, block)] + earlier * params.group;
    places[list + n] = entry;
    for (var g = 0u; g < params.group; g++) {
      sources[head * params.packed + entry + g] = row * params.group + g;
    }
  }
}
