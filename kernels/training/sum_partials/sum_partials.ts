/**
 * Adds partial sums to a result, in one fixed order: the end of sums over many rows, whose parts
 * were summed by different workgroups. Floats have no atomic addition whose order is fixed.
 *
 * Shapes: partials f32 `[count, size]`, result f32 `[size]`, to which they are added, or which they
 * replace.
 *
 * @module
 */
import code from "./sum_partials.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";

const PARAMS = { quads: "u32", count: "u32", gridWidth: "u32" } as const;

/** With more partial sums than this, several threads share an element. */
const FEW = 16;

/** The plan of a sum. */
export type SumPartialsPlan = PassPlan<SumPartialsBindings, typeof PARAMS>;

/** Its buffers. */
export interface SumPartialsBindings {
  /** f32 `[count, size]`. */
  readonly partials: BufferSlice;
  /** f32 `[size]`, added to or written. */
  readonly result: BufferSlice;
}

/**
 * Plans a sum of `count` parts of `size` elements.
 *
 * @param options `adds`: whether it is added to what the result holds. Default true.
 * @throws {RangeError} when the size is no multiple of 4.
 */
export function planSumPartials(
  { count, size, adds = true }: {
    readonly count: number;
    readonly size: number;
    readonly adds?: boolean;
  },
): SumPartialsPlan {
  requireWhole("plan sum of partials", "count", count);
  requireWhole("plan sum of partials", "size", size, { least: 4, most: 2 ** 32 });
  if (size % 4 !== 0) {
    throw new RangeError(`plan sum of partials: size ${size} is not a multiple of 4`);
  }
  const threads = 256;
  const lanes = count > FEW ? 16 : 1;
  const quads = size / 4;
  const [x, y] = foldGrid(Math.ceil(quads / (threads / lanes)));
  return {
    pipeline: {
      label: adds ? "sum partials" : "sum partials anew",
      bindings: ["read", "read-write", "uniform"],
      code: [
        adds ? code : code.replace("result[i] += sum", "result[i] = sum"),
        `const threads = ${threads}u;`,
        `const lanes = ${lanes}u;`,
        "",
      ].join("\n"),
    },
    layout: PARAMS,
    params: { quads, count, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: { partials: count * size * 4, result: size * 4 },
  };
}

/** Compiles the pass. */
export function createSumPartials(
  gpu: Gpu,
  plan: SumPartialsPlan,
): Promise<Pass<SumPartialsBindings>> {
  return createPass<SumPartialsBindings>(gpu, plan);
}
