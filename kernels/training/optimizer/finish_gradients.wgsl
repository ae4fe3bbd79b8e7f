// Decides what a step does with its gradients: their norm, the factor that unscales and clips them, or
// that the step is skipped; the loss scale of the next step; and a line of the history. One workgroup.
//
// Appended by finish_gradients.ts: the struct StepState. Workgroup memory: 2 KiB.

struct Params {
  count: u32,          // sums of squares
  tokens: f32,         // of the whole step
  mostNorm: f32,       // gradients are clipped to this norm
  learningRate: f32,   // after warm-up
  warmup: f32,         // updates of the warm-up
  firstDecay: f32,     // β1
  secondDecay: f32,    // β2
  growthSteps: u32,    // clean steps until the loss scale is doubled; 0: never changed
  mostScale: f32,
  historySteps: u32,   // lines of the history
}

@group(0) @binding(0) var<storage, read> sums: array<vec2u>;             // bits of a sum, 1 if not finite
@group(0) @binding(1) var<storage, read_write> state: StepState;
@group(0) @binding(2) var<storage, read_write> history: array<vec4f>;    // loss, norm, scale, skipped
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> squares: array<f32, 256>;
var<workgroup> faults: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
  var sum = 0.0;
  var fault = 0u;
  for (var i = local; i < params.count; i += 256u) {
    let found = sums[i];
    sum += bitcast<f32>(found.x);
    fault |= found.y;
  }
  squares[local] = sum;
  faults[local] = fault;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      squares[local] += squares[local + half];
      faults[local] |= faults[local + half];
    }
  }
  workgroupBarrier();
  if (local > 0u) { return; }
  let scale = state.lossScale;
  let overflow = (bitcast<u32>(squares[0]) & 0x7f800000u) == 0x7f800000u;
  let skip = faults[0] != 0u || overflow;
  let unscale = 1.0 / scale / params.tokens;
  let norm = select(sqrt(squares[0]) * unscale, 0.0, skip);
  history[state.attempts % params.historySteps] =
    vec4f(state.lossSum / params.tokens, norm, scale, select(0.0, 1.0, skip));
  state.attempts += 1u;
  state.lossSum = 0.0;
  state.gradientNorm = norm;
  if (skip) {
    state.skip = 1u;
    state.skippedSteps += 1u;
    state.cleanSteps = 0u;
    if (params.growthSteps > 0u) { state.lossScale = max(scale * 0.5, 1.0); }
    return;
  }
  state.skip = 0u;
  state.updates += 1u;
  state.firstPower *= params.firstDecay;
  state.secondPower *= params.secondDecay;
  state.learningRate = params.learningRate * min(1.0, f32(state.updates) / params.warmup);
  state.gradientFactor = unscale * min(1.0, params.mostNorm / (norm + 1e-6));
  state.cleanSteps += 1u;
  if (params.growthSteps > 0u && state.cleanSteps >= params.growthSteps) {
    state.lossScale = min(scale * 2.0, params.mostScale);
    state.cleanSteps = 0u;
  }
}
