/**
 * Rotary positions (RoPE) on interleaved pairs: the table of cosines and sines, which the product
 * of Q, K and V reads, and the gradient, which rotates the other way.
 *
 * Shapes: table f32 `[N, d/2, 2]`, cosine and sine of each pair; gradients `[parts, heads, N, d]`,
 * all parts but the last (V) rotated in place.
 *
 * Numerics: frequencies and angles are rounded to f32, as in the published code; their cosines and
 * sines are computed in float64 on the host and rounded once, since WGSL promises nothing for large
 * angles.
 *
 * Frequencies are scaled as in Llama 3.1 by default: wavelengths over 8,192 are divided by 8, those
 * under 2,048 kept, those between interpolated.
 *
 * @module
 */
import code from "./rope_backward.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireDType, requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import type { HeadLayout } from "../matrix_product/types.ts";
import { quadCode } from "../quads.ts";

/** How frequencies of long wavelengths are scaled. */
export interface RopeScaling {
  /** What the longest are divided by. */
  readonly factor: number;
  /** Wavelengths over `originalLength / lowFactor` are the longest. */
  readonly lowFactor: number;
  /** Wavelengths under `originalLength / highFactor` are kept. */
  readonly highFactor: number;
  /** Context that the frequencies were made for. */
  readonly originalLength: number;
}

/** The scaling of Llama 3.1, which the paper's code takes. */
export const LLAMA_SCALING: RopeScaling = {
  factor: 8,
  lowFactor: 1,
  highFactor: 4,
  originalLength: 8192,
};

/** Options of {@linkcode ropeTable}. */
export interface RopeOptions {
  /** N. */
  readonly context: number;
  /** d. */
  readonly headDim: number;
  /** θ. Default 10,000. */
  readonly theta?: number;
  /** Default {@linkcode LLAMA_SCALING}; null: frequencies as they are. */
  readonly scaling?: RopeScaling | null;
}

/** Frequencies of the pairs, in radians a token, `[d/2]`, rounded to f32. */
export function ropeFrequencies(
  { headDim, theta = 10_000, scaling = LLAMA_SCALING }: Omit<RopeOptions, "context">,
): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = theta ** (-2 * i / headDim);
    if (!scaling) return frequency;
    const { factor, lowFactor, highFactor, originalLength } = scaling;
    const turns = originalLength * frequency / (2 * Math.PI);
    if (turns < lowFactor) return frequency / factor;
    if (turns > highFactor) return frequency;
    const smooth = (turns - lowFactor) / (highFactor - lowFactor);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  });
}

/**
 * Cosines and sines of all positions, f32 `[N, d/2, 2]`.
 *
 * @throws {RangeError} when a size is no whole number from 1, or d is odd.
 *
 * @example
 * ```ts
 * import { ropeTable } from "./rope.ts";
 * import assert from "node:assert/strict";
 * const table = ropeTable({ context: 2, headDim: 4, scaling: null });
 * assert.deepEqual([...table.subarray(0, 4)], [1, 0, 1, 0]);
 * assert.equal(table[4], Math.fround(Math.cos(1)));
 * ```
 */
export function ropeTable(options: RopeOptions): Float32Array<ArrayBuffer> {
  const { context, headDim } = options;
  requireWhole("make rope table", "context", context);
  requireWhole("make rope table", "headDim", headDim, { least: 2 });
  if (headDim % 2 !== 0) throw new RangeError(`make rope table: headDim ${headDim} is odd`);
  const frequencies = ropeFrequencies(options);
  const table = new Float32Array(context * headDim);
  for (let n = 0; n < context; n++) {
    for (let i = 0; i < frequencies.length; i++) {
      const angle = Math.fround(n * frequencies[i]);
      table[n * headDim + 2 * i] = Math.cos(angle);
      table[n * headDim + 2 * i + 1] = Math.sin(angle);
    }
  }
  return table;
}

const PARAMS = { quads: "u32", context: "u32", partQuads: "u32", gridWidth: "u32" } as const;

/** The plan of the gradient. */
export type RopeBackwardPlan = PassPlan<RopeBackwardBindings, typeof PARAMS>;

/** Its buffers. */
export interface RopeBackwardBindings {
  /** f32 `[N, d/2, 2]`. */
  readonly table: BufferSlice;
  /** `[parts, heads, N, d]`, rotated in place but for the last part. */
  readonly gradient: BufferSlice;
}

/** Plans the gradient of rotated parts, stored by heads. */
export function planRopeBackward(
  { layout, dtype }: { readonly layout: HeadLayout; readonly dtype: DType },
): RopeBackwardPlan {
  const { parts, sequences, heads, context, headDim } = layout;
  const action = "plan rope backward";
  for (const [name, value] of Object.entries({ sequences, heads, context, headDim })) {
    requireWhole(action, name, value);
  }
  requireWhole(action, "parts", parts, { least: 2 });
  requireDType(action, dtype);
  if (headDim % 4 !== 0) {
    throw new RangeError(`${action}: headDim ${headDim} is not a multiple of 4`);
  }
  const quads = sequences * heads * context * headDim / 4;
  const partQuads = layout.partStride === undefined ? quads : layout.partStride / 4;
  const [x, y] = foldGrid(Math.ceil(quads / 256));
  return {
    pipeline: {
      label: `rope backward ${dtype}`,
      bindings: ["read", "read-write", "uniform"],
      code: `${code}\nconst rowQuads = ${headDim / 4}u;\n${quadCode(dtype)}`,
    },
    layout: PARAMS,
    params: { quads, context, partQuads, gridWidth: x },
    workgroups: [x, y, parts - 1],
    bytes: {
      table: context * headDim * 4,
      gradient: ((parts - 1) * partQuads + quads) * 4 * bytesPerElement(dtype),
    },
  };
}

/** Compiles the gradient. */
export function createRopeBackward(
  gpu: Gpu,
  plan: RopeBackwardPlan,
): Promise<Pass<RopeBackwardBindings>> {
  return createPass<RopeBackwardBindings>(gpu, plan);
}
