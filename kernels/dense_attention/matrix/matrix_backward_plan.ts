/**
 * The backward passes of dense attention on matrix units: plan and binding.
 * `dense_attention_backward.ts` documents the computation, `dense_matrix_backward.ts` the schedule.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { keepTexts } from "../../gpu/wgsl.ts";
import { groupOf } from "../../key_heads.ts";
import {
  type DenseBackwardPlan,
  labelOf,
  productFlops,
  type TiledPasses,
  type TiledPipelines,
  type TiledPlan,
} from "../backward_plan.ts";
import { type MatrixBackwardTilings, type MatrixTiling, tilingName } from "../tilings.ts";
import {
  describeWalk,
  requireWalkable,
  suitedTilings,
  type WalkBuffers,
  type WalkTile,
} from "../tile_walk.ts";
import { tunedTiling } from "../tuning.ts";
import type { DenseBackwardOptions } from "../types.ts";
import { chooseMatrixBackward, walksBackward } from "./dense_matrix.ts";
import {
  createMatrixBinding,
  createMatrixScratch,
  hasRoom,
  type MatrixBackwardScratch,
} from "./dense_matrix_backward.ts";
import { type MatrixBackwardSchedule, planMatrixSchedule } from "./matrix_schedule.ts";
import { generateMatrixKeyValue } from "./dense_matrix_key_value_codegen.ts";
import { generateCausalKeyValue } from "./dense_matrix_causal_codegen.ts";
import { generateMatrixQuery } from "./dense_matrix_query_codegen.ts";
import { matrixTileRows } from "./matrix_layout.ts";
import { sumPartsSource } from "./matrix_sum_parts.ts";

const queryCode = keepTexts(generateMatrixQuery);
const keyValueCode = keepTexts(generateMatrixKeyValue);
const causalCode = keepTexts(generateCausalKeyValue);

/** The part of a pass's tiling that a walk uses. */
function tileOf(pass: string, tiling: MatrixTiling): WalkTile {
  return {
    ownRows: matrixTileRows(tiling),
    columns: tiling.tileColumns,
    own: pass === "query" ? "queries" : "keys",
  };
}

/** Whether the kernel of a tiling takes query heads that share keys: one block of keys does. */
function takesGroups(pass: string): (tiling: MatrixTiling) => boolean {
  return ({ blocks }) => pass !== "key-value" || blocks === 1;
}

/** Plans the two tiled passes, for a shape that matrix units support. */
export function planMatrixPasses(
  { capabilities }: Pick<Gpu, "capabilities">,
  options: DenseBackwardOptions,
): TiledPlan {
  const { heads, headDim, dtype, rows, matrixTilings, gradientType = dtype, walk } = options;
  const tuned = (pass: "query" | "key-value") =>
    tunedTiling(capabilities, { kernel: "matrix", pass, headDim, dtype, rows, heads });
  const group = groupOf(options);
  const preferred = () => {
    const shape = { heads, rows, headDim };
    if (group > 1 && !walk) {
      return chooseMatrixBackward(
        capabilities,
        shape,
        (pass, all) => all.filter(takesGroups(pass)),
      );
    }
    if (walk) {
      return chooseMatrixBackward(
        capabilities,
        shape,
        (pass, all) => {
          const walkable = all.filter(walksBackward(pass));
          return suitedTilings(walk, walkable, { tileOf: (tiling) => tileOf(pass, tiling), rows });
        },
      );
    }
    const chosen = chooseMatrixBackward(capabilities, shape);
    return {
      query: tuned("query") ?? chosen.query,
      keyValue: tuned("key-value") ?? chosen.keyValue,
    };
  };
  const tilings = matrixTilings ?? preferred();
  const { query, keyValue } = tilings;
  if (group > 1 && !takesGroups("key-value")(keyValue)) {
    throw new RangeError(
      `plan dense attention backward on matrix units: tiling ${
        tilingName(keyValue)
      } needs one key ` +
        "head a head",
    );
  }
  if (walk && !walksBackward("key-value")(keyValue)) {
    throw new RangeError(
      `plan dense attention backward on matrix units: tiling ${tilingName(keyValue)} takes no walk`,
    );
  }
  const tiles = { query: tileOf("query", query), keyValue: tileOf("key-value", keyValue) };
  for (const tile of Object.values(tiles)) requireWalkable(walk, tile);
  const bound = walk ? walk.bindings : [];
  const generate = walk ? keyValueCode : causalCode;
  const name = `matrix units ${tilingName(query)} and ${tilingName(keyValue)}`;
  const schedule = planMatrixSchedule(capabilities, {
    heads,
    rows,
    headDim,
    tilings,
    gradientType,
    walk,
    group,
    // Four products in the longer of the two dispatches, 2·d FLOP per pair each.
    pairsAtMost: options.flopsPerDispatch && options.flopsPerDispatch / (8 * headDim * heads),
  });
  return {
    kernel: "matrix",
    variant: name + describeWalk(walk, rows, tiles.query),
    tiles,
    ranges: { query: [], keyValue: [] },
    schedule,
    scratchBytes: Object.values(schedule.bytes).reduce((a, b) => a + b),
    pipelines: {
      query: {
        label: labelOf("queries on matrix units", options),
        code: queryCode(query, {
          headDim,
          keyRows: matrixTileRows(keyValue),
          byQuery: !walk,
          gradientType,
          group,
          walk: walk?.code(tiles.query, gradientType === "f32" ? 7 : 6),
        }),
        bindings: [
          ...Array<"read">(gradientType === "f32" ? 4 : 3).fill("read"),
          "read-write",
          "read-write",
          "uniform",
          ...bound,
        ],
      },
      keyValue: {
        label: labelOf("keys and values on matrix units", options),
        code: generate(keyValue, {
          headDim,
          gradientType,
          group,
          walk: walk?.code(tiles.keyValue, gradientType === "f32" ? 13 : 12),
        }),
        bindings: [
          ...Array<"read">(gradientType === "f32" ? 7 : 6).fill("read"),
          ...Array<"read-write">(5).fill("read-write"),
          "uniform",
          ...bound,
        ],
      },
      ...(group > 1 || schedule.rectangles.some(({ parts = 1 }) => parts > 1)) && {
        sum: sumPartsSource(labelOf("sums of parts", options), { headDim, gradientType, group }),
      },
    },
  };
}

/**
 * Binds the two tiled passes.
 *
 * @param options `scratch`: buffers between the passes, which another kernel may use at another
 * time.
 * @throws {RangeError} when the scratch is too small.
 * @throws {MemoryError} when the device has no room for a scratch.
 */
export async function bindMatrixPasses(
  gpu: Gpu,
  options: {
    plan: DenseBackwardPlan;
    schedule: MatrixBackwardSchedule;
    pipelines: TiledPipelines;
    scratch?: MatrixBackwardScratch;
    walks?: Record<keyof MatrixBackwardTilings, WalkBuffers>;
  },
): Promise<TiledPasses> {
  const { plan, schedule, pipelines } = options;
  if (options.scratch && !hasRoom(options.scratch, schedule)) {
    throw new RangeError(
      "create dense attention backward: the scratch is smaller than the plan's schedule needs",
    );
  }
  const scratch = options.scratch ?? await createMatrixScratch(gpu, schedule);
  const { bind, destroy } = createMatrixBinding(gpu, {
    ...plan,
    schedule,
    pipelines,
    scratch,
    productFlops: productFlops(plan),
    walks: options.walks,
  });
  return {
    scratch,
    bind,
    destroy: () => {
      destroy();
      if (!options.scratch) scratch.destroy();
    },
  };
}
