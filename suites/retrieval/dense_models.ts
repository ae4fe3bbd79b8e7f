/**
 * A trained model at whatever context a text has: models of other contexts with its weights, every
 * layer dense.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import {
  createTrainingModel,
  type TrainingModel,
} from "../../kernels/training/model/training_model.ts";
import type { NeedleModel } from "./needle_model.ts";
import { readRowLogits, type RowsRequest } from "./read_rows.ts";

/** Character of the digit 0. */
const ZERO = 48;

/** Options of {@linkcode DenseModels.needleModel}. */
export interface AnswerOptions {
  readonly signal?: AbortSignal;
  readonly onBatch?: (done: number, all: number) => void;
}

/** Models of one shape by their context. */
export class DenseModels {
  readonly #gpu: Gpu;
  readonly #options: Omit<ModelOptions, "attention">;
  readonly #fill: (model: TrainingModel) => Promise<void>;
  readonly #models = new Map<number, TrainingModel>();
  readonly #tokens = new Map<string, Uint32Array>();

  /**
   * @param options of a model; a batch at other contexts has about as many tokens as one of its
   * own.
   * @param fill writes the weights into a new model, and again when {@linkcode refill} is called.
   */
  constructor(
    gpu: Gpu,
    options: Omit<ModelOptions, "attention">,
    fill: (model: TrainingModel) => Promise<void>,
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#fill = fill;
  }

  /** The weights have changed. */
  async refill(): Promise<void> {
    for (const model of this.#models.values()) await this.#fill(model);
  }

  /**
   * The model of a context.
   *
   * @param count sequences to come: a new model takes them in batches of one size. Default: any
   * number.
   */
  async at(context: number, count = Infinity): Promise<TrainingModel> {
    let model = this.#models.get(context);
    if (!model) {
      const { context: longest, batch = 1 } = this.#options;
      const most = Math.max(1, Math.floor(longest * batch / context));
      model = await createTrainingModel(this.#gpu, {
        ...this.#options,
        context,
        batch: count < Infinity ? Math.ceil(count / Math.ceil(count / most)) : most,
        accumulate: 1,
        recompute: "least",
      });
      this.#models.set(context, model);
      await this.#fill(model);
    }
    return model;
  }

  /**
   * The model as the needle test sees it; its tokens are bytes.
   *
   * @param options `onBatch` is called with the batches done and all of them, for each length of
   * text.
   */
  needleModel(name: string, options: AnswerOptions = {}): NeedleModel {
    const digitLogitsOf = (texts: readonly string[]) => this.#answer(texts, options);
    return {
      name,
      digitLogitsOf,
      digitLogits: async (text) => (await digitLogitsOf([text]))[0],
    };
  }

  /** Frees everything. */
  destroy(): void {
    for (const model of this.#models.values()) model.destroy();
    this.#models.clear();
  }

  /** Logits of the ten digits after each text, in batches of texts of one length. */
  async #answer(
    texts: readonly string[],
    { signal, onBatch }: AnswerOptions,
  ): Promise<Float32Array[]> {
    const answers = new Array<Float32Array>(texts.length);
    for (const [context, indices] of Map.groupBy(texts.keys(), (i) => texts[i].length)) {
      const model = await this.at(context, indices.length);
      const { batch, vocabulary } = model.plan.model;
      const groups = Array.from(
        { length: Math.ceil(indices.length / batch) },
        (_, i) => indices.slice(i * batch, (i + 1) * batch),
      );
      const requests = groups.map((group): RowsRequest => {
        const tokens = new Uint32Array(batch * context);
        group.forEach((i, place) => tokens.set(this.#encode(texts[i]), place * context));
        return { tokens, rows: group.map((_, place) => (place + 1) * context - 1) };
      });
      const logits = await readRowLogits(this.#gpu, model, requests, {
        signal,
        onBatch: (done) => onBatch?.(done, requests.length),
      });
      for (const [g, group] of groups.entries()) {
        group.forEach((i, place) => {
          const first = place * vocabulary + ZERO;
          answers[i] = logits[g].slice(first, first + 10);
        });
      }
    }
    return answers;
  }

  /** Bytes of a text, kept: the same prompts come again. */
  #encode(text: string): Uint32Array {
    let tokens = this.#tokens.get(text);
    if (!tokens) {
      tokens = Uint32Array.from(new TextEncoder().encode(text));
      this.#tokens.set(text, tokens);
    }
    return tokens;
  }
}
