/**
 * A Python module that trains whole models, as the suite `training` asks for it. `training_run.py`
 * is the other end.
 *
 * @module
 */
import { z } from "zod";
import { bytesPerElement } from "../../kernels/gpu/buffers.ts";
import type { LayerAttention } from "../../kernels/training/attention/types.ts";
import type { Model } from "../../kernels/training/model/model_options.ts";
import { modelParameters, parameterSize } from "../../kernels/training/model/parameters.ts";
import type { PeerModel, TrainingPeer, TrainingRequest } from "../plan/training_peer.ts";
import { PeerError, type PeerReply } from "./python_process.ts";

/** Seconds for compilers and for a step. */
const WORK_SECONDS = 600;

/** Seconds for a tensor. */
const ANSWER_SECONDS = 120;

/** Operations on one model of a process. */
export interface ModelRequests {
  /** Sends a request about the model. */
  readonly ask: (
    op: string,
    more: Readonly<Record<string, unknown>>,
    seconds: number,
  ) => Promise<PeerReply>;
  /** Frees the model. */
  readonly release: () => Promise<void>;
}

/** What a module is that trains. */
export interface PythonTrainingOptions {
  /** Names the module in errors. */
  readonly name: string;
  /** Layers that it can train: `dense`, or scorers of Lighthouse layers. */
  readonly trains: readonly string[];
  /** Begins a model in the process. */
  readonly open: (signal?: AbortSignal) => ModelRequests;
}

const toldSchema = z.object({
  notes: z.array(z.string()),
  gradients: z.boolean(),
  weights: z.boolean(),
});

/** No finite number is null: JSON has no other. */
const lossSchema = z.number().nullable().transform((loss) => loss ?? NaN);

const stepSchema = z.object({
  gpuSeconds: z.number().nonnegative().nullable(),
  wallSeconds: z.number().nonnegative(),
  loss: lossSchema,
  peakBytes: z.number().nonnegative().nullable(),
});

const gradientsSchema = z.object({ loss: lossSchema });

/** What a layer is called in `trains`. */
function layerName(attention: LayerAttention): string {
  if (attention.kind === "dense") return "dense";
  const { scorer } = attention;
  return typeof scorer === "string" ? scorer : scorer.name;
}

/** A module as a peer that trains. */
export function pythonTraining({ name, trains, open }: PythonTrainingOptions): TrainingPeer {
  return {
    refuses: ({ attention }) => {
      const other = attention.map(layerName).find((one) => !trains.includes(one));
      return other && `${name} trains layers of ${trains.join(", ")}, not of ${other}`;
    },
    peakBytes: estimateTrainingBytes,
    prepare: (request) => prepareModel(open(request.signal), request),
  };
}

/**
 * Bytes that a framework may hold without recompute: weights, gradients and moments in f32, what a
 * layer keeps for its backward pass, and the logits of some rows.
 */
export function estimateTrainingBytes(model: Model): number {
  const { layers, width, ffn, vocabulary, rows, dtype } = model;
  const parameters = modelParameters(model).reduce((sum, one) => sum + parameterSize(one), 0);
  // The residual stream twice, both norms, q, k, v, attention's output; gates, values, activation.
  const kept = layers * rows * (8 * width + 3 * ffn) * bytesPerElement(dtype);
  const logits = Math.min(rows * vocabulary, 2 ** 29) * 12;
  return Math.ceil(parameters * 18 + 1.1 * kept + logits);
}

async function prepareModel(
  { ask, release }: ModelRequests,
  { model, checkpoint, tokens, batches }: TrainingRequest,
): Promise<PeerModel> {
  let told: z.infer<typeof toldSchema>;
  try {
    const attention = model.attention.map((one) =>
      one.kind === "dense" ? one : { ...one, scorer: layerName(one) }
    );
    const run = { model: { ...model, attention }, checkpoint, tokens, batches };
    told = toldSchema.parse((await ask("train_prepare", run, WORK_SECONDS)).reply);
  } catch (error) {
    await release();
    throw error;
  }
  const sizes = new Map(modelParameters(model).map((one) => [one.name, parameterSize(one)]));
  const read = async (parameter: string, part: "gradient" | "weights") => {
    const { data } = await ask("train_tensor", { parameter, part }, ANSWER_SECONDS);
    if (data.length === sizes.get(parameter)! * 4) return new Float32Array(data.buffer);
    throw new PeerError(
      `${part} of ${parameter}: ${data.length} bytes for ${sizes.get(parameter)} numbers`,
    );
  };
  return {
    notes: told.notes,
    step: async () => {
      const { reply } = await ask("train_step", {}, WORK_SECONDS);
      const { peakBytes, ...step } = stepSchema.parse(reply);
      return { ...step, ...peakBytes !== null && { peakBytes } };
    },
    ...told.gradients && {
      gradients: async (batch: number) => {
        const { reply } = await ask("train_gradients", { batch }, WORK_SECONDS);
        const { loss } = gradientsSchema.parse(reply);
        return { loss, read: (parameter: string) => read(parameter, "gradient") };
      },
    },
    ...told.weights && { readWeights: (parameter: string) => read(parameter, "weights") },
    destroy: release,
  };
}
