/**
 * The selection of a Lighthouse layer, and the scores that it is based on, as parts of a check.
 *
 * @module
 */
import type { Tensor } from "../../kernels/gpu/buffers.ts";
import { range } from "../../kernels/gpu/wgsl.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { CheckedScores } from "../../kernels/implementation.ts";
import { pcg } from "../../kernels/gpu/random.ts";
import { type Layer, type PeerTraits, readStoredRows } from "../plan/measurable.ts";
import { HALF_ULP, maxDifference } from "./attention_rows.ts";
import type { CheckOptions } from "./check_options.ts";
import { type Part, partOf, PEER_LEEWAY } from "./check_parts.ts";
import { CHUNK_ROWS } from "./head_samples.ts";
import type { LighthouseCheck } from "./lighthouse_check.ts";
import { scoreCheckOf, type ScoreCheckOptions } from "./score_check.ts";
import { checkTile, LEAST_SCORE, tieTolerance, tileRows } from "./selection_check.ts";
import { SharedArrays } from "./shared_arrays.ts";
import { chunksOf, eachRow } from "./stream.ts";

/** Sampled tiles of the selection, and the scores if the device's own decide it. */
export async function checkSelection(
  gpu: Gpu,
  prepared: Layer,
  options: LighthouseCheck,
): Promise<Part[]> {
  const { inputs, problem, sample, geometry, selection, signal } = options;
  const { head } = sample;
  const { headDim, context } = problem.shape;
  // A peer may round its norms to f16, so its selection is judged by those; they are checked below.
  const { exactSelection, name } = options.implementation.scorer!;
  const exact = exactSelection && name === "norm" &&
    !(prepared.peer && prepared.outputs.readScores);
  const device = exact ? undefined : await readDeviceScores(prepared, head);
  let ties = 0;
  for (const tile of sample.tiles) {
    signal?.throwIfAborted();
    const { first, rows } = tileRows(geometry, tile);
    const scores = device
      ? {
        query: Float64Array.from(device.query.subarray(first, first + rows)),
        key: Float64Array.from(device.key.subarray(first, first + rows)),
      }
      : {
        query: await squaredNorms(gpu, inputs.q, { head, first, rows, signal }),
        key: await squaredNorms(gpu, inputs.k, { head, first, rows, signal }),
      };
    const { gatheredPerTile: each } = geometry;
    const verdict = checkTile(selection.subarray(tile * each, (tile + 1) * each), {
      geometry,
      tile,
      scores,
      // Judged by the scores that the device ranked by, only equal scores are ties.
      tolerance: device ? 0 : tieTolerance(headDim),
    });
    ties += verdict.ties;
    if (!verdict.passed) {
      return [{
        name: "selection",
        passed: false,
        maxError: null,
        tolerance: null,
        detail: `head ${head}, tile ${tile}: ${verdict.detail}`,
      }];
    }
  }
  const part: Part = {
    name: "selection",
    passed: true,
    maxError: null,
    tolerance: null,
    detail: `${sample.tiles.length} tiles as ${
      device ? "the device's own" : "float64"
    } scores choose, ${ties} entries tied`,
  };
  if (!device || head !== problem.shape.heads - 1) return [part];
  const { extent, seed } = options;
  const random = (draw: number) => pcg((seed + 15485863 * draw) >>> 0) % context;
  const rows = [
    ...new Set([0, 1, 5, 64, context - 1, ...range(extent === "whole" ? 27 : 1).map(random)]),
  ]
    .filter((row) => row < context)
    .sort((a, b) => a - b);
  return [part, await checkScores(gpu, { ...options, head, rows, device, peer: prepared.peer })];
}

async function readDeviceScores({ outputs }: Layer, head: number) {
  if (!outputs.readScores) {
    throw new TypeError("check scores: the implementation does not return scores");
  }
  return await outputs.readScores(head);
}

/** Both scores of some rows against float64, each with a derived tolerance. */
async function checkScores(
  gpu: Gpu,
  options: ScoreCheckOptions & {
    implementation: CheckOptions["implementation"];
    device: { query: Float32Array; key: Float32Array };
    peer?: PeerTraits;
  },
): Promise<Part> {
  const { problem, head, device, peer } = options;
  const scorer = options.implementation.scorer!;
  const found = await (scorer.name === "norm" ? normScores : scoreCheckOf(scorer))(gpu, options);
  // A peer may keep scores, and the rows whose norms they are, in the storage type.
  const rounding = peer ? 4 * PEER_LEEWAY * HALF_ULP[problem.shape.dtype] : 0;
  return partOf(
    "scores",
    found.flatMap(({ row, query, key }) =>
      ([["query", query], ["key", key]] as const).map(([name, { score, tolerance }]) => ({
        label: `${name} score, head ${head}, row ${row}`,
        error: maxDifference([device[name][row]], [score]),
        tolerance: tolerance + rounding * score,
      }))
    ),
  );
}

/** Squared norms of chosen rows: what the norm scorer ranks by. */
async function normScores(gpu: Gpu, options: ScoreCheckOptions): Promise<CheckedScores[]> {
  const { inputs, head, rows } = options;
  return await Promise.all(rows.map(async (row) => {
    const [query, key] = await Promise.all([inputs.q, inputs.k].map(async (tensor) => {
      const [score] = await squaredNorms(gpu, tensor, { head, first: row, rows: 1 });
      return { score, tolerance: tieTolerance(tensor.dim) * Math.max(score, LEAST_SCORE) };
    }));
    return { row, query, key };
  }));
}

async function squaredNorms(
  gpu: Gpu,
  tensor: Tensor,
  { head, first, rows, signal }: {
    head: number;
    first: number;
    rows: number;
    signal?: AbortSignal;
  },
): Promise<Float64Array> {
  const { dim } = tensor;
  const norms = new Float64Array(rows);
  for (const range of chunksOf(0, rows, CHUNK_ROWS)) {
    using shared = new SharedArrays();
    const at = { head, first: first + range.first, count: range.count };
    const data = shared.float32(await readStoredRows(gpu, tensor, at));
    const slice = (from: number, to: number) => ({
      rows: data.subarray(from * dim, to * dim),
      dim,
    });
    const found = await eachRow("squaredNorms", range.count, { slice, signal });
    norms.set(found.norms, range.first);
  }
  return norms;
}
