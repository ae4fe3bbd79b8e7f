/**
 * The pyramid pass and the gather over Q, K and V in one dispatch each: short contexts do not fill
 * a device with one tensor. Shapes, numerics and results are those of `pyramid.ts` and `gather.ts`.
 *
 * @module
 */
import gatherMain from "./gather_merged.wgsl" with { type: "text" };
import gatherCode from "./gather.wgsl" with { type: "text" };
import pyramidMain from "./pyramid_merged.wgsl" with { type: "text" };
import pyramidCode from "./pyramid.wgsl" with { type: "text" };
import normScores from "../scorers/norm/norm_scores.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { LighthouseGeometry } from "../lighthouse_geometry.ts";
import { cellCode, wordsPerRow } from "../rows.ts";
import { type GatherOptions, generateCopyRows, planGather } from "./gather.ts";
import { createPass, type Pass, type PassPlan } from "./pass.ts";
import { generateSums, generateWalk } from "./pyramid_codegen.ts";
import { planPyramid, type PyramidOptions } from "./pyramid.ts";

/** Letters of the tensors. */
export const TENSORS = ["q", "k", "v"] as const;

/** Bindings and memory of norm scores of Q and K. */
const SCORES = `
@group(0) @binding(7) var<storage, read_write> scores_q: array<u32>; // f32 bits [heads, P]
@group(0) @binding(8) var<storage, read_write> scores_k: array<u32>; // the same
var<workgroup> partials: array<f32, rowsInFlight * threads>;
`;

/** Storage buffers that the merged gather binds, more than the pyramid. */
export const MERGED_BINDINGS = 10;

/** Buffers of one block of heads. */
export interface MergedPyramidBindings {
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  readonly pooledQ: BufferSlice;
  readonly pooledK: BufferSlice;
  readonly pooledV: BufferSlice;
  /** Needed when the plan is scored, like the next. */
  readonly queryScores?: BufferSlice;
  readonly keyScores?: BufferSlice;
}

/** Buffers of one block of heads. */
export interface MergedGatherBindings {
  readonly q: BufferSlice;
  readonly k: BufferSlice;
  readonly v: BufferSlice;
  readonly pooledQ: BufferSlice;
  readonly pooledK: BufferSlice;
  readonly pooledV: BufferSlice;
  readonly indices: BufferSlice;
  readonly gatheredQ: BufferSlice;
  readonly gatheredK: BufferSlice;
  readonly gatheredV: BufferSlice;
}

/** The functions of a shader with these names, as text. */
export function functionsOf(code: string, names: readonly string[]): string {
  return names.map((name) => {
    const found = code.match(new RegExp(`^fn ${name}\\([^]*?^}`, "m"));
    if (!found) throw new TypeError(`merge passes: the shader has no function ${name}`);
    return found[0];
  }).join("\n");
}

