// Next to nothing: what a pass and a dispatch cost by themselves. The store keeps it from being
// removed. Workgroup memory: none.

@group(0) @binding(0) var<storage, read_write> sink: array<u32>;

@compute @workgroup_size(1)
fn main() {
  sink[0] = 1u;
}
