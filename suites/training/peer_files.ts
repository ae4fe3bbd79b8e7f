/**
 * What a peer is fed: our weights and the tokens of our steps, as files.
 *
 * @module
 */
import { saveCheckpoint } from "../../kernels/training/checkpoint/checkpoint.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { batchStarts } from "../../kernels/training/sampler/sample_batch.ts";
import type { Session } from "../measure/session.ts";
import { DISPATCH_SECONDS } from "../plan/durations.ts";
import type { PlannedStep } from "./plan_training.ts";
import type { Shared } from "./start_step.ts";
import { loadStart } from "./start.ts";
import { dataOf, type StepData } from "./step_data.ts";

/** Batches that a peer gets at least; it goes round. */
const LEAST_BATCHES = 4;

/** Files for a peer, and the losses of our first steps on them. */
export interface PeerFiles {
  readonly checkpoint: string;
  readonly tokens: string;
  readonly batches: number;
  readonly losses: readonly number[];
  readonly data: StepData["record"];
  readonly remove: () => Promise<void>;
}

/**
 * Writes the weights of a fresh model of ours and the tokens of its steps, and runs the first ones.
 */
export async function writePeerFiles(
  { gpu, seed, budget, signal }: Session,
  step: PlannedStep,
  { shared, checkedSteps }: { shared: Pick<Shared, "corpus" | "start">; checkedSteps: number },
): Promise<PeerFiles> {
  const data = await dataOf(step, { corpus: shared.corpus, seed });
  const folder = await Deno.makeTempDir({ prefix: "lighthouse-training-" });
  const remove = () => Deno.remove(folder, { recursive: true });
  try {
    const [checkpoint, tokens] = ["start.safetensors", "tokens.u32"].map((one) =>
      `${folder}/${one}`
    );
    const rate = budget.flopsPerSecond(step.entry);
    const flopsPerDispatch = rate && rate * DISPATCH_SECONDS;
    const model = await createTrainingModel(gpu, { ...step.options, flopsPerDispatch }, {
      seed,
      sampler: { corpus: data.bytes, seed },
    });
    try {
      if (shared.start) await loadStart(gpu, model, shared.start);
      const file = await Deno.open(checkpoint, { write: true, create: true });
      const writer = file.writable.getWriter();
      for await (const piece of saveCheckpoint(gpu, model)) await writer.write(piece);
      await writer.close();
      const { attempts } = await model.readState();
      await model.run(checkedSteps, { signal, flopsPerSubmission: flopsPerDispatch });
      const losses = (await model.readHistory()).map(({ loss }) => loss);
      const batches = Math.max(LEAST_BATCHES, checkedSteps);
      const drawn = tokensOf(step, { data, seed, batches, firstStep: attempts });
      await Deno.writeFile(tokens, new Uint8Array(drawn.buffer));
      return { checkpoint, tokens, batches, losses, data: data.record, remove };
    } finally {
      model.destroy();
    }
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Tokens of the steps from one on, u32 `[batches, sequences, N + 1]`, as the device draws them. */
export function tokensOf(
  { options: { context, batch = 1, accumulate = 1 } }: Pick<PlannedStep, "options">,
  { data, seed, batches, firstStep }: {
    data: Pick<StepData, "bytes">;
    seed: number;
    batches: number;
    /** Number of the first one: that of the model's state. */
    firstStep: number;
  },
): Uint32Array<ArrayBuffer> {
  const sequences = batch * accumulate;
  const all = new Uint32Array(batches * sequences * (context + 1));
  const drawn = { corpusBytes: data.bytes.length, sequences, context, seed };
  for (let i = 0; i < batches; i++) {
    for (const [sequence, first] of batchStarts(drawn, firstStep + i).entries()) {
      all.set(
        data.bytes.subarray(first, first + context + 1),
        (i * sequences + sequence) * (context + 1),
      );
    }
  }
  return all;
}
