// Draws the sequences of a step from a corpus of bytes: tokens, and as targets the bytes after them.
// Where a sequence begins is a hash of the seed, the step and the number of the sequence in it, so that
// a step's batch depends on nothing that was drawn before.
//
// Appended by sample_batch.ts: the struct StepState. No workgroup memory.

struct Params {
  seedHash: u32,  // pcg(seed)
  sequences: u32, // of the whole step
  context: u32,   // N
  starts: u32,    // places where a sequence may begin
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> corpus: array<u32>;          // four bytes a word
@group(0) @binding(1) var<storage, read> state: StepState;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;    // [sequences, N]
@group(0) @binding(3) var<storage, read_write> targets: array<u32>;   // [sequences, N]
@group(0) @binding(4) var<uniform> params: Params;

fn pcg(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn byteAt(i: u32) -> u32 { return (corpus[i / 4u] >> (i % 4u * 8u)) & 255u; }

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.sequences * params.context) { return; }
  let sequence = i / params.context;
  let draw = pcg(pcg(params.seedHash + state.attempts) + sequence);
  let at = draw % params.starts + i % params.context;
  tokens[i] = byteAt(at);
  targets[i] = byteAt(at + 1u);
}
