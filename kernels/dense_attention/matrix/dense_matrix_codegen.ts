/**
 * WGSL of dense causal attention on subgroup matrices (tensor cores on NVIDIA). Matrix values
 * cannot be passed to functions, so the generated shader is one unrolled function.
 *
 * One workgroup computes `subgroups * 16 * blocks` query rows of one head. A subgroup owns `blocks`
 * blocks of 16 rows and keeps their queries (left matrices) and outputs (f32 result matrices) in
 * registers. Keys and values are streamed through workgroup memory in tiles of `tileColumns` rows.
 *
 * For each 16 keys a subgroup multiplies Q·Kᵀ and stores the scores to its own scratch; each lane
 * applies the exponential to 8 of them and writes the weights back as f16; the subgroup then loads
 * the weights as left matrices for P·V. A matrix has no element access, so this exchange needs the
 * scratch, which the blocks use one after the other. Of several, the first half runs a few products
 * ahead, between which the others' exponentials are computed; so do halves of a step of 32 keys.
 *
 * **Optimistic reference.** Softmax works with any reference m, not only the running maximum:
 * weights are 2^(x - m), rounded to f16. m is the row's maximum over the first 16 keys and the 16
 * keys of its own block, plus log2(keys / 2^13) if the row attends to more than 2^13 keys; the loop
 * has no maximum, vote or rescaling. The sum of a row's weights then shows whether m was good: at
 * 60,000 or more a weight may have overflowed; below (keys)·2^-14 the weights that f16 rounds to
 * zero, each at most 2^-25, could together exceed 2^-11 of the sum, half a unit in the output's
 * last place. Outside this window m moves by log2(sum) - 10 and the workgroup restarts; restarts
 * are counted. The sum is then about 2^10, well inside the window for up to 2^23 keys. An infinite
 * sum does not show how far to move, and beyond 2^24 neighbouring values of m are too far apart: a
 * row with either sends its workgroup through the careful pass (`dense_matrix_careful_codegen.ts`).
 *
 * Workgroup memory: (2 * stages * tileColumns * (d/8 + 1) + subgroups * 96) * 16 bytes.
 * @module
 */
import { NEAREST_HALF } from "../../gpu/half.ts";
import { flatWgsl, range, wgsl } from "../../gpu/wgsl.ts";
import type { MatrixTiling } from "../tilings.ts";
import { carefulPass } from "./dense_matrix_careful_codegen.ts";
import {
  columnRows,
  type DenseMatrixOptions,
  type ForwardKernel,
  keyRowOf,
  maskScores,
  maskUnseen,
  matrixInKeys,
  matrixInQueries,
  scheduleStep,
} from "./dense_matrix_step_codegen.ts";
import {
  LANE_PLACES,
  LEFT,
  MATRIX_DIRECTIVES,
  multiplyAdd,
  readResults,
  readScores,
  RESULT,
  RIGHT,
  ROUNDED_RESULTS,
  storeResult,
} from "./matrix_exchange_codegen.ts";
import { matrixTileRows, SCRATCH, stageStride } from "./matrix_layout.ts";
import { streamRing, streamTiles } from "./row_staging_codegen.ts";

/** Minimum sum of weights per key that a row attends to. */
const LEAST_SUM = "0.00006103515625"; // 2^-14

/**
 * The whole shader. Bindings: params, queries, keys, values, then output and logSumExp or
 * squaredNorms, then restarts, then the walk's. Parameters are those of `dense_attention.wgsl`.
 */
export function generateDenseMatrix(tiling: MatrixTiling, options: DenseMatrixOptions): string {
  const { headDim, rowStride = 1, result = "rows", group = 1, inputs, walk = "" } = options;
  const { apart = false, near = apart, seesFirst = false, outputType = "f16" } = options;
  if (tiling.step && (tiling.stages !== 2 || tiling.tileColumns % tiling.step !== 0)) {
    throw new RangeError(
      `generate dense attention: steps of ${tiling.step} keys need a ring of whole steps`,
    );
  }
  const kernel: ForwardKernel = {
    ...tiling,
    headDim,
    rowStride,
    result,
    group,
    inputs,
    walk,
    apart,
    near,
    seesFirst,
    outputType,
    vectors: headDim / 8,
    stride: stageStride(headDim),
    threads: 32 * tiling.subgroups,
    blockNumbers: range(tiling.blocks),
    depth: range(headDim / 16),
  };
  return [
    declarations(kernel),
    openMain(kernel),
    references(kernel),
    attempts(kernel),
    carefulPass(kernel),
    ...kernel.blockNumbers.map((b) => storeBlock(kernel, b)),
    "}",
    result === "rows" && outputType === "f16" ? NEAREST_HALF : "",
    ...walk ? [walk] : [],
  ].join("\n");
}

