// Second pass of the sort: turns counts [256, blocks] into the place where the first pair of each digit
// and block goes, in place. One workgroup, a thread for each digit. Workgroup memory: 1,024 bytes.

struct Params {
  count: u32,  // pairs
  blocks: u32,
}

@group(0) @binding(0) var<storage, read_write> counts: array<u32>; // [256, blocks]
@group(0) @binding(1) var<uniform> params: Params;

var<workgroup> totals: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
  var total = 0u;
  for (var block = 0u; block < params.blocks; block++) {
    total += counts[local * params.blocks + block];
  }
  totals[local] = total;
  workgroupBarrier();
  var place = 0u;
  for (var digit = 0u; digit < 256u; digit++) {
    place += select(0u, totals[digit], digit < local);
  }
  for (var block = 0u; block < params.blocks; block++) {
    let at = local * params.blocks + block;
    let count = counts[at];
    counts[at] = place;
    place += count;
  }
}
