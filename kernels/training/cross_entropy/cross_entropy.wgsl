// Cross-entropy of logits against targets, and its gradient times the loss scale:
//   loss = log(sum of e^x) - x[target],  dx = (e^x / sum - onehot(target)) * scale.
//
// `threads` threads share a row, a workgroup takes 256 / threads rows. Each thread keeps a maximum and
// a sum of its elements relative to it; pairs of both are joined in a tree. Short rows stay in
// registers. Of long ones a thread joins maximum and sum as it goes, so that it reads them twice alone:
// for these, and for the gradient.
//
// Appended by cross_entropy.ts: constants (threads, columns: quads of a row), the struct StepState,
// Quad and packQuad of the storage of dx, and the functions reduceRow and quadAt. Workgroup memory: 2 KiB.

struct Params {
  rows: u32,
  firstRow: u32,  // of the targets and losses that these rows begin at
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> logits: array<vec4f>;          // f32 [rows, columns]
@group(0) @binding(1) var<storage, read> targets: array<u32>;           // [all rows]
@group(0) @binding(2) var<storage, read> state: StepState;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;      // f32 [all rows]
@group(0) @binding(4) var<storage, read_write> gradient: array<Quad>;   // [rows, columns]
@group(0) @binding(5) var<uniform> params: Params;

const perThread = (columns + threads - 1u) / threads;
const LEAST = -3.0e38;

var<workgroup> maxima: array<f32, 256>;
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % threads;
  let row = (group.y * params.gridWidth + group.x) * (256u / threads) + local / threads;
  let isRow = row < params.rows;
  let first = min(row, params.rows - 1u) * columns;
  let own = reduceRow(first, lane);
  maxima[local] = own.x;
  sums[local] = own.y;
  for (var half = threads / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let other = maxima[local + half];
      let joined = max(maxima[local], other);
      sums[local] = sums[local] * exp(maxima[local] - joined) + sums[local + half] * exp(other - joined);
      maxima[local] = joined;
    }
  }
  workgroupBarrier();
  let most = maxima[local - lane];
  let sum = sums[local - lane];
  let scale = state.lossScale;
  let target_ = targets[params.firstRow + min(row, params.rows - 1u)];
  if (isRow && lane == 0u) {
    let chosen = logits[first + min(target_ / 4u, columns - 1u)][target_ % 4u];
    losses[params.firstRow + row] = log(sum) + most - chosen;
  }
  for (var i = 0u; i < perThread; i++) {
    let column = lane + i * threads;
    if (isRow && column < columns) {
      let at = vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u);
      let onehot = select(vec4f(), vec4f(1.0), at == vec4u(target_));
      let weight = exp(quadAt(first, lane, i) - most) / sum;
      gradient[first + column] = packQuad((weight - onehot) * scale);
    }
  }
}
