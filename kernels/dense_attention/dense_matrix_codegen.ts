/**
 * WGSL of dense causal attention on subgroup matrices (tensor cores on NVIDIA), generated whole:
 * matrix values cannot be passed to functions, so the unrolled text is one function.
 *
 * One workgroup computes `subgroups * 16 * blocks` query rows of one head. A subgroup owns `blocks`
 * blocks of 16 rows and keeps their queries (left matrices) and outputs (f32 result matrices) in
 * registers. Keys and values pass through workgroup memory in tiles of `tileColumns` rows.
 *
 * Per 16 keys a subgroup multiplies Q·Kᵀ, stores the scores to a scratch of its own, lets each lane
 * take 8 of them through the exponential, writes the weights back as f16 and loads them as left
 * matrices for P·V. A matrix has no element access, so the scratch is the only way.
 *
 * **Optimistic reference.** Softmax needs any reference m ≤ about the row's maximum + 16 bits, not
 * the running maximum. m is the row's maximum over the 16 keys of its own diagonal block; the loop
 * has no maximum, vote or rescaling. When a row's sum reaches 60,000, beyond which an f16 weight may
 * have overflowed, m rises by log2(sum) - 10 and the workgroup starts over; restarts are counted.
 * Then the sum is about 2^10, so weights stay normal numbers of f16 for up to 2^24 equal keys.
 *
 * **Within a subgroup** the scratch is exchanged without a barrier. WGSL does not promise that
 * order; on devices whose subgroups run in lockstep it holds, and the checks of every run would
 * catch it where it does not.
 *
 * Workgroup memory: (2 * tileColumns * (d/8 + 1) + subgroups * 80) * 16 bytes. Rows are padded by 16
 * bytes: unpadded, loads of matrices meet in the same banks.
 *
 * @module
 */

/** How the kernel is tiled; every choice computes the same function. */
export interface MatrixTiling {
  /** Subgroups of 32 threads in a workgroup. */
  readonly subgroups: number;
  /** Blocks of 16 query rows that a subgroup owns. */
  readonly blocks: number;
  /** Keys of one tile; a multiple of 16, and divides the rows of the workgroup. */
  readonly tileColumns: number;
}

/** Query rows of one workgroup. */
export function matrixTileRows({ subgroups, blocks }: MatrixTiling): number {
  return subgroups * blocks * 16;
}

/** Bytes of workgroup memory. */
export function matrixWorkgroupBytes(tiling: MatrixTiling, headDim: number): number {
  return (2 * tiling.tileColumns * (headDim / 8 + 1) + tiling.subgroups * 80) * 16 + 4;
}

const LEFT = "subgroup_matrix_left<f16, 16, 16>";
const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
const RESULT = "subgroup_matrix_result<f32, 16, 16>";

