// Adds partial sums to a result: result[i] += partials[0][i] + partials[1][i] + …, four adjacent
// elements a thread. With several lanes a lane takes every lanes-th partial sum, and the first adds up
// what the lanes found, in their order: one fixed order of sums, so that two runs give the same bits.
//
// Appended by sum_partials.ts: constants (threads, lanes). Workgroup memory: threads * 16 bytes.

struct Params {
  quads: u32,     // elements of the result, in fours
  count: u32,     // partial sums
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> partials: array<vec4f>;      // [count, quads]
@group(0) @binding(1) var<storage, read_write> result: array<vec4f>;  // [quads]
@group(0) @binding(2) var<uniform> params: Params;

const columns = threads / lanes;

var<workgroup> found: array<vec4f, threads>;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local / columns;
  let i = (group.y * params.gridWidth + group.x) * columns + local % columns;
  var sum = vec4f();
  if (i < params.quads) {
    for (var s = lane; s < params.count; s += lanes) { sum += partials[s * params.quads + i]; }
  }
  found[local] = sum;
  workgroupBarrier();
  if (lane == 0u && i < params.quads) {
    for (var other = 1u; other < lanes; other++) { sum += found[local + other * columns]; }
    result[i] += sum;
  }
}
