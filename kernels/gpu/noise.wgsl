// Multiplies every element of one block of a tensor [heads, rows, dim] by 1 + amplitude * x, x seeded
// from pcg-sum4. One invocation rewrites one 32-bit word: two f16 elements or one f32 element.

struct Params {
  seedHash: u32,     // pcg(seed)
  firstElement: u32, // of this block in the whole tensor
  words: u32,        // 32-bit words in this block
  stride: u32,       // invocations per grid row
  half: u32,         // 1: f16, 0: f32
  amplitude: f32,
}

@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn factor(element: u32) -> f32 {
  let a = pcg(params.seedHash + 2u * element);
  let c = pcg(params.seedHash + 2u * element + 1u);
  let sum = (a & 65535u) + (a >> 16u) + (c & 65535u) + (c >> 16u);
  return 1.0 + params.amplitude * (f32(i32(sum) - 131070) / 32768.0);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let word = id.y * params.stride + id.x;
  if (word >= params.words) { return; }
  if (params.half == 1u) {
    let element = params.firstElement + 2u * word;
    let x = unpack2x16float(data[word]) * vec2f(factor(element), factor(element + 1u));
    data[word] = pack2x16float(nearestHalf(x.xyxy).xy);
  } else {
    let x = bitcast<f32>(data[word]) * factor(params.firstElement + word);
    data[word] = bitcast<u32>(x);
  }
}
