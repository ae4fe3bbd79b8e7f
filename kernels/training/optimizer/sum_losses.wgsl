// Adds the losses of all rows to the step's sum, in one order. One workgroup.
//
// Appended by sum_losses.ts: the struct StepState. Workgroup memory: 1,024 bytes.

struct Params {
  rows: u32,
}

@group(0) @binding(0) var<storage, read> losses: array<f32>; // [rows]
@group(0) @binding(1) var<storage, read_write> state: StepState;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  for (var row = local; row < params.rows; row += 256u) { sum += losses[row]; }
  sums[local] = sum;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { sums[local] += sums[local + half]; }
  }
  workgroupBarrier();
  if (local == 0u) { state.lossSum += sums[0]; }
}
