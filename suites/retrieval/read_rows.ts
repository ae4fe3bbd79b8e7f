/**
 * Forward passes over many batches, of which few numbers are read: logits of chosen rows, or sums
 * of losses. Batches are submitted ahead of their results, which come back together.
 *
 * @module
 */
import { writeBuffer } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { waitFor } from "../../kernels/gpu/submit.ts";
import { Readback } from "../../kernels/retrieval/readback.ts";
import { runStages } from "../../kernels/training/model/run_stages.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";

/** Batches that are submitted before the device has done the first of them. */
const AHEAD = 8;

/** A batch to evaluate. */
export interface RowsRequest {
  /** u32 `[batch, N]`. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  /** Rows of `[batch · N]` whose logits are wanted. */
  readonly rows: readonly number[];
}

/**
 * Logits of chosen rows: for each request, f32 `[rows, V]`.
 *
 * @param options `onBatch` is called with the number of requests that the device has done.
 * @throws {RangeError} one line, when the model computes its logits in several chunks, or a batch
 * or a row has another size.
 */
export async function readRowLogits(
  gpu: Gpu,
  model: TrainingModel,
  requests: readonly RowsRequest[],
  { signal, onBatch }: { signal?: AbortSignal; onBatch?: (done: number) => void } = {},
): Promise<Float32Array[]> {
  const { rows, vocabulary } = model.plan.model;
  const logits = model.buffer("logits");
  const action = "read logits";
  if (model.plan.products.chunks.length > 1) {
    throw new RangeError(
      `${action}: the ${rows} rows of a batch exceed the ${model.plan.model.chunkRows} whose ` +
        "logits exist at once",
    );
  }
  for (const { tokens, rows: chosen } of requests) {
    if (tokens.length !== rows || chosen.some((row) => !(row >= 0 && row < rows))) {
      throw new RangeError(`${action}: ${tokens.length} tokens, rows ${chosen} of ${rows}`);
    }
  }
  const wanted = requests.reduce((sum, { rows }) => sum + rows.length, 0);
  const readback = new Readback(gpu, wanted * vocabulary * 4);
  const pending: Promise<unknown>[] = [];
  let finished = 0;
  try {
    for (const { tokens, rows: chosen } of requests) {
      signal?.throwIfAborted();
      if (pending.length >= AHEAD) await pending.shift();
      writeBuffer(gpu, model.buffer("tokens"), tokens);
      const taken = runStages(gpu, model.evaluationStages);
      const encoder = gpu.device.createCommandEncoder({ label: action });
      for (const row of chosen) {
        const offset = logits.offset + row * vocabulary * 4;
        readback.take(encoder, { buffer: logits.buffer, offset, size: vocabulary * 4 });
      }
      readback.submit(encoder, action);
      const done = Promise.all([
        taken,
        waitFor(gpu, gpu.device.queue.onSubmittedWorkDone(), action),
      ]);
      done.then(() => onBatch?.(++finished), () => {}); // a failure is awaited later
      pending.push(done);
    }
    await Promise.all(pending);
  } catch (error) {
    readback.destroy();
    throw error;
  }
  const all = new Float32Array(await readback.read());
  let at = 0;
  return requests.map(({ rows: chosen }) => {
    const first = at;
    at += chosen.length * vocabulary;
    return all.subarray(first, at);
  });
}

/**
 * Mean losses of sequences that are not trained on, in nats: one number for each.
 *
 * @param sequences `N + 1` bytes each; as many as there are, in batches of the model.
 */
export async function meanLosses(
  model: TrainingModel,
  sequences: readonly Uint8Array[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<number[]> {
  const { batch, context } = model.plan.model;
  const means: number[] = [];
  for (let first = 0; first < sequences.length; first += batch) {
    signal?.throwIfAborted();
    const own = sequences.slice(first, first + batch);
    const tokens = new Uint32Array(batch * (context + 1));
    own.forEach((sequence, i) => tokens.set(sequence, i * (context + 1)));
    const losses = await model.evaluate(tokens);
    for (let i = 0; i < own.length; i++) {
      let sum = 0;
      for (let row = 0; row < context; row++) sum += losses[i * context + row];
      means.push(sum / context);
    }
  }
  return means;
}
