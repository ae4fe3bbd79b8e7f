/**
 * The last row of a Lighthouse layer: the layer's own scoring, pooling and selection over the whole
 * context, then attention for the rows that reach the last position alone.
 *
 * Base row N - 1 gets a contribution from the last entry of each level that was selected
 * (specification, section 5); the layer's output there is their sum.
 *
 * @module
 */
import {
  bytesPerElement,
  createStorageBuffer,
  createTensor,
  type Dispatch,
  encodeDispatches,
  readBuffer,
  slice,
  type Tensor,
  USAGE,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { Timer } from "../gpu/timing.ts";
import type { AttentionShape, LighthouseOptions } from "../implementation.ts";
import { dilatedScorer } from "../lighthouse/dilated_scorer.ts";
import { glaScorer } from "../lighthouse/gla_scorer.ts";
import { planGeometry, requireLayerShape } from "../lighthouse/lighthouse_geometry.ts";
import { createPyramid, planPyramid } from "../lighthouse/pyramid.ts";
import { normScorer, type Scorer } from "../lighthouse/scorer.ts";
import { createSelection, NOT_SELECTED, planSelection } from "../lighthouse/select.ts";
import { type AttendedRow, createLastRow, planLastRow } from "./last_row.ts";

const SCORERS: Readonly<Record<LighthouseOptions["scorer"], Scorer>> = {
  norm: normScorer,
  dilated: dilatedScorer,
  gla: glaScorer(),
};

/**
 * FLOP of one submission: a quarter of a second on a device of 0.4 TFLOP/s, since a quadratic scorer
 * over many heads would else be silent for longer than display drivers allow.
 */
const SUBMISSION_FLOPS = 1e11;

/** What became of the last row of one head. */
export interface LighthouseRow {
  /** Attention of the last entry of each level, finest first; null where it was not selected. */
  readonly levels: readonly (AttendedRow | null)[];
  /** `[d]`, their sum. */
  readonly output: Float64Array;
}

/** A prepared last row of a Lighthouse layer. */
export interface LighthouseLastRow {
  /** S. */
  readonly gathered: number;
  /**
   * Runs the layer up to the last row. `watched` are base rows of each head, `[heads][…]`, the same
   * number for all.
   *
   * @returns rows by head, and for every watched row whether its entry at each level was selected,
   * finest first.
   */
  readonly run: (
    watched: readonly (readonly number[])[],
    options?: { signal?: AbortSignal },
  ) => Promise<{
    rows: LighthouseRow[];
    selected: boolean[][][];
  }>;
  readonly destroy: () => void;
}

/**
 * Prepares the last row of a layer over inputs of one block.
 *
 * @throws {RangeError} one line, when the layer cannot run the problem.
 */
export async function createLighthouseLastRow(
  gpu: Gpu,
  problem: { shape: AttentionShape; lighthouse: LighthouseOptions },
  inputs: { q: Tensor; k: Tensor; v: Tensor },
): Promise<LighthouseLastRow> {
  const { shape, lighthouse } = problem;
  requireLayerShape(shape);
  const { heads, context, headDim, dtype } = shape;
  const geometry = planGeometry(context, lighthouse);
  if (inputs.q.blocks.length !== 1) {
    throw new RangeError(
      `prepare lighthouse last row: inputs lie in ${inputs.q.blocks.length} blocks, 1 is needed`,
    );
  }
  const scorer = SCORERS[lighthouse.scorer];
  const scoring = { shape, lighthouse, geometry, headsPerBlock: heads };
  scorer.pass?.plan(gpu, scoring);
  const owned: { destroy: () => void }[] = [];
  const own = <T extends { destroy: () => void }>(thing: T): T => {
    owned.push(thing);
    return thing;
  };
  const destroy = () => owned.splice(0).reverse().forEach((thing) => thing.destroy());
  try {
    const size = { heads, headDim, dtype };
    const pyramid = async (scored: boolean) =>
      own(await createPyramid(gpu, planPyramid(geometry, { ...size, scored })));
    const plain = await pyramid(false);
    const ranked = scorer.pass ? plain : await pyramid(true);
    const pass = scorer.pass && own(
      await scorer.pass.create(gpu, scoring, { heads, flopsPerDispatch: SUBMISSION_FLOPS }),
    );
    const selection = own(await createSelection(gpu, planSelection(geometry, heads)));
    const lastRow = own(await createLastRow(gpu, planLastRow({ ...size, context, geometry })));
    const pooled = async (label: string) =>
      own(
        await createTensor(gpu, { heads, rows: geometry.pooledEntries, dim: headDim, dtype }, {
          label,
          headsPerBlock: heads,
        }),
      ).blocks[0].data;
    const words = async (label: string, count: number) =>
      slice(own(await createStorageBuffer(gpu, heads * count * 4, { label })));
    const [pooledQ, pooledK, pooledV] = [
      await pooled("pooled q"),
      await pooled("pooled k"),
      await pooled("pooled v"),
    ];
    const queryScores = await words("query scores", geometry.entries);
    const keyScores = await words("key scores", geometry.entries);
    const slots = await words("slots", geometry.entries);
    const indices = await words("indices", geometry.gathered);
    const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((tensor) => tensor.blocks[0].data);
    const before: Dispatch[] = [
      ...(pass ? pass.bind({ firstHead: 0, q, k, v, queryScores, keyScores }) : []),
      ...ranked.bind({ rows: q, pooled: pooledQ, scores: queryScores }),
      ...ranked.bind({ rows: k, pooled: pooledK, scores: keyScores }),
      ...plain.bind({ rows: v, pooled: pooledV }),
      ...selection.bind({ queryScores, keyScores, indices, slots }),
    ];
    const after = lastRow.bind({ k, v, gathered: { pooledK, pooledV, indices, slots } });
    const timer = own(new Timer(gpu));
    const row = headDim * bytesPerElement(dtype);
    const { levels, levelOffsets, levelEntries, entries, pooledEntries, pooling } = geometry;
    return {
      gathered: geometry.gathered,
      run: async (watched, options = {}) => {
        await timer.run([{ name: "select", dispatches: before }], {
          signal: options.signal,
          flopsPerSecond: SUBMISSION_FLOPS,
          maxSubmissionSeconds: 1,
        });
        const perHead = levels * (1 + (watched[0]?.length ?? 0));
        const places = gpu.device.createBuffer({
          label: "watched slots",
          size: heads * perHead * 4,
          usage: USAGE.copySrc | USAGE.copyDst,
        });
        try {
          const encoder = gpu.device.createCommandEncoder({ label: "last row" });
          for (let head = 0; head < heads; head++) {
            for (let level = 0; level < levels; level++) {
              const last = levelEntries[level] - 1;
              const [source, at] = level === 0
                ? [q, head * context + last]
                : [pooledQ, head * pooledEntries + levelOffsets[level] - context + last];
              encoder.copyBufferToBuffer(
                source.buffer,
                source.offset + at * row,
                lastRow.queries.buffer,
                (head * levels + level) * row,
                row,
              );
              for (const [i, base] of [context - 1, ...watched[head] ?? []].entries()) {
                const entry = levelOffsets[level] + Math.floor(base / pooling ** level);
                encoder.copyBufferToBuffer(
                  slots.buffer,
                  (head * entries + entry) * 4,
                  places,
                  (head * perHead + i * levels + level) * 4,
                  4,
                );
              }
            }
          }
          const compute = encoder.beginComputePass();
          encodeDispatches(compute, [after]);
          compute.end();
          gpu.device.queue.submit([encoder.finish()]);
          const attended = await lastRow.read();
          const bytes = await readBuffer(gpu, slice(places));
          const found = new Uint32Array(bytes.buffer);
          const chosen = (head: number, i: number) =>
            Array.from(
              { length: levels },
              (_, level) => found[head * perHead + i * levels + level] !== NOT_SELECTED,
            );
          return {
            rows: attended.map((parts, head) => {
              const present = chosen(head, 0);
              const output = new Float64Array(headDim);
              for (const [level, part] of parts.entries()) {
                if (present[level]) part.output.forEach((x, c) => output[c] += x);
              }
              return { levels: parts.map((part, l) => present[l] ? part : null), output };
            }),
            selected: attended.map((_, head) =>
              (watched[head] ?? []).map((_, i) => chosen(head, i + 1))
            ),
          };
        } finally {
          places.destroy();
        }
      },
      destroy,
    };
  } catch (error) {
    destroy();
    throw error;
  }
}
