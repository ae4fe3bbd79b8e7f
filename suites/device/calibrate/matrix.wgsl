// Matrix multiply-accumulates in registers: the ceiling of the matrix units. Each subgroup keeps
// four independent accumulators fed by two left and two right tiles, and stores them at the end.
// The generator puts the `enable` directives on the first line and appends the aliases Left, Right
// and Result with the consts ROWS, COLUMNS, TILE (ROWS · COLUMNS) and GROUP (invocations).
// Workgroup memory: none.

struct Params {
  trips: u32,      // trips of the loop, each of 16 multiply-accumulates
  subgroups: u32,  // subgroups in the whole grid, for the bounds of the store
  pad0: u32,
  pad1: u32,
}

@group(0) @binding(0) var<storage, read> tiles: array<Element>;
@group(0) @binding(1) var<storage, read_write> sink: array<Total>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_size) size: u32,
) {
  let a0 = subgroupMatrixLoad<Left, row_major>(&tiles, 0u, DEPTH);
  let a1 = subgroupMatrixLoad<Left, row_major>(&tiles, ROWS * DEPTH, DEPTH);
  let b0 = subgroupMatrixLoad<Right, row_major>(&tiles, 0u, COLUMNS);
  let b1 = subgroupMatrixLoad<Right, row_major>(&tiles, COLUMNS * DEPTH, COLUMNS);
  var c00 = Result();
  var c01 = Result();
  var c10 = Result();
  var c11 = Result();
  for (var trip = 0u; trip < params.trips; trip++) {
    c00 = subgroupMatrixMultiplyAccumulate(a0, b0, c00);
    c01 = subgroupMatrixMultiplyAccumulate(a0, b1, c01);
    c10 = subgroupMatrixMultiplyAccumulate(a1, b0, c10);
    c11 = subgroupMatrixMultiplyAccumulate(a1, b1, c11);
    c00 = subgroupMatrixMultiplyAccumulate(a1, b1, c00);
    c01 = subgroupMatrixMultiplyAccumulate(a1, b0, c01);
    c10 = subgroupMatrixMultiplyAccumulate(a0, b1, c10);
    c11 = subgroupMatrixMultiplyAccumulate(a0, b0, c11);
    c00 = subgroupMatrixMultiplyAccumulate(a0, b0, c00);
    c01 = subgroupMatrixMultiplyAccumulate(a0, b1, c01);
    c10 = subgroupMatrixMultiplyAccumulate(a1, b0, c10);
    c11 = subgroupMatrixMultiplyAccumulate(a1, b1, c11);
    c00 = subgroupMatrixMultiplyAccumulate(a1, b1, c00);
    c01 = subgroupMatrixMultiplyAccumulate(a1, b0, c01);
    c10 = subgroupMatrixMultiplyAccumulate(a0, b1, c10);
    c11 = subgroupMatrixMultiplyAccumulate(a0, b0, c11);
  }
  // Workgroups share a ring of output tiles: only the presence of the store matters.
  let slot = ((group.x * (GROUP / size) + local / size) % params.subgroups) * 4u * TILE;
  subgroupMatrixStore<row_major>(&sink, slot, c00, COLUMNS);
  subgroupMatrixStore<row_major>(&sink, slot + TILE, c01, COLUMNS);
  subgroupMatrixStore<row_major>(&sink, slot + 2u * TILE, c10, COLUMNS);
  subgroupMatrixStore<row_major>(&sink, slot + 3u * TILE, c11, COLUMNS);
}
