/**
 * Trains a tiny model on the bytes of a text, saves it halfway, and resumes from the file: the
 * resumed run gives the same bits.
 *
 *     deno run --allow-read --allow-write=out examples/train_a_tiny_model/train.ts [TEXT]
 *
 * Two layers of width 64; on two processors without a GPU a step of 512 tokens takes less than a
 * second once the kernels are compiled.
 *
 * @module
 */
import {
  blobSource,
  createTrainingModel,
  describeTrainingPlan,
  type Gpu,
  loadCheckpoint,
  type ModelOptions,
  openDevice,
  saveCheckpoint,
} from "../../kernels/mod.ts";

/** The model. Every layer could be Lighthouse: see `attention` of `ModelOptions`. */
export const TINY: ModelOptions = {
  layers: 2,
  width: 64,
  heads: 2,
  ffn: 96,
  vocabulary: 256,
  context: 128,
  batch: 4,
  dtype: "f16",
  optimizer: { learningRate: 1e-2, warmup: 5 },
};

/** The default text. */
export const TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on. ".repeat(
  60,
);

/** Results of a run. */
export interface Run {
  /** Mean loss of each step, in nats. */
  readonly losses: readonly number[];
  /** The checkpoint after half of the steps. */
  readonly checkpoint: Blob;
  /** Weights of the head after all steps. */
  readonly head: Float32Array;
}

/** Trains for the given number of steps, and saves after half of them. */
export async function train(
  gpu: Gpu,
  corpus: Uint8Array,
  { steps, resume }: { steps: number; resume?: Blob },
): Promise<Run> {
  const model = await createTrainingModel(gpu, TINY, { sampler: { corpus } });
  try {
    if (resume) await loadCheckpoint(gpu, model, blobSource(resume));
    const { attempts: before } = await model.readState();
    const half = Math.max(0, Math.floor(steps / 2) - before);
    await model.run(half);
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for await (const piece of saveCheckpoint(gpu, model)) pieces.push(piece);
    await model.run(steps - before - half);
    // The first read: until now the losses of all steps were only on the device.
    const history = await model.readHistory();
    return {
      losses: history.map(({ loss }) => loss),
      checkpoint: new Blob(pieces),
      head: await model.readParameter("head"),
    };
  } finally {
    model.destroy();
  }
}

if (import.meta.main) {
  const [file] = Deno.args;
  const corpus = file ? await Deno.readFile(file) : new TextEncoder().encode(TEXT);
  const gpu = await openDevice();
  const steps = 40;
  const { plan, destroy } = await createTrainingModel(gpu, TINY, { sampler: { corpus } });
  console.log(describeTrainingPlan(plan).slice(0, 4).join("\n"));
  destroy();
  const whole = await train(gpu, corpus, { steps });
  for (const [step, loss] of whole.losses.entries()) {
    if (step % 4 === 0 || step === steps - 1) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
  }
  await Deno.mkdir("out", { recursive: true });
  await Deno.writeFile("out/tiny.safetensors", whole.checkpoint.stream());
  const saved = new Blob([await Deno.readFile("out/tiny.safetensors")]);
  const resumed = await train(gpu, corpus, { steps, resume: saved });
  const same = resumed.head.every((value, i) => Object.is(value, whole.head[i]));
  console.log(`resumed from out/tiny.safetensors: ${same ? "the same bits" : "other bits"}`);
  gpu.destroy();
}
