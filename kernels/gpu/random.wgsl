// Fills one block of a tensor [heads, rows, dim] with the counter-based generator pcg-sum4.
// One invocation writes one 32-bit word: two f16 elements or one f32 element.
// Element (h, n, c) takes counter i = (n * allHeads + h) * dim + c, the order [rows, heads, dim]
// in which the golden inputs are defined.

struct Params {
  seedHash: u32,   // pcg(seed)
  firstHead: u32,
  allHeads: u32,
  rows: u32,
  dim: u32,
  words: u32,      // 32-bit words in this block
  stride: u32,     // invocations per grid row
  half: u32,       // 1: f16, 0: f32
}

@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

// The generator's value times 32768: a sum of four uniform 16-bit numbers, centred.
fn centred(i: u32) -> i32 {
  let a = pcg(params.seedHash + 2u * i);
  let c = pcg(params.seedHash + 2u * i + 1u);
  return i32((a & 65535u) + (a >> 16u) + (c & 65535u) + (c >> 16u)) - 131070;
}

// Bits of the f16 nearest to m / 32768, ties to even. Integer arithmetic alone, since WGSL leaves
// the rounding of conversions (and subnormals) to the device. m / 32768 is normal except for m = ±1.
fn halfBits(m: i32) -> u32 {
  let sign = select(0u, 0x8000u, m < 0);
  let magnitude = u32(abs(m));
  if (magnitude == 0u) { return 0u; }
  if (magnitude == 1u) { return sign | 0x0200u; }
  let bits = bitcast<u32>(f32(magnitude)); // exact: magnitude < 2^24
  let rounded = bits + 0xfffu + ((bits >> 13u) & 1u);
  // f32 exponent of m is 15 above that of m / 32768; f16 bias is 15, f32 bias 127.
  return sign | ((rounded >> 13u) - ((127u) << 10u));
}

fn counter(element: u32) -> u32 {
  let c = element % params.dim;
  let row = element / params.dim;
  let n = row % params.rows;
  let h = row / params.rows + params.firstHead;
  return (n * params.allHeads + h) * params.dim + c;
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let word = id.y * params.stride + id.x;
  if (word >= params.words) { return; }
  if (params.half == 1u) {
    let low = halfBits(centred(counter(2u * word)));
    let high = halfBits(centred(counter(2u * word + 1u)));
    data[word] = low | (high << 16u);
  } else {
    data[word] = bitcast<u32>(f32(centred(counter(word))) * (1.0 / 32768.0));
  }
}