// ---- Declarations and registers of a subgroup ----

function declarations(kernel: ForwardKernel): string {
  const { inputs, result, rowStride, stages, subgroups, tileColumns, stride, outputType } = kernel;
  const element = outputType === "f16" ? "vec4u" : "vec4f";
  const input = `var<storage, ${inputs === "read" ? "read" : "read_write"}>`;
  const stageSize = stages * tileColumns * stride;
  const results = result === "rows"
    ? [
      `var<storage, read_write> output: array<${element}>; // [heads, N, d] ${outputType}`,
      "var<storage, read_write> logSumExp: array<f32>; // [heads, N], natural logarithm",
    ]
    : ["var<storage, read_write> squaredNorms: array<f32>; // [heads, resultRows]"];
  const written = [
    ...results,
    "var<storage, read_write> restarts: atomic<u32>; // workgroups that started over",
  ];
  return wgsl`
    ${MATRIX_DIRECTIVES}
    struct Params {
      rows: u32,       // N
      tileCount: u32,  // query tiles in this dispatch
      firstTile: u32,  // index of the first of them
      scale: f32,      // softmax scale times log2(e): scores live in base 2
      sequences: u32,  // heads * ROW_STRIDE
      gridWidth: u32,  // sequences in one layer of the grid
      resultRows: u32, // rows of one head in the result
    }

    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) ${input} queries: array<vec4u>; // [heads, N * ROW_STRIDE, d] f16
    @group(0) @binding(2) ${input} keys: array<vec4u>;    // the same
    @group(0) @binding(3) ${input} values: array<vec4u>;  // the same
    ${written.map((line, i) => `@group(0) @binding(${4 + i}) ${line}`)}

    var<workgroup> keyStage: array<vec4u, ${stageSize}>;
    var<workgroup> valueStage: array<vec4u, ${stageSize}>;
    var<workgroup> scratch: array<vec4u, ${subgroups * SCRATCH}>;
    var<workgroup> startOver: u32;
    var<workgroup> astray: u32; // a reference that starting over cannot find

    const ROW_STRIDE = ${rowStride}u;
    const MASKED = -1.0e30;
    const LN2 = 0.6931471805599453;

  `;
}

/** Positions of the workgroup, subgroup and lane; queries and accumulators of each block. */
function openMain(kernel: ForwardKernel): string {
  const { threads, blocks, blockNumbers, depth, group } = kernel;
  const keyRow = group > 1
    ? [
      `let keyRow = head / ${group}u * params.rows * ROW_STRIDE + residue; // the same of its keys`,
    ]
    : [];
  // The last block may be partial: it then begins earlier and stores only its own rows.
  const placeBlock = (b: number) =>
    wgsl`
    let own${b} = first + ${16 * b}u;
    let block${b} = min(own${b}, params.rows - 16u);
  `;
  const loadQueries = (b: number) =>
    depth.map((c) => {
      const at = matrixInQueries(kernel, `block${b}`, c);
      return `let q${b}_${c} = subgroupMatrixLoad<${LEFT}, row_major>(&queries, ${at});`;
    });
  const declareOutputs = (b: number) =>
    wgsl`
    ${depth.map((c) => `var o${b}_${c} = ${RESULT}();`)}
    var m${b}: f32; // reference, base 2
    var l${b} = 0.0; // sum of weights
  `;
  return wgsl`
    @compute @workgroup_size(${threads})
    fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
      ${LANE_PLACES}
      let sequence = group.z * params.gridWidth + group.x;
      if (sequence >= params.sequences) { return; }
      let head = sequence / ROW_STRIDE;
      let residue = sequence % ROW_STRIDE;
      let headRow = head * params.rows * ROW_STRIDE + residue; // first row of this sequence
      ${keyRow}
      let result0 = head * params.resultRows + residue;        // where the result of that row goes
      // The heaviest tiles go first: they attend to the most keys.
      let tile = params.firstTile + params.tileCount - 1u - group.y;
      let q0 = tile * ${matrixTileRows(kernel)}u;
      let first = q0 + subgroup * ${16 * blocks}u;
      let scale = params.scale;
      let scratch0 = subgroup * ${SCRATCH}u;
      ${blockNumbers.map(placeBlock)}
      ${blockNumbers.flatMap(loadQueries)}
      ${blockNumbers.map(declareOutputs)}
  `;
}

