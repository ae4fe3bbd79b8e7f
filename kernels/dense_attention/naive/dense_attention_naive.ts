/**
 * The naive variant of dense causal attention, with the same signature as the tuned one: see
 * `dense_attention.ts` for shapes, numerics and units.
 *
 * @module
 */
import code from "./dense_attention_naive.wgsl" with { type: "text" };
import {
  bindDispatch,
  bytesPerElement,
  type DType,
  requireBytes,
  slice,
} from "../../gpu/buffers.ts";
import { NEAREST_HALF } from "../../gpu/half.ts";
import { createPipeline } from "../../gpu/pipeline.ts";
import { createParams } from "../../gpu/uniform.ts";
import type { Gpu } from "../../gpu/device.ts";
import type { DenseAttentionOptions } from "../types.ts";
import { wgsl } from "../../gpu/wgsl.ts";
import type { Implementation, Problem } from "../../implementation.ts";
import { denseImplementation } from "../dense_layer.ts";
import { groupOf, kvHeadsOf } from "../../key_heads.ts";
import { planPortable } from "../portable/portable_plan.ts";
import { replaceLines } from "../tile_walk.ts";

const PARAMS = { rows: "u32", firstRow: "u32", rowCount: "u32", scale: "f32" } as const;

/** Functions that read and write pairs of elements: a pair is one word of f16 or two of f32. */
function generateAccess(headDim: number, dtype: DType): string {
  const pairs = `const PAIRS = ${headDim / 2}u;`;
  const inputs = [["Query", "queries"], ["Key", "keys"], ["Value", "values"]] as const;
  if (dtype === "f16") {
    const load = ([name, buffer]: readonly [string, string]) =>
      `fn load${name}(i: u32) -> vec2f { return unpack2x16float(${buffer}[i]); }`;
    const stored = "pack2x16float(nearestHalf(x.xyxy).xy)";
    return wgsl`
      ${pairs}
      ${inputs.map(load)}
      ${NEAREST_HALF}fn storeOutput(i: u32, x: vec2f) { output[i] = ${stored}; }
    `;
  }
  const load = ([name, buffer]: readonly [string, string]) => {
    const words = `vec2u(${buffer}[2u * i], ${buffer}[2u * i + 1u])`;
    return `fn load${name}(i: u32) -> vec2f { return bitcast<vec2f>(${words}); }`;
  };
  const store = "let b = bitcast<vec2u>(x); output[2u * i] = b.x; output[2u * i + 1u] = b.y;";
  return wgsl`
    ${pairs}
    ${inputs.map(load)}
    fn storeOutput(i: u32, x: vec2f) { ${store} }
  `;
}

/** `dense_attention_naive.wgsl` where `group` query heads share a head of keys and values. */
function groupNaive(code: string, group: number): string {
  if (group === 1) return code;
  const head = "let head = id.y * params.rows;";
  return replaceLines(code, {
    [head]: [head, `let keyHead = id.y / ${group}u * params.rows;`],
    "let at = (head + key) * PAIRS;": ["let at = (keyHead + key) * PAIRS;"],
  });
}

/** The shader for a head dimension and a storage type. */
function pipelineOf(gpu: Pick<Gpu, "capabilities" | "adapter">, size: DenseAttentionOptions) {
  const { headDim, dtype } = size;
  return {
    label: `naive dense attention d=${headDim} ${dtype}`,
    code: `${groupNaive(code, groupOf(size))}${generateAccess(headDim, dtype)}\n`,
    bindings: planPortable(gpu, size).pipeline.bindings,
  };
}

/** Steps of all loops of one invocation after which llvmpipe, a software driver, stops them. */
const SOFTWARE_STEPS = 65_535;

/**
 * Refuses rows that a software driver would not finish: the last row takes two loops over d / 2
 * pairs for each key, and two more.
 *
 * @throws {RangeError} one line with the context and the limit.
 */
function requireSteps(gpu: Pick<Gpu, "adapter">, { shape: { context, headDim } }: Problem): void {
  const most = Math.floor((SOFTWARE_STEPS - headDim) / (headDim + 1));
  if (!gpu.adapter?.software || context <= most) return;
  throw new RangeError(
    `plan dense-naive: context ${context} is above ${most} for d = ${headDim}: software drivers ` +
      `stop the loops of a thread after ${SOFTWARE_STEPS} steps`,
  );
}

const layer: Implementation = denseImplementation({
  name: "dense-naive",
  title: "dense causal attention, naive",
  directions: ["forward"],
  role: "second-opinion",
  variant: "one thread per row",
  compile: (gpu, size) => createPipeline(gpu, pipelineOf(gpu, size)),
  create: async (gpu, size) => {
    const { heads, rows, headDim, dtype } = size;
    const plan = planPortable(gpu, size);
    const pipeline = await createPipeline(gpu, pipelineOf(gpu, size));
    const { tileRows } = plan.tiling;
    const ranges = plan.ranges.map((range) => {
      const firstRow = range.firstTile * tileRows;
      const rowCount = Math.min(rows, firstRow + range.tileCount * tileRows) - firstRow;
      const uniform = createParams(gpu, PARAMS, { rows, firstRow, rowCount, scale: plan.scale });
      return { rowCount, uniform, flops: range.flops };
    });
    return {
      plan,
      bind: ({ q, k, v, o, lse }) => {
        const bytes = rows * headDim * bytesPerElement(dtype);
        for (const [name, part] of Object.entries({ q, k, v, o })) {
          const count = name === "k" || name === "v" ? kvHeadsOf(size) : heads;
          requireBytes(`dense attention: ${name}`, part, count * bytes);
        }
        requireBytes("dense attention: log-sum-exp", lse, heads * rows * 4);
        return ranges.map(({ rowCount, uniform, flops }) =>
          bindDispatch(gpu, pipeline, {
            slices: [slice(uniform), q, k, v, o, lse],
            workgroups: [Math.ceil(rowCount / 64), heads, 1],
            flops,
          })
        );
      },
      destroy: () => ranges.forEach(({ uniform }) => uniform.destroy()),
    };
  },
});

/** One thread per query row; work is never split into dispatches of fewer than 64 rows. */
export const denseNaive: Implementation = {
  ...layer,
  plan: (gpu, problem) => {
    const plan = layer.plan(gpu, problem);
    requireSteps(gpu, problem);
    return plan;
  },
};
