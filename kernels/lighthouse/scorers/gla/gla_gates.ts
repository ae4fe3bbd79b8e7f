/**
 * Log gates of the gla scorer: generates seeded gates, and checks given ones.
 *
 * A layer would compute gates from its input by a learned projection; this suite has no such input,
 * so a seeded value x from `pcg-sum4` replaces the projection, and the gate is g = logsigmoid(x) /
 * 16, the usual parametrisation of gated linear attention: about -0.05 per token on average, a
 * memory of some 20 tokens of the residue class.
 *
 * Shape: gates f32 `[heads, N]`; token n of head h takes counter n·H + h of the seed.
 *
 * @module
 */
import code from "./gla_gates.wgsl" with { type: "text" };
import {
  bindDispatch,
  type BufferSlice,
  createStorageBuffer,
  type Dispatch,
  readBuffer,
  runDispatches,
  slice,
  type Tensor,
  writeBuffer,
} from "../../../gpu/buffers.ts";
import type { Gpu } from "../../../gpu/device.ts";
import { createPipeline } from "../../../gpu/pipeline.ts";
import { requireRecord } from "../../../gpu/require.ts";
import { fillSeeded, pcgSum4 } from "../../../gpu/random.ts";
import { createParams } from "../../../gpu/uniform.ts";
import { foldGrid } from "../../lighthouse_geometry.ts";

/** Divides logsigmoid, so that the state decays slowly. */
export const GATE_NORMALIZER = 16;

const PARAMS = { gates: "u32", gridWidth: "u32" } as const;

/** Largest value of the generator, in units of 2^-15. */
const MOST = 131070;

/** The gate for a seeded value, rounded to f32. */
function gateOfValue(x: number): number {
  return Math.fround(-Math.log1p(Math.exp(-x)) / GATE_NORMALIZER);
}

/**
 * Gates `[N]` of one head of `heads`, equal to those that {@linkcode fillGates} makes on a device.
 *
 * @example
 * ```ts
 * import { seededGates } from "./gla_gates.ts";
 * import assert from "node:assert/strict";
 * const gates = seededGates(7, { head: 0, heads: 2, context: 1000 });
 * assert.ok(gates.every((gate) => gate < 0 && gate > -0.26));
 * ```
 */
export function seededGates(
  seed: number,
  options: { head: number; heads: number; context: number },
): Float32Array {
  const { head, heads, context } = options;
  return Float32Array.from(
    { length: context },
    (_, n) => gateOfValue(pcgSum4(seed, n * heads + head)),
  );
}

/**
 * Fills an f32 tensor `[heads, N, 1]` with seeded gates, bit-identical to {@linkcode seededGates}.
 *
 * @throws {RangeError} when the tensor has another element type or dimension.
 */
export async function fillGates(gpu: Gpu, tensor: Tensor, seed: number): Promise<void> {
  const { dim, dtype, label } = tensor;
  if (dim !== 1 || dtype !== "f32") {
    throw new RangeError(`fill gates ${label}: dim ${dim} ${dtype} is not 1 f32`);
  }
  await fillSeeded(gpu, tensor, seed);
  const table = slice(
    await createStorageBuffer(gpu, (2 * MOST + 1) * 4, { label: "gla gate table" }),
  );
  writeBuffer(
    gpu,
    table,
    Float32Array.from({ length: 2 * MOST + 1 }, (_, m) => gateOfValue((m - MOST) / 32768)),
  );
  const slices = tensor.blocks.map(({ data, heads }) => ({
    ...data,
    size: heads * tensor.rows * 4,
  }));
  await runGates(gpu, "fill", { gates: slices, other: table });
  table.buffer.destroy();
}

/**
 * Checks gates before use: none may be above zero or NaN; minus infinity clears the state.
 *
 * @throws {TypeError} when a slice is missing.
 * @throws {RangeError} in one line: the number of gates above the limit, or the fault of a slice.
 */
export async function requireGates(gpu: Gpu, gates: readonly BufferSlice[]): Promise<void> {
  for (const part of gates) requireRecord("check gates", "the slice", part);
  const total = slice(await createStorageBuffer(gpu, 16, { label: "gla bad gates" }));
  let bad: number;
  try {
    await runGates(gpu, "count", { gates, other: total });
    [bad] = new Uint32Array((await readBuffer(gpu, total)).buffer);
  } finally {
    total.buffer.destroy();
  }
  if (bad > 0) {
    const count = gates.reduce((sum, { size }) => sum + size / 4, 0);
    throw new RangeError(
      `check gates: ${bad} of ${count} log gates are NaN or above 0, the largest allowed`,
    );
  }
}

async function runGates(
  gpu: Gpu,
  entryPoint: "fill" | "count",
  slices: { gates: readonly BufferSlice[]; other: BufferSlice },
): Promise<void> {
  const pipeline = await createPipeline(gpu, {
    label: `gla gates ${entryPoint}`,
    code,
    entryPoint,
    bindings: ["uniform", "read-write", entryPoint === "fill" ? "read" : "read-write"],
  });
  const dispatches: Dispatch[] = [];
  const uniforms: GPUBuffer[] = [];
  for (const gates of slices.gates) {
    const [x, y] = foldGrid(Math.ceil(gates.size / 4 / 256));
    const uniform = createParams(gpu, PARAMS, { gates: gates.size / 4, gridWidth: x });
    uniforms.push(uniform);
    dispatches.push(bindDispatch(gpu, pipeline, {
      slices: [slice(uniform), gates, slices.other],
      workgroups: [x, y, 1],
    }));
  }
  try {
    await runDispatches(gpu, `gla gates ${entryPoint}`, dispatches);
  } finally {
    uniforms.forEach((uniform) => uniform.destroy());
  }
}
