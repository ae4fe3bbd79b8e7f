// The f16 copy of a matrix of weights, transposed.
//
// A workgroup transposes a tile of 64 × 64 in workgroup memory, 8.25 KiB: rows of 32 words, each of two
// halves, 33 words apart. Threads read and write 4 adjacent halves.

struct Params {
  rows: u32,    // of the copy that is read
  columns: u32,
}

@group(0) @binding(0) var<storage, read> copy: array<vec2u>;
@group(0) @binding(1) var<storage, read_write> transposed: array<vec2u>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> tile: array<u32, 2112>;

fn half(row: u32, column: u32) -> u32 {
  return extractBits(tile[row * 33u + column / 2u], column % 2u * 16u, 16u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row0 = group.y * 64u;
  let column0 = group.x * 64u;
  let quad = local % 16u;
  for (var row = local / 16u; row < 64u; row += 16u) {
    let column = column0 + quad * 4u;
    if (row0 + row < params.rows && column < params.columns) {
      let halves = copy[((row0 + row) * params.columns + column) / 4u];
      tile[row * 33u + quad * 2u] = halves.x;
      tile[row * 33u + quad * 2u + 1u] = halves.y;
    }
  }
  workgroupBarrier();
  for (var column = local / 16u; column < 64u; column += 16u) {
    let row = quad * 4u;
    if (column0 + column < params.columns && row0 + row < params.rows) {
      transposed[((column0 + column) * params.rows + row0 + row) / 4u] = vec2u(
        half(row, column) | (half(row + 1u, column) << 16u),
        half(row + 2u, column) | (half(row + 3u, column) << 16u),
      );
    }
  }
}
