/**
 * WGSL of the inner loop of attention on subgroup matrices, with its two costs switched on and off:
 * the exchange of scores through workgroup memory, and the staging of tiles.
 *
 * @module
 */

/** Which costs the loop has. */
export interface Costs {
  /** Scores become weights through workgroup memory; otherwise weights are constant. */
  readonly exchange: boolean;
  /** A tile is staged every four steps; otherwise once. */
  readonly staging: boolean;
}

/** Subgroups of a workgroup. */
export const SUBGROUPS = 8;
/** Rows of a tile: four steps of 16. */
export const TILE = 64;
/** Columns of all matrices of a row. */
export const DEPTH = 128;

const VECTORS = DEPTH / 8; // of 16 bytes in a row
const STRIDE = VECTORS + 1; // padded against bank conflicts
const MATRICES = Array.from({ length: DEPTH / 16 }, (_, c) => c);
const LEFT = "subgroup_matrix_left<f16, 16, 16>";
const RIGHT = "subgroup_matrix_right<f16, 16, 16>";
const RESULT = "subgroup_matrix_result<f32, 16, 16>";

const EXCHANGE = `
      subgroupMatrixStore<row_major>(&scratch, scratch0, s, 6u);
      let x = bitcast<vec4f>(scratch[scratch0 + (lane & 15u) * 6u + (lane >> 4u) * 2u]);
      let y = bitcast<vec4f>(scratch[scratch0 + (lane & 15u) * 6u + (lane >> 4u) * 2u + 1u]);
      let a = exp2(x * 2.0);
      let b = exp2(y * 2.0);
      scratch[scratch0 + (lane & 15u) * 3u + (lane >> 4u)] = vec4u(
        pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
      w = subgroupMatrixLoad<${LEFT}, row_major>(&scratch, scratch0, 3u);
      s = ${RESULT}();`;

function stageTile(row: string): string {
  const count = TILE * VECTORS / (32 * SUBGROUPS);
  const parts = Array.from({ length: count }, (_, i) => i);
  const at = (i: number) => `(local + ${i * 32 * SUBGROUPS}u)`;
  return `
    workgroupBarrier();
    ${parts.map((i) => `let part${i} = rows[(${row}) * ${VECTORS}u + ${at(i)}];`).join("\n    ")}
    ${
    parts.map((i) =>
      `tile[${at(i)} / ${VECTORS}u * ${STRIDE}u + ${at(i)} % ${VECTORS}u] = part${i};`
    ).join("\n    ")
  }
    workgroupBarrier();`;
}

/**
 * The shader: each subgroup multiplies 16 own rows with `params.steps` times 16 rows, twice: scores,
 * then weights times rows. Bindings: rows f16 `[tiles, 64, 128]`, weights f16 `[16, 16]`, results f32
 * `[workgroups, subgroups, 2, 16, 16]` (the first output matrix, then the sum of scores), params.
 */
export function shader({ exchange, staging }: Costs): string {
  const right = (order: string, c: number) =>
    `subgroupMatrixLoad<${RIGHT}, ${order}>(&tile, c0 * ${STRIDE}u + ${2 * c}u, ${STRIDE}u)`;
  return `enable f16;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

struct Params { steps: u32, tiles: u32 }
@group(0) @binding(0) var<storage, read_write> rows: array<vec4u>;
@group(0) @binding(1) var<storage, read> weights: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> results: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tile: array<vec4u, ${TILE * STRIDE}>;
var<workgroup> scratch: array<vec4u, ${SUBGROUPS * 96}>;

@compute @workgroup_size(${32 * SUBGROUPS})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
  let subgroup = local >> 5u;
  let lane = local & 31u;
  let scratch0 = subgroup * 96u;
  ${
    MATRICES.map((c) =>
      `let q${c} = subgroupMatrixLoad<${LEFT}, row_major>(&rows, ${2 * c}u, ${VECTORS}u);`
    ).join("\n  ")
  }
  ${MATRICES.map((c) => `var o${c} = ${RESULT}();`).join("\n  ")}
  var w = subgroupMatrixLoad<${LEFT}, row_major>(&weights, 0u, 2u);
  var s = ${RESULT}();
  ${staging ? "" : stageTile("0u")}
  for (var k0 = 0u; k0 < params.steps * 16u; k0 += ${TILE}u) {
    ${staging ? stageTile(`(group.x + k0 / ${TILE}u) % params.tiles * ${TILE}u`) : ""}
    // The end is not a constant, so that no compiler unrolls the loop into too many registers.
    for (var c0 = 0u; c0 < min(${TILE}u, params.steps * 16u); c0 += 16u) {
      ${
    MATRICES.map((c) => `s = subgroupMatrixMultiplyAccumulate(q${c}, ${right("col_major", c)}, s);`)
      .join("\n      ")
  }${exchange ? EXCHANGE : ""}
      ${
    MATRICES.map((c) =>
      `o${c} = subgroupMatrixMultiplyAccumulate(w, ${right("row_major", c)}, o${c});`
    ).join("\n      ")
  }
    }
  }
  // All results are needed, so that no product is left out.
  ${MATRICES.slice(1).map((c) => keepResult(`o${c}`)).join("\n  ")}
  let to = (group.x * ${SUBGROUPS}u + subgroup) * 512u;
  subgroupMatrixStore<row_major>(&results, to, o0, 16u);
  subgroupMatrixStore<row_major>(&results, to + 256u, s, 16u);
}
`;
}

/** Makes a result count, without the time of storing it: the branch is never taken. */
function keepResult(name: string): string {
  return `if (params.steps == 0xffffffffu) { subgroupMatrixStore<row_major>(&results, 0u, ${name}, 16u); }`;
}
