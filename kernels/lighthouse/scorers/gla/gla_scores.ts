/**
 * gla scores: squared norms of gated linear attention in both directions, linear in the context.
 *
 * Shapes: Q, K, V `[heads, N, d]`; log gates f32 `[heads, N]`, at most 0; scores f32 `[heads, P]`,
 * of which the first N of each head are written (`score_maxima.ts` adds the rest). In each residue
 * class modulo the dilation: S_t = exp(g_t) S_{t-1} + k_t v_tᵀ, o_t = q_t S_t / √d. A query score
 * is ‖o(Q,K,V)‖², a key score ‖o(K,Q,V)‖²: squares have the same order as norms, without the
 * rounding of a square root.
 *
 * Three passes for each direction, over chunks of C rows of a sequence: the contribution of each
 * chunk to the state (gla_states.wgsl), the state before each chunk (gla_scan.wgsl), squared norms
 * of the outputs (gla_scores.wgsl). Outputs are never stored. States take d² floats per chunk: one
 * segment of chunks is held at a time, within `scratchBytes`, and the state is carried from segment
 * to segment. Scores do not depend on how chunks are split into segments.
 *
 * On matrix units (`gla_matrix_codegen.ts`) both directions share each pass, and one walks along
 * each sequence and stores the state before each chunk.
 *
 * Numerics: f16 or f32 storage, all arithmetic in f32, no atomics; on matrix units factors are
 * rounded to f16 once. Decays are exponentials of differences of cumulative log gates within one
 * chunk, never positive; a gate below -104 counts as -104, whose exponential is 0 in f32. The
 * rounding of those sums makes decays uncertain by at most 2^-20 times the sum of |g| over the
 * chunk. A non-finite row reaches the scores of its chunk and of all later rows of its sequence.
 * Gates above zero are invalid input; the kernels do not check for them, `requireGates` of
 * gla_gates.ts does.
 *
 * @module
 */
import chunkCode from "./gla_chunk.wgsl" with { type: "text" };
import scanCode from "./gla_scan.wgsl" with { type: "text" };
import scoresCode from "./gla_scores.wgsl" with { type: "text" };
import statesCode from "./gla_states.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  bytesPerElement,
  requireBytes,
  slice,
} from "../../../gpu/buffers.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { requireDType, requirePositive, requireWhole } from "../../../gpu/require.ts";
import { createPipeline } from "../../../gpu/pipeline.ts";
import { createParams } from "../../../gpu/uniform.ts";
import { matrixGlaBytes, matrixPipelines } from "./gla_matrix_pipelines.ts";
import { MATRIX_CHUNK } from "./gla_matrix_shared_codegen.ts";
import { generateScan, generateScores, generateStates } from "./gla_scores_codegen.ts";
import { type GlaTiling, stageVectors } from "./gla_staging_codegen.ts";
import type {
  GlaBindings,
  GlaScores,
  GlaScoresOptions,
  GlaScoresPlan,
  GlaScratch,
  GlaSegment,
} from "./gla_types.ts";
import type { LighthouseGeometry } from "../../lighthouse_geometry.ts";
import { showExcess } from "../../../gpu/bytes.ts";

export type { GlaBindings, GlaScores, GlaScoresOptions, GlaScoresPlan, GlaScratch, GlaSegment };

/** Head dimensions that the kernels support. */
export const GLA_HEAD_DIMS: readonly number[] = [32, 64, 128];

/** Fields of the uniform of all three passes. */
const PARAMS = {
  rows: "u32",
  dilation: "u32",
  context: "u32",
  entries: "u32",
  firstLane: "u32",
  firstChunk: "u32",
  chunks: "u32",
} as const;

/**
 * FLOP of both directions in chunked form: per row and direction 2·d² for the state, 2·d² for
 * reading it and 2·C·d within the chunk, where causality leaves half of two C by d products.
 */
export function glaFlops(
  shape: { heads: number; context: number; headDim: number; chunkRows: number },
): number {
  const { heads, context, headDim, chunkRows } = shape;
  return 2 * heads * context * (4 * headDim ** 2 + 2 * chunkRows * headDim);
}

/**
 * Plans the scores of a block of heads.
 *
 * @throws {RangeError} one line with the value and the limit, when the kernels cannot run the
 * shape.
 *
 * @example
 * ```ts
 * import { planGeometry } from "../../lighthouse_geometry.ts";
 * import { planGlaScores } from "./gla_scores.ts";
 * import assert from "node:assert/strict";
 * const geometry = planGeometry(524288, { levels: 3, pooling: 4, k: 8192 });
 * const plan = planGlaScores(geometry, { heads: 8, headDim: 128, dtype: "f16", dilation: 4 });
 * assert.ok(plan.scratch.states <= 128 * 2 ** 20);
 * ```
 */
