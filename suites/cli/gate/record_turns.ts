/**
 * Records turns of this checkout against itself, for the study of the paired gate's quality:
 * `deno task gate-quality --record SECONDS` (see `measure_quality.ts`).
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { openDevice } from "../../../kernels/gpu/open_device.ts";
import type { Direction, LighthouseOptions } from "../../../kernels/implementation.ts";
import type { Block, Quad } from "./judge_paired.ts";
import { takeBlock, type TimedProblem } from "./take_turns.ts";

/** Turns of the same code on both sides. Quads are two baseline and two candidate seconds. */
export interface RecordedTurns {
  readonly recordedAt: string;
  readonly device: string;
  readonly cases: readonly string[];
  readonly blocks: readonly (readonly {
    readonly quads: readonly (readonly number[])[];
    readonly control: readonly (readonly number[])[];
  }[])[];
}

const HEADS = 1;
const HEAD_DIM = 64;

function problem(
  implementation: string,
  context: number,
  options: { direction?: Direction; layer?: LighthouseOptions; seconds: number },
): TimedProblem {
  const { direction = "forward", layer, seconds } = options;
  const suffix = layer ? `-L${layer.levels}-p${layer.pooling}-k${layer.k}` : "";
  return {
    id: `latency/${implementation}/${direction}/N${context}-H${HEADS}-d${HEAD_DIM}-f32${suffix}`,
    implementation,
    problem: {
      shape: { heads: HEADS, context, headDim: HEAD_DIM, dtype: "f32" },
      direction,
      ...(layer && { options: layer }),
    },
    seed: 1,
    seconds,
  };
}

/** Small enough for many turns on a processor; seconds are what such a one takes, roughly. */
const PROBLEMS: readonly TimedProblem[] = [
  problem("dense", 256, { seconds: 0.008 }),
  problem("dense", 512, { seconds: 0.03 }),
  problem("dense", 256, { direction: "forward-backward", seconds: 0.04 }),
  problem("dense-naive", 256, { seconds: 0.03 }),
  problem("lighthouse-norm", 1024, {
    layer: { levels: 2, pooling: 4, k: 128 },
    seconds: 0.05,
  }),
];

/** Takes blocks for some seconds; `save` gets everything so far after each. */
export async function recordTurns(
  options: { seconds: number; save: (turns: RecordedTurns) => Promise<void> },
): Promise<void> {
  const here = fileURLToPath(new URL("../../..", import.meta.url));
  const checkouts = { baseline: here, candidate: here };
  const gpu = await openDevice();
  const device = `${gpu.adapter.description}, ${navigator.hardwareConcurrency} cores`;
  gpu.destroy();
  const deadline = performance.now() + options.seconds * 1e3;
  const blocks: RecordedTurns["blocks"][number][] = [];
  const recordedAt = new Date().toISOString();
  const flat = (quads: readonly Quad[]) =>
    quads.map(({ baseline, candidate }) =>
      [...baseline, ...candidate].map((seconds) => Number(seconds.toPrecision(4)))
    );
  while (performance.now() < deadline) {
    const block: Block = await takeBlock(checkouts, PROBLEMS, {
      stack: "deno",
      clock: "gpu",
      names: checkouts,
    });
    blocks.push(PROBLEMS.map(({ id }) => {
      const { quads, control, reason } = block[id];
      if (reason !== undefined) throw new Error(`${id}: ${reason}`);
      return { quads: flat(quads), control: flat(control) };
    }));
    await options.save({
      recordedAt,
      device,
      cases: PROBLEMS.map(({ id }) => id),
      blocks,
    });
  }
}
