// Entry point of a selection with several workgroups a tile, where tiles and heads are too few for a
// device: replaces main() of select.wgsl. All workgroups of a tile find the same parents; each places
// its share of the tile's entries: every parts-th of all levels.
//
// Appended by select.ts: `parts` and placed(). Workgroup memory of its own: that of placed().

@compute @workgroup_size(threads)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let unit = group.y * params.gridWidth + group.x;
  let tile = unit / parts;
  if (tile >= params.tiles) { return; }
  let scoresOfHead = group.z * params.entries;
  for (var level = params.levels - 1u; level > 0u; level--) {
    findParents(local, scoresOfHead + levelOffset(level) + tile * tileWidth(level), level);
  }
  var all = 0u;
  for (var level = 0u; level < params.levels; level++) { all += tileWidth(level); }
  for (var first = unit % parts; first < all; first += threads * parts) {
    var level = 0u;
    var i = first + local * parts;
    while (level + 1u < params.levels && i >= tileWidth(level)) {
      i -= tileWidth(level);
      level++;
    }
    let exists = i < tileWidth(level);
    var slot = notSelected;
    let entry = levelOffset(level) + tile * tileWidth(level) + i;
    if (exists) {
      if (level + 1u == params.levels || isParent(level + 1u, i >> params.logPooling)) {
        slot = tile * params.gatheredPerTile + position(level, i);
        indices[group.z * params.gathered + slot] = entry;
      }
      slots[scoresOfHead + entry] = slot;
    }
    placed(local, group.z, entry, slot);
  }
}
