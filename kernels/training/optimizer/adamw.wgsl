// AdamW on f32 masters, as PyTorch computes it, four adjacent elements a thread:
//   g *= factor; m += (1 - β1) * (g - m); v += (1 - β2) * (g^2 - v);
//   p -= rate * decay * p; p -= rate * (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε).
// Gradients are zeroed, so that the next step adds to zeros. A skipped step does nothing else.
//
// Appended by adamw.ts: the struct StepState; where products read f16, Quad, packQuad and the binding of
// the copy. No workgroup memory.

struct Params {
  quads: u32,
  gridWidth: u32, // workgroups in x
  firstDecay: f32,  // β1
  secondDecay: f32, // β2
  epsilon: f32,
  weightDecay: f32,
}

@group(0) @binding(0) var<storage, read> state: StepState;
@group(0) @binding(1) var<storage, read_write> gradient: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> first: array<vec4f>;   // m
@group(0) @binding(3) var<storage, read_write> second: array<vec4f>;  // v
@group(0) @binding(4) var<storage, read_write> weights: array<vec4f>; // p

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.quads) { return; }
  let given = gradient[i];
  gradient[i] = vec4f();
  if (state.skip == 1u) { return; }
  let g = given * state.gradientFactor;
  let m = first[i] + (1.0 - params.firstDecay) * (g - first[i]);
  let v = second[i] + (1.0 - params.secondDecay) * (g * g - second[i]);
  first[i] = m;
  second[i] = v;
  let meanCorrected = m / (1.0 - state.firstPower);
  let root = sqrt(v / (1.0 - state.secondPower)) + params.epsilon;
  let old = weights[i];
  let decayed = old - state.learningRate * params.weightDecay * old;
  let p = decayed - state.learningRate * meanCorrected / root;
  weights[i] = p;
  storeCopy(i, p);
}
