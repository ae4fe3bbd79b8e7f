// Gradient of SwiGLU, act = silu(g) * v with silu(g) = g * s, s = 1 / (1 + e^-g):
//   dv = da * silu(g),  dg = da * v * s * (1 + g * (1 - s)).
// Gates and values lie in turn, g0 v0 g1 v1 …, four pairs a thread. It also writes act again, which the
// gradient of the next weights needs.
//
// Appended by swiglu_backward.ts: Quad, unpackQuad and packQuad of the storage. No workgroup memory.

struct Params {
  quads: u32,     // of act
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> gradient: array<Quad>;            // da [rows, width]
@group(0) @binding(1) var<storage, read> gateUp: array<Quad>;              // [rows, 2 * width]
@group(0) @binding(2) var<storage, read_write> gateUpGradient: array<Quad>; // [rows, 2 * width]
@group(0) @binding(3) var<storage, read_write> activation: array<Quad>;    // [rows, width]
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.quads) { return; }
  let a = unpackQuad(gateUp[2u * i]);
  let b = unpackQuad(gateUp[2u * i + 1u]);
  let da = unpackQuad(gradient[i]);
  let gate = vec4f(a.xz, b.xz);
  let value = vec4f(a.yw, b.yw);
  let denominator = 1.0 + exp(-gate);
  let silu = gate / denominator;
  let sigmoid = 1.0 / denominator;
  let dv = da * silu;
  let dg = da * value * sigmoid * (1.0 + gate * (1.0 - sigmoid));
  gateUpGradient[2u * i] = packQuad(vec4f(dg.x, dv.x, dg.y, dv.y));
  gateUpGradient[2u * i + 1u] = packQuad(vec4f(dg.z, dv.z, dg.w, dv.w));
  activation[i] = packQuad(silu * value);
}
