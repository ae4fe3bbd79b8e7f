/**
 * Scores of an index, by strips of queries: I[t, s] = Σ_j w[j, t] · max(0, q[j, t] · k[s]), f32.
 *
 * Shapes: index queries `[J, N, c]`, one index key a token `[N, c]`, weights `[J, N]` f32; scores
 * `[strip, stride]`. Scores of keys after a query are undefined.
 *
 * On matrix units the products are f16 with f32 sums, as in dense attention; without them f32. Sums
 * over index heads are f32, in the order of the heads.
 *
 * @module
 */
import code from "./index_scores.wgsl" with { type: "text" };
import { whyNoMatrixUnits } from "../../dense_attention/matrix/dense_matrix.ts";
import { generateFirstProduct } from "../../dense_attention/portable/first_product_codegen.ts";
import { chooseTiling } from "../../dense_attention/portable/portable_plan.ts";
import { generateConstants } from "../../dense_attention/portable/tile_codegen.ts";
import { layOut, type TileProgram } from "../../dense_attention/portable/tile_layout.ts";
import { tilingName } from "../../dense_attention/tilings.ts";
import {
  bindDispatch,
  type BufferSlice,
  type Dispatch,
  type DType,
  slice,
} from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { createPipeline, type PipelineSource } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import { range, wgsl } from "../../gpu/wgsl.ts";
import {
  generateMatrixScores,
  MATRIX_SCORE_TILE,
  whyNoMatrixScores,
} from "./index_matrix_codegen.ts";

const PARAMS = {
  rows: "u32",
  firstRow: "u32",
  endRow: "u32",
  keys: "u32",
  keyRows: "u32",
  stride: "u32",
  heads: "u32",
} as const;

/** What an index scores. */
export interface IndexScoresOptions {
  /** N. */
  readonly rows: number;
  /** J, index heads. */
  readonly heads: number;
  /** c, elements of an index query and key. */
  readonly dim: number;
  /** Storage of index queries and keys. */
  readonly dtype: DType;
  /** Storage of index keys. Default: `dtype`. */
  readonly keyType?: DType;
  /** Keys. Default: N. */
  readonly keys?: number;
  /** Tokens of a key. Default 1. */
  readonly keyRows?: number;
  /** `portable`: without matrix units. Default: with them where device and shape allow it. */
  readonly kernel?: "portable" | "matrix";
}

/** The kernel, before it is compiled. */
export interface IndexScoresPlan extends IndexScoresOptions {
  readonly keys: number;
  readonly keyRows: number;
  readonly kernel: "portable" | "matrix";
  /** The kernel and its tiling, in a few words. */
  readonly variant: string;
  readonly pipeline: PipelineSource;
  /** Queries and keys of a workgroup. */
  readonly tile: { readonly rows: number; readonly columns: number };
}

/** Rows that a buffer of keys has room for: whole tiles of any kernel. */
export function paddedKeys(keys: number): number {
  return Math.ceil(keys / 128) * 128;
}

/**
 * Plans the kernel.
 *
 * @throws {RangeError} when the device has no tiling for the dimension.
 */
export function planIndexScores(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: IndexScoresOptions,
): IndexScoresPlan {
  const { dim, dtype, keyType = dtype, heads, rows, keys = rows, keyRows = 1 } = options;
  const { capabilities } = gpu;
  const whole = { ...options, keys, keyRows };
  const unfit = options.kernel === "portable"
    ? "not asked for"
    : whyNoMatrixUnits(capabilities) ?? whyNoMatrixScores(capabilities, whole);
  if (!unfit) {
    return {
      ...whole,
      kernel: "matrix",
      variant: `matrix units ${MATRIX_SCORE_TILE.rows}/${MATRIX_SCORE_TILE.columns}`,
      tile: MATRIX_SCORE_TILE,
      pipeline: {
        label: `index scores on matrix units J=${heads} c=${dim}`,
        code: generateMatrixScores({ heads, dim }),
        bindings: ["uniform", "read", "read", "read", "read-write"],
      },
    };
  }
  const tiling = chooseTiling(gpu, dim);
  return {
    ...whole,
    kernel: "portable",
    variant: `portable ${tilingName(tiling)}`,
    tile: { rows: tiling.tileRows, columns: tiling.tileColumns },
    pipeline: {
      label: `index scores c=${dim} ${dtype}${keyType === dtype ? "" : `, keys ${keyType}`}`,
      code: code + generatePortable({ tiling, headDim: dim, dtype, group: 2 }, keyType),
      bindings: ["uniform", "read", "read", "read", "read-write"],
    },
  };
}

