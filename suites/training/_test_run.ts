/**
 * Runs of the suite with a model that a software adapter trains in a second, for tests.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import {
  blobSource,
  loadCheckpoint,
  saveCheckpoint,
} from "../../kernels/training/checkpoint/checkpoint.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import type { Measurable } from "../plan/measurable.ts";
import type { CaseRecord, Result } from "../result/result_schema.ts";
import type { SuiteOptions } from "../run/run_options.ts";
import { runCalibrated } from "../run/runner.ts";
import { seededData } from "./step_data.ts";

/** One layer of each kind of attention would do; two make the second read what the first wrote. */
export const TINY: SuiteOptions = {
  profile: "smoke",
  suites: ["training"],
  contexts: [256],
  options: { levels: [2], pooling: [2], k: [128] },
  scorers: ["norm"],
  settings: {
    training: { model: { layers: 2, width: 64, heads: 2, ffn: 96 }, vocabularies: [64] },
  },
  samples: 2,
  seed: 3,
};

/** A run of the suite on an open device. */
export function runTraining(gpu: Gpu, options: SuiteOptions = {}): Promise<Result> {
  return runCalibrated({ ...TINY, gpu, ...options }, {
    calibration: {
      ...CALIBRATION,
      record: { clock: gpu.capabilities.timestamps ? "gpu" : "wall" },
    },
  });
}

/** The bytes of a checkpoint of the model of {@linkcode TINY} after some steps. */
export async function saveTiny(gpu: Gpu, steps: number): Promise<Uint8Array<ArrayBuffer>> {
  const model = await createTrainingModel(gpu, {
    layers: 2,
    width: 64,
    heads: 2,
    ffn: 96,
    vocabulary: 64,
    context: 256,
    dtype: gpu.capabilities.f16 ? "f16" : "f32",
  }, { sampler: { corpus: seededData({ bytes: 300, vocabulary: 64, seed: 5 }) } });
  await model.run(steps);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of saveCheckpoint(gpu, model)) pieces.push(piece);
  model.destroy();
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** The case of an implementation. */
export function caseOf(result: Result, implementation: string): CaseRecord {
  return result.cases.find((record) => record.implementation === implementation)!;
}

/**
 * A peer that trains our own model from the files that it gets, with losses changed by `error`
 * nats.
 */
export function twinPeer(
  gpu: Gpu,
  { name, error = 0, refuses }: { name: string; error?: number; refuses?: string },
): Measurable {
  const unused = () => {
    throw new TypeError("the twin has no layers");
  };
  return {
    name: `peer:${name}`,
    title: "our own model, fed through files",
    family: "dense",
    options: [],
    directions: [],
    peer: true,
    smallest: unused,
    visible: IMPLEMENTATIONS[0].visible,
    plan: unused,
    prepare: unused,
    training: {
      refuses: ({ attention }) =>
        refuses ??
          (attention.some(({ kind }) => kind !== "dense") ? "dense layers only" : undefined),
      peakBytes: () => 2 ** 20,
      prepare: async ({ model, checkpoint, tokens, batches }) => {
        const { products: _, flopsPerDispatch: __, ...options } = model;
        const own = await createTrainingModel(gpu, options);
        await loadCheckpoint(gpu, own, blobSource(new Blob([await Deno.readFile(checkpoint)])));
        const all = new Uint32Array((await Deno.readFile(tokens)).buffer);
        let steps = 0;
        return {
          notes: ["a twin of ours"],
          step: async () => {
            const size = all.length / batches;
            own.writeBatch(all.subarray((steps % batches) * size, (steps % batches + 1) * size));
            const started = performance.now();
            await own.run(1);
            const wallSeconds = (performance.now() - started) / 1e3;
            steps++;
            const { loss } = (await own.readHistory(1))[0];
            return { gpuSeconds: null, wallSeconds, loss: loss + error, peakBytes: 2 ** 20 };
          },
          destroy: own.destroy,
        };
      },
    },
  };
}
