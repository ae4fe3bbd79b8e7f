// RMSNorm: y = x * r * g with r = 1 / sqrt(mean(x^2) + eps), one row a workgroup.
//
// Appended by rms_norm.ts: constants (threads, columns: quads of a row), Quad and packQuad of the
// storage of y. Workgroup memory: threads * 4 bytes.

struct Params {
  rows: u32,
  gridWidth: u32, // workgroups in x
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // f32 [rows, columns]
@group(0) @binding(1) var<storage, read> gain: array<vec4f>;     // f32 [columns]
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;   // [rows, columns]
@group(0) @binding(3) var<storage, read_write> inverse: array<f32>; // f32 [rows]: r, for the backward pass
@group(0) @binding(4) var<uniform> params: Params;

const perThread = (columns + threads - 1u) / threads;

var<workgroup> sums: array<f32, threads>;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.y * params.gridWidth + group.x;
  if (row >= params.rows) { return; }
  var mine: array<vec4f, perThread>;
  var sum = 0.0;
  for (var i = 0u; i < perThread; i++) {
    let column = local + i * threads;
    if (column < columns) {
      mine[i] = x[row * columns + column];
      sum += dot(mine[i], mine[i]);
    }
  }
  sums[local] = sum;
  for (var half = threads / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { sums[local] += sums[local + half]; }
  }
  workgroupBarrier();
  let r = 1.0 / sqrt(sums[0] / f32(4u * columns) + params.epsilon);
  if (local == 0u) { inverse[row] = r; }
  for (var i = 0u; i < perThread; i++) {
    let column = local + i * threads;
    if (column < columns) { y[row * columns + column] = packQuad(mine[i] * r * gain[column]); }
  }
}
