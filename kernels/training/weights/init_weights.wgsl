// Seeded weights: the counter-based generator pcg-sum4 (gpu/random.wgsl), times a factor that may differ
// between even and odd rows. Integers and one product: the same bits on every device.
//
// No workgroup memory.

struct Params {
  seedHash: u32,   // pcg(seed)
  quads: u32,
  rowQuads: u32,   // quads of a row
  gridWidth: u32,  // workgroups in x
  evenFactor: f32,
  oddFactor: f32,
  constant: f32,   // added
}

@group(0) @binding(0) var<storage, read_write> weights: array<vec4f>; // [quads]
@group(0) @binding(1) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn seeded(i: u32) -> f32 {
  let a = pcg(params.seedHash + 2u * i);
  let c = pcg(params.seedHash + 2u * i + 1u);
  let sum = i32((a & 65535u) + (a >> 16u) + (c & 65535u) + (c >> 16u)) - 131070;
  return f32(sum) * (1.0 / 32768.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.quads) { return; }
  let isOdd = (i / params.rowQuads) % 2u == 1u;
  let factor = select(params.evenFactor, params.oddFactor, isOdd);
  if (factor == 0.0) {
    weights[i] = vec4f(params.constant);
    return;
  }
  let at = 4u * i;
  weights[i] = vec4f(seeded(at), seeded(at + 1u), seeded(at + 2u), seeded(at + 3u)) * factor;
}