/** The same functions for one tensor: its buffers and its functions have its letter. */
export function forTensor(text: string, tensor: string): string {
  return text.replace(/\b(base|pooled|scores|rows|gathered|output)\[/g, `$1_${tensor}[`).replace(
    /\b(storePooled|storeScore|sumRows|sumRow|walk|readRow|writeRow|copyRows|rowAt|loadCell|store)\(/g,
    `$1_${tensor}(`,
  );
}

/** Plans the pass over all three tensors of a block of heads; norm scores are those of Q and K. */
export function planMergedPyramid(
  geometry: LighthouseGeometry,
  options: PyramidOptions,
): PassPlan<MergedPyramidBindings> {
  const single = planPyramid(geometry, options);
  const { heads, headDim, dtype } = options;
  const columns = wordsPerRow(headDim, dtype);
  const threads = options.threads ?? 256;
  const rowsInFlight = Math.min(options.rowsInFlight ?? 8, geometry.windowRows);
  const walk = (scored: boolean) => generateWalk(geometry, { rowsInFlight, columns, scored });
  const sums = generateSums(geometry, { rowsInFlight, columns, scored: true });
  const sumRows = functionsOf(sums, ["sumRows"]);
  const own = (tensor: string) => {
    const scored = options.scored && tensor !== "v";
    return forTensor(
      [
        functionsOf(pyramidCode, ["storePooled"]),
        scored ? functionsOf(normScores, ["storeScore", "sumRow"]) : "",
        scored ? sumRows : "",
        walk(scored),
      ].join("\n"),
      tensor,
    );
  };
  const [x, y] = single.workgroups;
  const { rows, pooled, scores } = single.bytes;
  return {
    pipeline: {
      label: "lighthouse pyramid of Q, K and V",
      bindings: [
        ...Array<"read">(3).fill("read"),
        ...Array<"read-write">(3).fill("read-write"),
        "uniform",
        ...options.scored ? Array<"read-write">(2).fill("read-write") : [],
      ],
      code: [
        pyramidMain,
        `const threads = ${threads}u;`,
        `const columns = ${columns}u;`,
        `const windowRows = ${geometry.windowRows}u;`,
        `const rowsInFlight = ${rowsInFlight}u;`,
        cellCode(dtype),
        ...options.scored
          ? [
            SCORES,
            functionsOf(normScores, ["putPartial", "totalOf", "putTotal"]),
            sums.replace(sumRows, ""),
          ]
          : [],
        ...TENSORS.map(own),
      ].join("\n"),
    },
    layout: {
      context: "u32",
      windows: "u32",
      entries: "u32",
      pooledEntries: "u32",
      gridWidth: "u32",
      heads: "u32",
    },
    params: { ...single.params, heads },
    workgroups: [x, y, 3 * heads],
    bytes: {
      q: rows,
      k: rows,
      v: rows,
      pooledQ: pooled,
      pooledK: pooled,
      pooledV: pooled,
      ...options.scored && { queryScores: scores!, keyScores: scores! },
    },
  };
}

/** Plans the gather of all three tensors of a block of heads. */
export function planMergedGather(
  geometry: LighthouseGeometry,
  options: GatherOptions,
): PassPlan<MergedGatherBindings> {
  const single = planGather(geometry, options);
  const { heads, headDim, dtype, threads = 256, rowsPerThread = 4 } = options;
  const own = functionsOf(gatherCode, ["readRow", "writeRow"]) + "\n" +
    generateCopyRows(rowsPerThread);
  const [x, y] = single.workgroups;
  const { rows, pooled, indices, gathered } = single.bytes;
  return {
    pipeline: {
      label: "lighthouse gather of Q, K and V",
      bindings: [
        ...Array<"read">(7).fill("read"),
        ...Array<"read-write">(3).fill("read-write"),
        "uniform",
      ],
      code: [
        gatherMain,
        `const threads = ${threads}u;`,
        `const columns = ${wordsPerRow(headDim, dtype)}u;`,
        `const rowsPerThread = ${rowsPerThread}u;`,
        functionsOf(gatherCode, ["entryOf"]),
        ...TENSORS.map((tensor) => forTensor(own, tensor)),
      ].join("\n"),
    },
    layout: {
      context: "u32",
      pooledEntries: "u32",
      gathered: "u32",
      gridWidth: "u32",
      heads: "u32",
    },
    params: { ...single.params, heads },
    workgroups: [x, y, 3 * heads],
    bytes: {
      q: rows,
      k: rows,
      v: rows,
      pooledQ: pooled,
      pooledK: pooled,
      pooledV: pooled,
      indices,
      gatheredQ: gathered,
      gatheredK: gathered,
      gatheredV: gathered,
    },
  };
}

/** Compiles the pyramid pass over all three tensors. */
export function createMergedPyramid(
  gpu: Gpu,
  plan: PassPlan<MergedPyramidBindings>,
): Promise<Pass<MergedPyramidBindings>> {
  return createPass(gpu, plan);
}

/** Compiles the gather of all three tensors. */
export function createMergedGather(
  gpu: Gpu,
  plan: PassPlan<MergedGatherBindings>,
): Promise<Pass<MergedGatherBindings>> {
  return createPass(gpu, plan);
}