// ---- References ----

/** Opens the walk; workgroups without keys of other tensors are done. */
function openPath({ walk, apart }: ForwardKernel): string[] {
  if (!walk) return [];
  return [
    "let path = openWalk(head, q0, 0u, params.rows);",
    ...apart
      ? [
        "if (path.rows == 0u) { return; }",
        "let column0Row = columnHead(head);",
        "let columnRows = columnCount();",
      ]
      : [],
  ];
}

/** Estimates the rows' maxima from the first keys and the keys of a block's own rows. */
function references(kernel: ForwardKernel): string {
  return flatWgsl`
    ${openPath(kernel)}

    // References: the first keys and those of a block's own rows stand for all.
    ${kernel.blockNumbers.map((b) => estimateReference(kernel, b))}
  `;
}

function estimateReference(kernel: ForwardKernel, b: number): string {
  // With a walk: its own first keys; masks of their tile may not fit rows that are not stored.
  const walked = (at: string) => `min(walkedRow(path, ${at}), ${columnRows(kernel)} - 16u)`;
  const first = kernel.walk ? walked("0u") : "0u";
  const own = kernel.near
    ? `min(nearKey(path, block${b}), ${columnRows(kernel)} - 16u)`
    : `block${b}`;
  const mask = (firstKey: string) =>
    kernel.walk && (firstKey === first || kernel.near)
      ? maskUnseen({ b, x: "x", firstKey, mask: "walkedMask(path, 0u)" })
      : maskScores({ b, x: "x", firstKey });
  // Own keys are enough where no row sees the first ones.
  const touched = kernel.near && !kernel.seesFirst
    ? `if (walkTouches(path, walkedMask(path, 0u), block${b}, ${first})) `
    : "";
  const maximumOver = (firstKey: string) => {
    const multiply = (c: number) => {
      const at = matrixInKeys(kernel, firstKey, c);
      const key = `subgroupMatrixLoad<${RIGHT}, col_major>(&keys, ${at})`;
      return multiplyAdd("s", `q${b}_${c}`, key);
    };
    return flatWgsl`
      ${firstKey === first ? touched : ""}{
        var s = ${RESULT}();
        ${kernel.depth.map(multiply)}
        ${storeResult("scratch0", "s")}
        ${readScores("scratch0", "x")}
        ${mask(firstKey)}
        let y = max(xa, xb);
        t = max(t, max(max(y.x, y.y), max(y.z, y.w)));
      }
    `;
  };
  return flatWgsl`
    {
      var t = MASKED;
      ${[first, own].map(maximumOver)}
      t = max(t, subgroupShuffleXor(t, 16u)) * scale;
      m${b} = t + max(log2(${keysOf(kernel, b)}) - 13.0, 0.0);
    }
  `;
}

/** The number of keys that a lane's row of block b attends to, or a few more. */
function keysOf({ walk, apart }: ForwardKernel, b: number): string {
  if (apart) return `f32(walkedKeysOf(path, block${b} + row16))`;
  return walk ? `f32(walkedKeys(block${b} + row16))` : `f32(block${b} + row16 + 1u)`;
}

// ---- The loop over keys, retried with better references ----

