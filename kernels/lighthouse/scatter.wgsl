// Scatter (specification, section 5) in gather form: every base row looks up which selected entry of
// each level reaches it and adds those rows, so there are no atomics and one order of summation.
//
// Entry i of level l with c = p^l reaches base rows c*i + c - 1 … c*i + 2c - 2: row j is reached by
// entry (j + 1) / c - 1. Rows with equal (j + 1) / p share all entries above level 0, so a thread
// takes rowsPerThread (a divisor of p) such rows and one 16-byte column, and sums the shared part once.
// Sum of a row: level 0 + (level 1 + level 2 + …), in f32, rounded once; 0 where nothing reaches.
//
// Appended by scatter.ts: constants (threads, columns, rowsPerThread), the element type's Cell
// functions, and sumRows(), unrolled over levels and rows. No workgroup memory.

struct Params {
  context: u32,    // N
  entries: u32,    // P
  gathered: u32,   // S
  units: u32,      // N / rowsPerThread + 1 groups of rows: the first lacks its first row
  gridWidth: u32,  // workgroups in x
}

@group(0) @binding(0) var<storage, read> attended: array<vec4u>;     // [heads, S, columns]
@group(0) @binding(1) var<storage, read> slots: array<u32>;          // [heads, P]
@group(0) @binding(2) var<storage, read_write> output: array<vec4u>; // [heads, N, columns]
@group(0) @binding(3) var<uniform> params: Params;

const notSelected = 0xffffffffu;

// Slot of the entry before `next` of the level that starts at `offset`.
fn slotBefore(head: u32, offset: u32, next: u32) -> u32 {
  if (next == 0u) { return notSelected; }
  return slots[head * params.entries + offset + next - 1u];
}

fn rowAt(head: u32, slot: u32, column: u32) -> Cell {
  if (slot == notSelected) { return Cell(); }
  return unpackCell(attended[(head * params.gathered + slot) * columns + column]);
}

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * params.gridWidth + group.x) * (threads / columns);
  let unit = first + local / columns;
  if (unit >= params.units) { return; }
  sumRows(group.z, unit, local % columns);
}
