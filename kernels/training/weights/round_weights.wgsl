// The f16 copy of f32 masters, as the optimiser writes it.
//
// Appended by round_weights.ts: Quad and packQuad of f16. No workgroup memory.

struct Params {
  quads: u32,
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> weights: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> copy: array<Quad>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i < params.quads) { copy[i] = packQuad(weights[i]); }
}
