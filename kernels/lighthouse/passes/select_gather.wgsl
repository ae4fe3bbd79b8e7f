// The gather within a selection: a workgroup copies the rows of the entries that it placed. Functions
// of gather.wgsl read and write a tensor, once for each; see merged_passes.ts.
//
// Appended by select.ts: `columns` and the functions of the tensors. Workgroup memory: threads * 8 + 4
// bytes.

@group(0) @binding(5) var<storage, read> base_q: array<vec4u>;        // [heads, N, columns]
@group(0) @binding(6) var<storage, read> base_k: array<vec4u>;        // the same
@group(0) @binding(7) var<storage, read> base_v: array<vec4u>;        // the same
@group(0) @binding(8) var<storage, read> pooled_q: array<vec4u>;      // [heads, P - N, columns]
@group(0) @binding(9) var<storage, read> pooled_k: array<vec4u>;      // the same
@group(0) @binding(10) var<storage, read> pooled_v: array<vec4u>;     // the same
@group(0) @binding(11) var<storage, read_write> rows_q: array<vec4u>; // [heads, S, columns]
@group(0) @binding(12) var<storage, read_write> rows_k: array<vec4u>; // the same
@group(0) @binding(13) var<storage, read_write> rows_v: array<vec4u>; // the same

var<workgroup> copies: array<vec2u, threads>; // entry and slot
var<workgroup> copyCount: atomic<u32>;

// Copies the rows of all threads' entries.
fn placed(local: u32, head: u32, entry: u32, slot: u32) {
  if (local == 0u) { atomicStore(&copyCount, 0u); }
  workgroupBarrier();
  if (slot != notSelected) { copies[atomicAdd(&copyCount, 1u)] = vec2u(entry, slot); }
  workgroupBarrier();
  let count = atomicLoad(&copyCount);
  let column = local % columns;
  for (var n = local / columns; n < count; n += 2u * (threads / columns)) {
    let one = copies[n];
    let two = copies[min(n + threads / columns, count - 1u)];
    // All loads come before the first store. Near the end two threads may write the same row twice.
    let q0 = readRow_q(head, one.x, column);
    let k0 = readRow_k(head, one.x, column);
    let v0 = readRow_v(head, one.x, column);
    let q1 = readRow_q(head, two.x, column);
    let k1 = readRow_k(head, two.x, column);
    let v1 = readRow_v(head, two.x, column);
    writeRow_q(head, one.y, column, q0);
    writeRow_k(head, one.y, column, k0);
    writeRow_v(head, one.y, column, v0);
    writeRow_q(head, two.y, column, q1);
    writeRow_k(head, two.y, column, k1);
    writeRow_v(head, two.y, column, v1);
  }
  workgroupBarrier();
}