/** The generated half of `index_scores.wgsl`; the group makes keys a tensor of one head. */
function generatePortable(program: TileProgram, keyType: DType): string {
  const { tiling: { threadsX }, headDim } = program;
  const { rowsPerThread, columnsPerThread } = layOut(program.tiling, headDim);
  const rows = range(rowsPerThread);
  const groups = range(columnsPerThread / 4);
  const totals = rows.flatMap((r) => groups.map((g) => `t${r}_${g}`));
  const scores = generateFirstProduct(program, {
    name: "Scores",
    rows: "queries",
    columns: "keys",
    columnsType: keyType,
    into: "s",
  });
  const add = (r: number) => [
    `{ let weight = weights[headRow + min(row + ${r}u, params.rows - 1u)];`,
    ...groups.map((g) => `t${r}_${g} = fma(vec4f(weight), max(s${r}_${g}, vec4f()), t${r}_${g});`),
    "}",
  ];
  const store = (r: number) => [
    `if (row + ${r}u < params.endRow) {`,
    `  let at = (row + ${r}u - params.firstRow) * params.stride;`,
    ...groups.flatMap((g) =>
      range(4).map((e) => {
        const column = `c0 + tx + ${(4 * g + e) * threadsX}u`;
        const element = `t${r}_${g}.${"xyzw"[e]}`;
        return `  if (${column} < params.keys) { scores[at + ${column}] = ${element}; }`;
      })
    ),
    "}",
  ];
  return wgsl`
    ${generateConstants(program)}
    ${scores}
    ${totals.map((total) => `var<private> ${total}: vec4f;`)}
    fn clearTotals() {
      ${totals.map((total) => `${total} = vec4f();`)}
    }
    fn addHead() {
      let row = row0 + ty * ${rowsPerThread}u;
      ${rows.flatMap(add)}
    }
    fn storeTotals(c0: u32) {
      let row = row0 + ty * ${rowsPerThread}u;
      ${rows.flatMap(store)}
    }
  `;
}

/** The buffers of an index. */
export interface IndexBuffers {
  /** `[J, N, c]`. */
  readonly q: BufferSlice;
  /** `[keys, c]`, with room for {@linkcode paddedKeys}. */
  readonly k: BufferSlice;
  /** `[J, N]` f32. */
  readonly w: BufferSlice;
}

/** A strip of queries `firstRow … endRow - 1`. */
export interface Strip {
  readonly firstRow: number;
  readonly endRow: number;
}

/** Compiles the kernel. */
export async function createIndexScores(gpu: Gpu, plan: IndexScoresPlan): Promise<{
  /** The dispatch of a strip; `scores` is `[strip, stride]` f32. */
  readonly bind: (
    buffers: IndexBuffers & { readonly scores: BufferSlice; readonly stride: number },
    strip: Strip,
  ) => Dispatch;
  readonly destroy: () => void;
}> {
  const pipeline = await createPipeline(gpu, plan.pipeline);
  const uniforms: GPUBuffer[] = [];
  const { rows, heads, dim, keys, keyRows, tile } = plan;
  return {
    bind: ({ q, k, w, scores, stride }, { firstRow, endRow }) => {
      const uniform = createParams(gpu, PARAMS, {
        rows,
        firstRow,
        endRow,
        keys,
        keyRows,
        stride,
        heads,
      });
      uniforms.push(uniform);
      const seen = Math.min(keys, Math.floor((endRow - 1) / keyRows) + 1);
      return bindDispatch(gpu, pipeline, {
        slices: [slice(uniform), q, k, w, scores],
        workgroups: [
          Math.ceil(seen / tile.columns),
          Math.ceil((endRow - firstRow) / tile.rows),
          1,
        ],
        flops: 2 * dim * heads * (endRow - firstRow) * seen,
      });
    },
    destroy: () => uniforms.splice(0).forEach((uniform) => uniform.destroy()),
  };
}
