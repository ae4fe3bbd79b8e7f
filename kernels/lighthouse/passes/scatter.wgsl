// Scatter in gather form (specification, sections 5 and 6): every base row looks up which selected
// entry of each level covers it and adds those rows, so there are no atomics and one order of
// summation. Which base rows entry i of level l covers, with c = p^l, is one of two rules:
//
//   forward   c*i + c - 1 … c*i + 2c - 2: row j is covered by entry (j + 1) / c - 1, weight 1.
//   gradient  c*i … c*i + c - 1, the rows it is the mean of: row j by entry j / c, weight 1 / c.
//
// So with shift = 1 or 0, position n = j + shift and entry n / c - shift. Rows of equal n / p share
// all entries above level 0: a thread takes rowsPerThread (a divisor of p) such rows and one 16-byte
// column, and sums the shared part once.
// Sum of a row: level 0 + (level 1 + level 2 + …), in f32, rounded once; 0 where nothing covers.
//
// Appended by scatter.ts: constants (threads, columns, rowsPerThread, shift), the element type's Cell
// functions, loadCell(), and sumRows(), unrolled over levels and rows. No workgroup memory.

struct Params {
  context: u32,    // N
  entries: u32,    // P
  gathered: u32,   // S
  units: u32,      // N / rowsPerThread + shift groups of positions: with a shift, the first lacks its
                   // first row and the last has only that
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read> gathered: array<vec4u>;     // [heads, S, columns], gradients f32
@group(0) @binding(1) var<storage, read> slots: array<u32>;          // [heads, P]
@group(0) @binding(2) var<storage, read_write> output: array<vec4u>; // [heads, N, columns]
@group(0) @binding(3) var<uniform> params: Params;

const notSelected = 0xffffffffu;

// Slot of the entry at shifted index `next` of the level that starts at `offset`.
fn slotAt(head: u32, offset: u32, next: u32) -> u32 {
  if (next < shift) { return notSelected; }
  return slots[head * params.entries + offset + next - shift];
}

fn rowAt(head: u32, slot: u32, column: u32) -> Cell {
  if (slot == notSelected) { return Cell(); }
  return loadCell((head * params.gathered + slot) * columns + column);
}

// Of position `next`; only the unit past the last row has positions without one.
fn store(head: u32, next: u32, column: u32, cell: Cell) {
  if (next >= shift && next < params.context + shift) {
    output[(head * params.context + next - shift) * columns + column] = packCell(cell);
  }
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns);
  let unit = first + local / columns;
  if (unit >= params.units) { return; }
  sumRows(group.z, unit, local % columns);
}