export function planGlaScores(
  geometry: LighthouseGeometry,
  options: GlaScoresOptions,
): GlaScoresPlan {
  const { heads, headDim, dtype, dilation } = options;
  const { context, entries } = geometry;
  requireWhole("plan gla scores", "heads", heads);
  requireDType("plan gla scores", dtype);
  requirePositive("plan gla scores", "flopsPerDispatch", options.flopsPerDispatch);
  requirePositive("plan gla scores", "scratchBytes", options.scratchBytes);
  if (!GLA_HEAD_DIMS.includes(headDim)) {
    fail(`head dimension ${headDim} is not one of ${GLA_HEAD_DIMS.join(", ")}`);
  }
  if (!Number.isInteger(dilation) || dilation < 1 || context % dilation !== 0) {
    fail(`dilation ${dilation} does not divide context ${context}`);
  }
  const { kernel = "portable" } = options;
  if (kernel === "matrix" && (dtype !== "f16" || headDim < 64)) {
    fail(`matrix units take f16 with d from 64, not ${dtype} with ${headDim}`);
  }
  const threads = headDim < 64 ? 8 : 16;
  const chunkRows = options.chunkRows ?? MATRIX_CHUNK;
  const allowed = headDim < 64 || kernel === "matrix" ? [MATRIX_CHUNK] : [MATRIX_CHUNK, 128];
  if (!allowed.includes(chunkRows)) {
    fail(`chunkRows ${chunkRows} is not ${allowed.join(" or ")} (head dimension ${headDim})`);
  }
  const candidates = [16, 8].map((depth): GlaTiling => (
    { headDim, dtype, chunkRows, threadsX: threads, threadsY: threads, depth }
  ));
  const maxWorkgroupBytes = options.maxWorkgroupBytes ?? 16384;
  const tiling = candidates.find((tiling) => workgroupBytesOf(tiling) <= maxWorkgroupBytes);
  if (!tiling) {
    const { bytes, limit } = showExcess(workgroupBytesOf(candidates[1]), maxWorkgroupBytes);
    fail(
      `head dimension ${headDim} and chunkRows ${chunkRows} need ${bytes} of workgroup memory; ` +
        `the limit is ${limit}`,
    );
  }
  const rows = context / dilation;
  const chunks = Math.ceil(rows / chunkRows);
  // On matrix units f16, of both directions.
  const stateBytes = headDim ** 2 * 4;
  const scratchBytes = options.scratchBytes ?? 128 * 2 ** 20;
  if (scratchBytes < stateBytes) {
    fail(`scratchBytes ${scratchBytes} is below the ${stateBytes} bytes of one state`);
  }
  const flops = glaFlops({ heads, context, headDim, chunkRows });
  // The scores pass is the longest dispatch; a chunk of it has less work than a chunk of all
  // passes.
  const chunkFlops = flops / ((kernel === "matrix" ? 1 : 2) * heads * context) * chunkRows;
  const most = Math.max(
    1,
    Math.floor(
      Math.min(scratchBytes / stateBytes, (options.flopsPerDispatch ?? Infinity) / chunkFlops),
    ),
  );
  const sequences = heads * dilation;
  const lanesAtOnce = Math.min(sequences, most, MAX_GRID);
  const chunksAtOnce = Math.min(chunks, Math.floor(most / lanesAtOnce), MAX_GRID);
  const segments: GlaSegment[] = [];
  for (let firstLane = 0; firstLane < sequences; firstLane += lanesAtOnce) {
    const lanes = Math.min(lanesAtOnce, sequences - firstLane);
    for (let firstChunk = 0; firstChunk < chunks; firstChunk += chunksAtOnce) {
      const count = Math.min(chunksAtOnce, chunks - firstChunk);
      segments.push({ firstLane, lanes, firstChunk, chunks: count });
    }
  }
  const elements = heads * context * headDim * bytesPerElement(dtype);
  const name = `d=${headDim} ${dtype}`;
  const heldChunks = lanesAtOnce * chunksAtOnce;
  const shared = {
    ...options,
    kernel,
    chunkRows,
    segments,
    context,
    entries,
    rowBytes: elements,
    gateBytes: heads * context * 4,
    scoreBytes: heads * entries * 4,
    flops,
    bytes: 3 * elements + 3 * heads * context * 4,
  };
  if (kernel === "matrix") {
    return {
      ...shared,
      pipelines: matrixPipelines(headDim),
      scratch: {
        states: heldChunks * stateBytes,
        decays: heldChunks * chunkRows * 4,
        carry: 2 * lanesAtOnce * headDim ** 2 * 4,
        scales: 2 * heldChunks * headDim ** 2 / 1024 * 4,
      },
      workgroupBytes: matrixGlaBytes(headDim),
    };
  }
  return {
    ...shared,
    pipelines: {
      states: {
        label: `gla states ${name}`,
        code: [statesCode, chunkCode, generateStates(tiling)].join("\n"),
        bindings: ["uniform", "read", "read", "read", "read-write", "read-write"],
      },
      scan: {
        label: `gla scan d=${headDim}`,
        code: [
          scanCode,
          generateScan({ headDim, threads: SCAN_THREADS, inFlight: SCAN_IN_FLIGHT }),
        ].join("\n"),
        bindings: ["uniform", "read", "read-write", "read-write"],
      },
      scores: {
        label: `gla scores ${name}`,
        code: [scoresCode, chunkCode, generateScores(tiling)].join("\n"),
        bindings: ["uniform", "read", "read", "read", "read", "read", "read-write"],
      },
    },
    scratch: {
      states: heldChunks * stateBytes,
      decays: heldChunks * 4,
      carry: lanesAtOnce * stateBytes,
    },
    workgroupBytes: workgroupBytesOf(tiling),
  };
}

