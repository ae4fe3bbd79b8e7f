// Sums of squares of a gradient, one for every 16,384 elements, and whether all of these are finite.
// The flag is read from the bits: a compiler may assume that no number is infinite.
//
// Workgroup memory: 2 KiB.

struct Params {
  quads: u32,     // elements of the gradient, in fours
  first: u32,     // of its sums among those of all gradients
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> gradient: array<vec4f>;    // [quads]
@group(0) @binding(1) var<storage, read_write> sums: array<vec2u>;  // bits of the sum, 1 if not finite
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> squares: array<f32, 256>;
var<workgroup> faults: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * params.gridWidth + group.x;
  var sum = 0.0;
  var fault = 0u;
  for (var i = 0u; i < 4096u; i += 256u) {
    let at = block * 4096u + i + local;
    if (at < params.quads) {
      let x = gradient[at];
      let exponents = bitcast<vec4u>(x) & vec4u(0x7f800000u);
      if (any(exponents == vec4u(0x7f800000u))) { fault = 1u; }
      sum += dot(x, x);
    }
  }
  squares[local] = sum;
  faults[local] = fault;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      squares[local] += squares[local + half];
      faults[local] |= faults[local + half];
    }
  }
  workgroupBarrier();
  if (local == 0u && block * 4096u < params.quads) {
    sums[params.first + block] = vec2u(bitcast<u32>(squares[0]), faults[0]);
  }
}
