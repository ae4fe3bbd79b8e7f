// Log gates of the gla scorer, one entry point a job: `fill` replaces seeded values by gates, `count`
// counts the gates that no gate can be.
//
// Seeded values are multiples of 2^-15 within ±4, few enough to look their gates up in a table that
// the host computed: the same bits on every device, which a device's own exp and log would not give.

struct Params {
  gates: u32,      // how many
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gates: array<u32>;      // f32 bits
@group(0) @binding(2) var<storage, read> table: array<u32>;            // f32 bits, fill alone
@group(0) @binding(2) var<storage, read_write> bad: array<atomic<u32>>; // one count, count alone

fn gateOf(group: vec3u, local: u32) -> u32 {
  return (group.y * params.gridWidth + group.x) * 256u + local;
}

@compute @workgroup_size(256)
fn fill(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let gate = gateOf(group, local);
  if (gate >= params.gates) { return; }
  gates[gate] = table[u32(i32(bitcast<f32>(gates[gate]) * 32768.0) + 131070)]; // exact
}

// Above zero or NaN, told from the bits: positive and not 0, or beyond minus infinity.
@compute @workgroup_size(256)
fn count(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let gate = gateOf(group, local);
  if (gate >= params.gates) { return; }
  let bits = gates[gate];
  if ((bits > 0u && bits < 0x80000000u) || bits > 0xff800000u) { atomicAdd(&bad[0], 1u); }
}
