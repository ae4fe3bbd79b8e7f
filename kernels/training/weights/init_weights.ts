/**
 * Seeded weights, made on the device with the same bits on every device.
 *
 * Numbers are sums of four uniform ones (`gpu/random.ts`), scaled to the standard deviation asked
 * for: close to normal, cut at 3.46 of it. The published code cuts a normal at 3 or not at all,
 * which makes no difference that training shows.
 *
 * Shapes: weights f32 `[rows, columns]`; rows may alternate between two deviations, as those of
 * gates and values do.
 *
 * @module
 */
import code from "./init_weights.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { pcg, pcgSum4 } from "../../gpu/random.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";

const PARAMS = {
  seedHash: "u32",
  quads: "u32",
  rowQuads: "u32",
  gridWidth: "u32",
  evenFactor: "f32",
  oddFactor: "f32",
  constant: "f32",
} as const;

/** Deviation of the generator's numbers. */
const OWN_DEVIATION = 2 / Math.sqrt(3);

/** What to plan for. */
export interface InitWeightsOptions {
  /** Rows. */
  readonly rows: number;
  /** Elements of a row, a multiple of 4. */
  readonly columns: number;
  /** Standard deviation of even and of odd rows; absent: every weight is 1. */
  readonly deviation?: readonly [number, number];
  /** Of this tensor alone. */
  readonly seed: number;
}

/** The plan. */
export type InitWeightsPlan = PassPlan<{ readonly weights: BufferSlice }, typeof PARAMS>;

/** Plans the weights of one tensor. */
export function planInitWeights(options: InitWeightsOptions): InitWeightsPlan {
  const { rows, columns, deviation, seed } = options;
  requireWhole("plan weights", "rows", rows);
  requireWhole("plan weights", "columns", columns, { least: 4 });
  requireWhole("plan weights", "seed", seed, { least: 0, most: 2 ** 32 - 1 });
  const quads = rows * columns / 4;
  const [x, y] = foldGrid(Math.ceil(quads / 256));
  const [even, odd] = deviation ?? [0, 0];
  return {
    pipeline: { label: "init weights", bindings: ["read-write", "uniform"], code },
    layout: PARAMS,
    params: {
      seedHash: pcg(seed),
      quads,
      rowQuads: columns / 4,
      gridWidth: x,
      evenFactor: even / OWN_DEVIATION,
      oddFactor: odd / OWN_DEVIATION,
      constant: 1,
    },
    workgroups: [x, y, 1],
    bytes: { weights: quads * 16 },
  };
}

/** The same weights on the host. */
export function seededWeights(options: InitWeightsOptions): Float32Array {
  const { rows, columns, deviation, seed } = options;
  if (!deviation) return new Float32Array(rows * columns).fill(1);
  const factors = deviation.map((one) => Math.fround(one / OWN_DEVIATION));
  return Float32Array.from(
    { length: rows * columns },
    (_, i) => pcgSum4(seed, i) * factors[Math.floor(i / columns) % 2],
  );
}

/** Compiles the pass. */
export function createInitWeights(
  gpu: Gpu,
  plan: InitWeightsPlan,
): Promise<Pass<{ readonly weights: BufferSlice }>> {
  return createPass<{ readonly weights: BufferSlice }>(gpu, plan);
}
