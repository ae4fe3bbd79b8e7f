// Multiply-adds in registers: the arithmetic ceiling. Each invocation runs eight independent chains
// of vec4 fused multiply-adds, so that latency is hidden without help from other invocations, and
// stores their sum, so that nothing can be removed. No memory is read in the loop.
// The generator appends `alias Real` (f32 or f16) and `fn block`, one unrolled trip of the loop.
// Workgroup memory: none.

struct Params {
  trips: u32,    // trips of the loop, each of FMAS_PER_TRIP vec4 fused multiply-adds
  factor: f32,   // below 1, so that the chains stay bounded
  term: f32,
  pad: u32,
}

struct Chains {
  a: vec4<Real>, b: vec4<Real>, c: vec4<Real>, d: vec4<Real>,
  e: vec4<Real>, f: vec4<Real>, g: vec4<Real>, h: vec4<Real>,
}

@group(0) @binding(0) var<storage, read_write> sink: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = vec4<Real>(Real(params.factor));
  let term = vec4<Real>(Real(params.term));
  let start = Real(f32(id.x & 255u) * 0.00390625);
  var x = Chains(
    vec4<Real>(start), vec4<Real>(start + Real(1)), vec4<Real>(start + Real(2)),
    vec4<Real>(start + Real(3)), vec4<Real>(start + Real(4)), vec4<Real>(start + Real(5)),
    vec4<Real>(start + Real(6)), vec4<Real>(start + Real(7)));
  for (var trip = 0u; trip < params.trips; trip++) {
    x = block(x, factor, term);
  }
  let sum = x.a + x.b + x.c + x.d + x.e + x.f + x.g + x.h;
  sink[id.x] = f32(sum.x + sum.y + sum.z + sum.w);
}
