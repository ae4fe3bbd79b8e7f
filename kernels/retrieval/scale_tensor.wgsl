// Multiplies the elements of one block of a tensor by a factor, in place: one 32-bit word for each
// invocation, two f16 elements or one f32 element.

struct Params {
  words: u32,
  stride: u32, // invocations per grid row
  half: u32,   // 1: f16, 0: f32
  factor: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let word = id.y * params.stride + id.x;
  if (word >= params.words) { return; }
  if (params.half == 1u) {
    data[word] = pack2x16float(unpack2x16float(data[word]) * params.factor);
  } else {
    data[word] = bitcast<u32>(bitcast<f32>(data[word]) * params.factor);
  }
}
