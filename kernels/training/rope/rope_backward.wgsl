// Gradient of rotary positions: rotates pairs of each head's row back by its position, in place, two
// pairs a thread. Layer z of the grid is a part: queries, keys.
//
// Appended by rope.ts: constant rowQuads (quads of a row of a head); Quad, unpackQuad and packQuad of
// the storage. No workgroup memory.

struct Params {
  quads: u32,     // of one part
  context: u32,   // N
  partQuads: u32, // from one part to the next
  gridWidth: u32, // workgroups in x
}

@group(0) @binding(0) var<storage, read> table: array<vec4f>;         // cos, sin, cos, sin: [N, rowQuads]
@group(0) @binding(1) var<storage, read_write> gradient: array<Quad>; // [parts, heads, N, rowQuads]
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * params.gridWidth + group.x) * 256u + local;
  if (i >= params.quads) { return; }
  let at = group.z * params.partQuads + i;
  let turn = table[i / rowQuads % params.context * rowQuads + i % rowQuads];
  let pairs = unpackQuad(gradient[at]);
  let back = pairs.yxwz * turn.yyww * vec4f(1.0, -1.0, 1.0, -1.0);
  gradient[at] = packQuad(pairs * turn.xxzz + back);
}
