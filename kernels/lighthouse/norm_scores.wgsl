// Norm scores (specification, section 3) of the rows that pyramid.wgsl has just read: squared norms
// of base rows and their maxima over the windows of every coarser level.
//
// Squared norms order as norms do; a square root would only round, and not alike on all devices.
// They are never negative, so their bits order as integers and NaN is above all numbers: a window
// with a NaN inside gets NaN, which selection ranks last.
//
// A thread holds the squares of its own column. Column sums go through workgroup memory, since they
// are a small part of the traffic and every device has it; all rows sum in column order, so that
// equal rows score equally wherever they stand.
// Workgroup memory: rowsInFlight * threads * 4 bytes (8 KiB for 8 rows and 256 threads).

@group(0) @binding(3) var<storage, read_write> scores: array<u32>; // f32 bits [heads, P]

var<workgroup> partials: array<f32, rowsInFlight * threads>;

// Columns are permuted by the row, so that neither the threads of a row (writing) nor the threads
// that each sum one row (reading) meet in a memory bank.
fn putPartial(place: Place, row: u32, value: f32) {
  let column = place.column ^ (row % columns);
  partials[row * threads + place.lane * columns + column] = value;
}

fn storeScore(place: Place, entry: u32, bits: u32) {
  if (place.live) { scores[place.head * params.entries + entry] = bits; }
}

fn totalOf(place: Place, row: u32) -> u32 {
  return bitcast<u32>(partials[place.lane * rowsInFlight + row]);
}

// Maximum of `count` row totals from `row` on.
fn most(place: Place, row: u32, count: u32) -> u32 {
  var bits = totalOf(place, row);
  for (var r = 1u; r < count; r++) { bits = max(bits, totalOf(place, row + r)); }
  return bits;
}

// Sums the partials of the rows in flight and writes their scores; leaves the totals in partials.
fn sumRows(place: Place, firstRow: u32) {
  workgroupBarrier();
  var totals: array<f32, rowsPerColumn>;
  for (var n = 0u; n < rowsPerColumn; n++) {
    let row = place.column + n * columns;
    if (row < rowsInFlight) {
      // row % columns is the column itself.
      totals[n] = sumColumns(row * threads + place.lane * columns, place.column);
      storeScore(place, place.window * windowRows + firstRow + row, bitcast<u32>(totals[n]));
    }
  }
  workgroupBarrier();
  for (var n = 0u; n < rowsPerColumn; n++) {
    let row = place.column + n * columns;
    if (row < rowsInFlight) { partials[place.lane * rowsInFlight + row] = totals[n]; }
  }
  workgroupBarrier();
}

// Scores of the entries of a level that lie within the rows in flight, `rows` base rows each.
fn storeMaxima(place: Place, firstEntry: u32, rows: u32) {
  for (var n = place.column; n < rowsInFlight / rows; n += columns) {
    storeScore(place, firstEntry + n, most(place, n * rows, rows));
  }
}