/** The whole shader. Bindings: params, queries, keys, values, output, logSumExp, restarts. */
export function generateDenseMatrix(tiling: MatrixTiling, headDim: number): string {
  const { subgroups, blocks: blockCount, tileColumns } = tiling;
  const vectors = headDim / 8; // 16-byte vectors of a row
  const stride = vectors + 1;
  const threads = 32 * subgroups;
  const tileRows = matrixTileRows(tiling);
  const rowsPerSubgroup = 16 * blockCount;
  const blocks = range(blockCount);
  const depth = range(headDim / 16);
  const out: string[] = [];
  const emit = (...lines: string[]) => out.push(...lines);

  emit(`enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Branches depend on the subgroup, never on the lane.
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

struct Params {
  rows: u32,       // N
  tileCount: u32,  // query tiles in this dispatch
  firstTile: u32,  // index of the first of them
  scale: f32,      // softmax scale times log2(e): scores live in base 2
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4u>; // [heads, N, d] f16
@group(0) @binding(2) var<storage, read> keys: array<vec4u>;    // [heads, N, d] f16
@group(0) @binding(3) var<storage, read> values: array<vec4u>;  // [heads, N, d] f16
@group(0) @binding(4) var<storage, read_write> output: array<vec4u>;  // [heads, N, d] f16
@group(0) @binding(5) var<storage, read_write> logSumExp: array<f32>; // [heads, N], natural logarithm
@group(0) @binding(6) var<storage, read_write> restarts: atomic<u32>; // workgroups that started over

var<workgroup> keyStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> valueStage: array<vec4u, ${tileColumns * stride}>;
var<workgroup> scratch: array<vec4u, ${subgroups * 80}>; // 16 rows of 80 bytes a subgroup
var<workgroup> overflow: u32;

const MASKED = -1.0e30;
const LN2 = 0.6931471805599453;

fn loadQuery(headRow: u32, row: u32, column: u32) -> vec4u {
  if (row >= params.rows) { return vec4u(); }
  return queries[(headRow + row) * ${vectors}u + column];
}
fn loadKey(headRow: u32, row: u32, column: u32) -> vec4u {
  if (row >= params.rows) { return vec4u(); }
  return keys[(headRow + row) * ${vectors}u + column];
}
fn loadValue(headRow: u32, row: u32, column: u32) -> vec4u {
  if (row >= params.rows) { return vec4u(); }
  return values[(headRow + row) * ${vectors}u + column];
}

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
  let subgroup = local >> 5u;
  let row16 = local & 15u;        // the lane's row of a block
  let side = (local >> 4u) & 1u;  // and which 8 of its 16 columns
  let headRow = group.x * params.rows;
  // The heaviest tiles go first: they attend to the most keys.
  let tile = params.firstTile + params.tileCount - 1u - group.y;
  let q0 = tile * ${tileRows}u;
  let first = q0 + subgroup * ${rowsPerSubgroup}u;
  let scale = params.scale;
  let mine = subgroup * 80u;
  let at = mine + row16 * 5u;`);
  for (const b of blocks) {
    for (const c of depth) emit(`  var q${b}_${c}: ${LEFT};`, `  var o${b}_${c} = ${RESULT}();`);
    emit(`  var m${b} = MASKED; // reference, base 2`, `  var l${b} = vec4f(); // sums of weights`);
  }

  const stage = (target: string, load: string, row0: string) => {
    const units = tileColumns * vectors;
    for (const i of range(Math.ceil(units / threads))) {
      const body = `${target}[u / ${vectors}u * ${stride}u + u % ${vectors}u] = ` +
        `${load}(headRow, ${row0} + u / ${vectors}u, u % ${vectors}u);`;
      const guarded = (i + 1) * threads > units ? `if (u < ${units}u) { ${body} }` : body;
      emit(`    { let u = local + ${i * threads}u; ${guarded} }`);
    }
  };
  // Scores of a block into x<b>a, x<b>b: 8 of a row for each lane, masked above the diagonal.
  const takeScores = (b: number, scores: string, firstKey: string) =>
    emit(
      `    subgroupMatrixStore<row_major>(&scratch, mine, ${scores}, 5u);`,
      `    var x${b}a = bitcast<vec4f>(scratch[at + side * 2u]);`,
      `    var x${b}b = bitcast<vec4f>(scratch[at + side * 2u + 1u]);`,
      `    if (${firstKey} + 15u > first + ${16 * b}u) {`,
      `      let key = vec4u(${firstKey} + side * 8u) + vec4u(0u, 1u, 2u, 3u);`,
      `      let row = vec4u(first + ${16 * b}u + row16);`,
      `      x${b}a = select(vec4f(MASKED), x${b}a, key <= row);`,
      `      x${b}b = select(vec4f(MASKED), x${b}b, key + vec4u(4u) <= row);`,
      "    }",
    );

  emit(
    "",
    "  // Queries into registers, a piece of the tile at a time; beside them the keys of the same rows,",
    "  // whose scores give the reference.",
    `  for (var piece = 0u; piece < ${tileRows / tileColumns}u; piece++) {`,
  );
  stage("valueStage", "loadQuery", `q0 + piece * ${tileColumns}u`);
  stage("keyStage", "loadKey", `q0 + piece * ${tileColumns}u`);
  emit("    workgroupBarrier();");
  for (const b of blocks) {
    emit(
      `    { let r = subgroup * ${rowsPerSubgroup}u + ${16 * b}u;`,
      `    if (r / ${tileColumns}u == piece) {`,
      `    let base = r % ${tileColumns}u * ${stride}u;`,
      `    var s = ${RESULT}();`,
    );
    for (const c of depth) {
      emit(
        `    q${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&valueStage, base + ${
          2 * c
        }u, ${stride}u);`,
        `    s = subgroupMatrixMultiplyAccumulate(q${b}_${c}, subgroupMatrixLoad<${RIGHT}, col_major>(&keyStage, base + ${
          2 * c
        }u, ${stride}u), s);`,
      );
    }
    takeScores(b, "s", `(first + ${16 * b}u)`);
    emit(
      `    let y = max(x${b}a, x${b}b);`,
      `    let t = max(max(y.x, y.y), max(y.z, y.w)) * scale;`,
      `    m${b} = max(t, subgroupShuffleXor(t, 16u));`,
      "    } }",
    );
  }
  emit(
    "    workgroupBarrier();",
    "  }",
    "",
    `  let end = min(q0 + ${tileRows}u, params.rows);`,
    "  for (var attempt = 0u; attempt < 8u; attempt++) {",
  );
  for (const b of blocks) {
    for (const c of depth) emit(`  o${b}_${c} = ${RESULT}();`);
    emit(`  l${b} = vec4f();`);
  }
  emit(`  for (var k0 = 0u; k0 < end; k0 += ${tileColumns}u) {`, "    workgroupBarrier();");
  stage("keyStage", "loadKey", "k0");
  stage("valueStage", "loadValue", "k0");
  emit(
    "    workgroupBarrier();",
    `    if (k0 < first + ${rowsPerSubgroup}u) { // else beyond this subgroup's diagonal`,
    `    for (var c0 = 0u; c0 < ${tileColumns}u; c0 += 16u) {`,
    `    let key0 = k0 + c0; let base = c0 * ${stride}u;`,
  );
  for (const b of blocks) emit(`    var s${b} = ${RESULT}();`);
  for (const c of depth) {
    emit(
      `    { let k = subgroupMatrixLoad<${RIGHT}, col_major>(&keyStage, base + ${
        2 * c
      }u, ${stride}u);`,
    );
    for (const b of blocks) {
      emit(`    s${b} = subgroupMatrixMultiplyAccumulate(q${b}_${c}, k, s${b});`);
    }
    emit("    }");
  }
  for (const b of blocks) {
    takeScores(b, `s${b}`, "key0");
    emit(
      `    let p${b}a = exp2(fma(x${b}a, vec4f(scale), vec4f(-m${b})));`,
      `    let p${b}b = exp2(fma(x${b}b, vec4f(scale), vec4f(-m${b})));`,
      `    l${b} += p${b}a + p${b}b;`,
      `    scratch[at + side] = vec4u(pack2x16float(p${b}a.xy), pack2x16float(p${b}a.zw), ` +
        `pack2x16float(p${b}b.xy), pack2x16float(p${b}b.zw));`,
      `    let w${b} = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, mine, 5u);`,
    );
  }
  for (const c of depth) {
    emit(
      `    { let v = subgroupMatrixLoad<${RIGHT}, row_major>(&valueStage, base + ${
        2 * c
      }u, ${stride}u);`,
    );
    for (const b of blocks) {
      emit(`    o${b}_${c} = subgroupMatrixMultiplyAccumulate(w${b}, v, o${b}_${c});`);
    }
    emit("    }");
  }
  emit(
    "    } }",
    "  }",
    "  if (local == 0u) { overflow = 0u; }",
    "  workgroupBarrier();",
  );
  const total = (b: number) =>
    `var l = (l${b}.x + l${b}.y) + (l${b}.z + l${b}.w); l += subgroupShuffleXor(l, 16u);`;
  for (const b of blocks) {
    emit(
      `  { ${total(b)}`,
      `    if (!(l < 60000.0)) { overflow = 1u; m${b} += min(log2(l), 100.0) - 10.0; } }`,
    );
  }
  emit(
    "  if (workgroupUniformLoad(&overflow) == 0u) { break; }",
    "  if (local == 0u) { atomicAdd(&restarts, 1u); }",
    "  }",
  );
  for (const b of blocks) {
    emit(
      `  { ${total(b)}`,
      `    let inverse = 1.0 / l; let row = first + ${16 * b}u + row16;`,
      "    let live = row < params.rows;",
      `    if (live && side == 0u) { logSumExp[headRow + row] = (m${b} + log2(l)) * LN2; }`,
    );
    for (const c of depth) {
      emit(
        "    workgroupBarrier();",
        `    subgroupMatrixStore<row_major>(&scratch, mine, o${b}_${c}, 5u);`,
        "    workgroupBarrier();",
        "    if (live) {",
        "      let a = nearestHalf(bitcast<vec4f>(scratch[at + side * 2u]) * inverse);",
        "      let z = nearestHalf(bitcast<vec4f>(scratch[at + side * 2u + 1u]) * inverse);",
        `      output[(headRow + row) * ${vectors}u + ${2 * c}u + side] = vec4u(`,
        "        pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(z.xy), pack2x16float(z.zw));",
        "    }",
      );
    }
    emit("  }");
  }
  emit("}", "");
  return out.join("\n");
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