function attempts(kernel: ForwardKernel): string {
  const { blockNumbers, depth, stages, tileColumns, vectors, threads } = kernel;
  const clearBlock = (b: number) =>
    flatWgsl`
    ${depth.map((c) => `o${b}_${c} = ${RESULT}();`)}
    l${b} = 0.0;
  `;
  const stream = stages === 1 ? streamTiles : streamRing;
  const end = kernel.walk ? "path.rows" : `min(q0 + ${matrixTileRows(kernel)}u, params.rows)`;
  const loop = stream({
    counter: "k0",
    condition: "k0 < end",
    tileColumns,
    stepRows: kernel.step,
    tensors: [["keys", "keyStage"], ["values", "valueStage"]],
    vectors,
    threads,
    // Rows past the end are masked, so any row may stand in for them.
    row: (row) =>
      kernel.apart
        ? `column0Row + min(${row}, columnRows - 1u)`
        : `${keyRowOf(kernel)} + min(${row}, params.rows - 1u) * ROW_STRIDE`,
    place: kernel.walk ? (position) => `walkedRow(path, ${position})` : undefined,
    step: (rows) => scheduleStep(kernel, rows).join("\n"),
  });
  // The number of attempts is unknown at compile time, which prevents unrolling.
  return flatWgsl`

    let end = ${end};
    for (var attempt = 0u; attempt < min(8u, params.rows); attempt++) {
      ${blockNumbers.map(clearBlock)}
      var k0 = 0u;
      ${loop}
      if (local == 0u) { startOver = 0u; astray = 0u; }
      workgroupBarrier();
      ${blockNumbers.map((b) => judgeReference(kernel, b))}
      if (workgroupUniformLoad(&startOver) == 0u) { break; }
      if (local == 0u) { atomicAdd(&restarts, 1u); }
      if (workgroupUniformLoad(&astray) == 1u) { break; }
    }
  `;
}

/** The variable `l`: the sum of all weights of a row of block b. */
function totalOf(b: number): string {
  return `var l = l${b} + subgroupShuffleXor(l${b}, 16u);`;
}

/** Moves the references of block b and restarts if a sum is outside its window. */
function judgeReference(kernel: ForwardKernel, b: number): string {
  // A walk need not hold the keys of rows that another workgroup stores.
  const stored = kernel.walk ? `block${b} + row16 >= own${b} && ` : "";
  const outside = "!(l < 60000.0) || l < least";
  return flatWgsl`
    { ${totalOf(b)}
      let least = ${keysOf(kernel, b)} * ${LEAST_SUM};
      if (${stored ? `${stored}(${outside})` : outside}) {
        startOver = 1u; m${b} += clamp(log2(l), -128.0, 128.0) - 10.0;
        if (!(l < 3.0e38) || attempt > 0u) { astray = 1u; }
    } }
  `;
}

// ---- Results ----

/** Normalises the outputs of block b and stores the requested result. */
function storeBlock(kernel: ForwardKernel, b: number): string {
  return kernel.result === "rows" ? storeRows(kernel, b) : storeSquaredNorms(kernel, b);
}

/** The start of both results: the row, whether the block owns it, and 1 / its sum. */
function openResults(b: number): string {
  return flatWgsl`
    { ${totalOf(b)}
      let inverse = 1.0 / l; let row = block${b} + row16;
      let live = row >= own${b} && row < params.rows;
  `;
}

/** Reads the c-th output matrix of block b back, 8 elements of a row per lane, for `use`. */
function readOutput(
  { b, c, use }: { readonly b: number; readonly c: number; readonly use: string },
) {
  return flatWgsl`
    workgroupBarrier();
    ${storeResult("scratch0", `o${b}_${c}`)}
    workgroupBarrier();
    {
      ${readResults("scratch0", "inverse")}
      ${use}
    }
  `;
}

function storeRows({ depth, vectors, outputType }: ForwardKernel, b: number): string {
  const place = (c: number) => `(result0 + row) * ${vectors}u + ${2 * c}u + side`;
  const store = (c: number) =>
    outputType === "f16"
      ? flatWgsl`
    ${ROUNDED_RESULTS}
    if (live) { output[${place(c)}] = rounded; }
  `
      : `if (live) { let to = 2u * (${place(c)}); output[to] = a; output[to + 1u] = z; }`;
  return flatWgsl`
    ${openResults(b)}
      if (live && side == 0u) { logSumExp[result0 + row] = (m${b} + log2(l)) * LN2; }
      ${depth.map((c) => readOutput({ b, c, use: store(c) }))}
    }
  `;
}

function storeSquaredNorms({ depth }: ForwardKernel, b: number): string {
  const use = "norm += dot(a, a) + dot(z, z);";
  return flatWgsl`
    ${openResults(b)}
      var norm = 0.0;
      ${depth.map((c) => readOutput({ b, c, use }))}
      norm += subgroupShuffleXor(norm, 16u);
      if (live && side == 0u) { squaredNorms[result0 + row * ROW_STRIDE] = norm; }
    }
  `;
}
