// Gradient of RMSNorm, added to that of the residual stream or its first part. With y = x * r * g:
//   dx += r * (g * dy - x * r^2 * mean(g * dy * x)),  dg = sum over rows of dy * x * r.
//
// One workgroup walks consecutive rows and keeps its part of dg in registers; the parts are added in
// order by sum_partials. It also writes dx as the next products read it.
//
// Appended by rms_norm_backward.ts: constants (threads, columns: quads of a row; adds), Quad and packQuad
// of the copy; the binding of params; storeY, which writes y again where the plan wants it. Workgroup
// memory: threads * 4 bytes.

struct Params {
  rows: u32,
  rowsPerGroup: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;            // f32 [rows, columns]
@group(0) @binding(1) var<storage, read> gain: array<vec4f>;         // f32 [columns]
@group(0) @binding(2) var<storage, read> inverse: array<f32>;        // f32 [rows]: r
@group(0) @binding(3) var<storage, read> gradient: array<vec4f>;     // dy, f32 [rows, columns]
@group(0) @binding(4) var<storage, read_write> stream: array<vec4f>; // dx, f32 [rows, columns]
@group(0) @binding(5) var<storage, read_write> copy: array<Quad>;    // [rows, columns]
@group(0) @binding(6) var<storage, read_write> partials: array<vec4f>; // f32 [groups, columns]

const perThread = (columns + threads - 1u) / threads;

var<workgroup> sums: array<f32, threads>;

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  var gains: array<vec4f, perThread>;
  for (var i = 0u; i < perThread; i++) {
    let column = local + i * threads;
    if (column < columns) { gains[i] = gain[column]; }
  }
  var gainGradient: array<vec4f, perThread>;
  let first = group.x * params.rowsPerGroup;
  let end = min(first + params.rowsPerGroup, params.rows);
  for (var row = first; row < end; row++) {
    var mine: array<vec4f, perThread>;
    var scaled: array<vec4f, perThread>;
    let r = inverse[row];
    var sum = 0.0;
    for (var i = 0u; i < perThread; i++) {
      let column = local + i * threads;
      if (column < columns) {
        let dy = gradient[row * columns + column];
        mine[i] = x[row * columns + column] * r;
        scaled[i] = gains[i] * dy;
        gainGradient[i] += dy * mine[i];
        sum += dot(scaled[i], mine[i]);
      }
    }
    // The sum of the row before has been read by all threads.
    workgroupBarrier();
    sums[local] = sum;
    for (var half = threads / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (local < half) { sums[local] += sums[local + half]; }
    }
    workgroupBarrier();
    let mean = sums[0] / f32(4u * columns);
    for (var i = 0u; i < perThread; i++) {
      let column = local + i * threads;
      if (column < columns) {
        let at = row * columns + column;
        var dx = r * (scaled[i] - mine[i] * mean);
        if (adds) { dx += stream[at]; }
        stream[at] = dx;
        copy[at] = packQuad(dx);
        storeY(at, mine[i] * gains[i]);
      }
    }
  }
  for (var i = 0u; i < perThread; i++) {
    let column = local + i * threads;
    if (column < columns) { partials[group.x * columns + column] = gainGradient[i]; }
  }
}
