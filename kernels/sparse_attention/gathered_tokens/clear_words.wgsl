// Sets words to zero.

struct Params {
  words: u32, // how many
  width: u32, // threads of one layer of the grid
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let at = id.y * params.width + id.x;
  if (at < params.words) { words[at] = 0u; }
}
