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

// Appended by pyramid.ts: sumColumns(), sumRows() and most<n>(), unrolled.

fn totalOf(place: Place, row: u32) -> u32 {
  return bitcast<u32>(partials[place.lane * rowsInFlight + row]);
}

// Sums the partials of the n-th row of this column's share (rows column, column + columns, …) and
// writes its score.
fn sumRow(place: Place, firstRow: u32, n: u32) -> f32 {
  let row = place.column + n * columns;
  if (row >= rowsInFlight) { return 0.0; }
  // row % columns is the column itself.
  let total = sumColumns(row * threads + place.lane * columns, place.column);
  storeScore(place, place.window * windowRows + firstRow + row, bitcast<u32>(total));
  return total;
}

fn putTotal(place: Place, n: u32, total: f32) {
  let row = place.column + n * columns;
  if (row < rowsInFlight) { partials[place.lane * rowsInFlight + row] = total; }
}