function workgroupBytesOf(tiling: GlaTiling): number {
  const { states, scores } = stageVectors(tiling);
  return 16 * Math.max(states, scores) + 4 * tiling.chunkRows;
}

/** Workgroups per grid dimension that every device allows. */
const MAX_GRID = 65535;
const SCAN_THREADS = 256;
/** States that a thread loads before it uses the first. */
const SCAN_IN_FLIGHT = 8;

function fail(reason: string): never {
  throw new RangeError(`plan gla scores: ${reason}`);
}

/**
 * Compiles the three passes.
 *
 * @throws {ShaderError} when the device refuses a shader.
 */
export async function createGlaScores(gpu: Gpu, plan: GlaScoresPlan): Promise<GlaScores> {
  const { pipelines } = plan;
  const [gates, states, scan, scores] = await Promise.all(
    [pipelines.gates, pipelines.states, pipelines.scan, pipelines.scores].map((source) =>
      source && createPipeline(gpu, source)
    ),
  );
  const { dilation, context, entries, headDim, chunkRows } = plan;
  const uniforms = plan.segments.map(({ firstLane, firstChunk, chunks }) =>
    createParams(gpu, PARAMS, {
      rows: context / dilation,
      dilation,
      context,
      entries,
      firstLane,
      firstChunk,
      chunks,
    })
  );
  const costs = ({ lanes, chunks }: GlaSegment) => {
    const rows = lanes * chunks * chunkRows;
    const product = 2 * rows * headDim ** 2;
    return { product, outputs: product + 2 * rows * chunkRows * headDim };
  };
  return {
    plan,
    bind(buffers) {
      requireBuffers(plan, buffers);
      const { q, k, v, states: held, decays, carry, scales } = buffers;
      if (gates) {
        return plan.segments.flatMap((segment, i) => {
          const { lanes, chunks } = segment;
          const { product, outputs } = costs(segment);
          const uniform = slice(uniforms[i]);
          return [
            bindDispatch(gpu, gates, {
              slices: [uniform, buffers.gates, decays],
              workgroups: [chunks, lanes, 1],
            }),
            bindDispatch(gpu, states!, {
              slices: [uniform, decays, q, k, v, held, scales!, carry],
              workgroups: [(headDim / 64) ** 2, lanes, 1],
              flops: 2 * product,
            }),
            bindDispatch(gpu, scores!, {
              slices: [
                uniform,
                decays,
                q,
                k,
                v,
                held,
                scales!,
                buffers.queryScores,
                buffers.keyScores,
              ],
              workgroups: [chunks, lanes, 1],
              flops: 2 * outputs,
            }),
          ];
        });
      }
      const directions: readonly [BufferSlice, BufferSlice, BufferSlice][] = [
        [q, k, buffers.queryScores],
        [k, q, buffers.keyScores],
      ];
      return directions.flatMap(([readers, writers, target]) =>
        plan.segments.flatMap((segment, i) => {
          const { lanes, chunks } = segment;
          const { product, outputs } = costs(segment);
          const uniform = slice(uniforms[i]);
          return [
            bindDispatch(gpu, states!, {
              slices: [uniform, buffers.gates, writers, v, held, decays],
              workgroups: [chunks, lanes, 1],
              flops: product,
            }),
            bindDispatch(gpu, scan!, {
              slices: [uniform, decays, held, carry],
              workgroups: [headDim ** 2 / SCAN_THREADS, lanes, 1],
            }),
            bindDispatch(gpu, scores!, {
              slices: [uniform, buffers.gates, readers, writers, v, held, target],
              workgroups: [chunks, lanes, 1],
              flops: outputs,
            }),
          ];
        })
      );
    },
    destroy: () => uniforms.forEach((uniform) => uniform.destroy()),
  };
}

function requireBuffers(plan: GlaScoresPlan, buffers: GlaBindings): void {
  for (const name of ["q", "k", "v"] as const) {
    requireBytes(`gla scores: ${name}`, buffers[name], plan.rowBytes);
  }
  requireBytes("gla scores: gates", buffers.gates, plan.gateBytes);
  requireBytes("gla scores: query scores", buffers.queryScores, plan.scoreBytes);
  requireBytes("gla scores: key scores", buffers.keyScores, plan.scoreBytes);
  for (const [name, bytes] of Object.entries<number>({ ...plan.scratch })) {
    requireBytes(`gla scores: ${name}`, buffers[name as keyof GlaScratch]!, bytes);
  }
}
