/**
 * Evaluates models under dense attention, at whatever context a prompt has: held-out loss, and the
 * needle test of the retrieval suite. Models of other contexts share a trained model's weights.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { copyState } from "../../kernels/training/model/copy_state.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import { modelReference } from "../../kernels/training/model/model_reference.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import { drawSequences } from "../../kernels/training/stream/stream_twin.ts";
import type { AnswerCell, EvaluationRecord, ExperimentRecord } from "../result/result_schema.ts";
import { DenseModels } from "../retrieval/dense_models.ts";
import {
  evaluateNeedles,
  type NeedlePrompt,
  type NeedleProtocol,
  planPrompts,
} from "../retrieval/needle_model.ts";
import { meanLosses, readRowLogits } from "../retrieval/read_rows.ts";
import { type Experiment, modelOf } from "./experiment.ts";

/** Seed of held-out sequences; those of units are far below. */
const HELD_OUT_SEED = 2 ** 31;

/** Seed of the filler of prompts. */
const PROMPT_SEED = 1010;

/** Tokens of the prompt that is compared with float64. */
const CHECKED_TOKENS = 64;

/** What is evaluated, for every unit the same. */
export interface EvaluationPlan {
  /** `N + 1` bytes each. */
  readonly heldOut: readonly Uint8Array[];
  /** With their prompts: one needle, and several with keys. */
  readonly needles: readonly {
    readonly protocol: NeedleProtocol;
    readonly prompts: readonly NeedlePrompt[];
  }[];
}

/**
 * Draws held-out sequences and prompts.
 *
 * @param heldOut bytes of a corpus that are not trained on. Default: the synthetic language.
 */
export function planEvaluation(experiment: Experiment, heldOut?: Uint8Array): EvaluationPlan {
  const { evaluation, model: { context } } = experiment;
  const { needles, keyed } = evaluation;
  const protocols = [needles, keyed].flatMap((one) =>
    one ? [{ ...one, seed: PROMPT_SEED } satisfies NeedleProtocol] : []
  );
  return {
    heldOut: drawSequences({ seed: HELD_OUT_SEED, ...(heldOut && { corpus: heldOut }) }, {
      context,
      step: 0,
      sequences: evaluation.heldOut,
    }).map(({ bytes }) => bytes),
    needles: protocols.map((protocol) => ({ protocol, prompts: planPrompts(protocol) })),
  };
}

/** Evaluates the models of one experiment on one device. */
export class Evaluator {
  readonly #gpu: Gpu;
  readonly #options: ModelOptions;
  readonly #plan: EvaluationPlan;
  readonly #models: DenseModels;
  #trained?: TrainingModel;

  constructor(
    gpu: Gpu,
    { experiment, plan, dtype }: {
      experiment: Experiment;
      plan: EvaluationPlan;
      dtype: "f16" | "f32";
    },
  ) {
    this.#gpu = gpu;
    this.#plan = plan;
    const [arm] = experiment.arms;
    this.#options = modelOf(experiment, { arm, dense: true, dtype });
    this.#models = new DenseModels(gpu, this.#options, async (model) => {
      if (this.#trained) {
        await copyState(gpu, { from: this.#trained, to: model, weightsOnly: true });
      }
    });
  }

  /** Evaluates a model with its weights of now. */
  async evaluate(
    trained: TrainingModel,
    { name, signal }: { name: string; signal?: AbortSignal },
  ): Promise<Pick<EvaluationRecord, "heldOut" | "needles">> {
    this.#trained = trained;
    await this.#models.refill();
    const longest = await this.#models.at(this.#options.context);
    const heldOut = await meanLosses(longest, this.#plan.heldOut, { signal });
    const needles: AnswerCell[] = [];
    for (const { protocol, prompts } of this.#plan.needles) {
      const model = this.#models.needleModel(name, { signal });
      const cells = await evaluateNeedles(model, protocol, { prompts });
      needles.push(...cells.map((cell) => ({ ...cell })));
    }
    return { heldOut, needles };
  }

  /**
   * Compares the losses of a text's first tokens with float64. The tolerance is four times what
   * rounding to the device's storage changes in float64, and 1e-4.
   */
  async check(trained: TrainingModel): Promise<NonNullable<ExperimentRecord["check"]>> {
    const { context, batch = 1 } = this.#options;
    const vocabulary = trained.plan.model.vocabulary;
    this.#trained = trained;
    await this.#models.refill();
    const model = await this.#models.at(context);
    const count = Math.min(CHECKED_TOKENS, context);
    const bytes = this.#plan.heldOut[0].subarray(0, count + 1);
    const tokens = new Uint32Array(batch * context);
    tokens.set(bytes.subarray(0, count));
    const rows = Array.from({ length: count }, (_, row) => row);
    const [logits] = await readRowLogits(this.#gpu, model, [{ tokens, rows }]);
    const found = rows.map((row) => {
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      const most = own.reduce((a, b) => Math.max(a, b));
      const sum = own.reduce((total, value) => total + Math.exp(value - most), 0);
      return Math.log(sum) + most - own[bytes[row + 1]];
    });
    const weights = new Map<string, Float32Array>();
    for (const { name } of trained.plan.parameters) {
      weights.set(name, await trained.readParameter(name));
    }
    const options = { ...this.#options, context: count, batch: 1, accumulate: 1 };
    const given = {
      tokens: bytes.subarray(0, count),
      targets: bytes.subarray(1),
      gradients: false,
    };
    const exact = modelReference(options, weights, given).losses;
    const rounded = modelReference(options, weights, {
      ...given,
      stored: options.dtype === "f16" ? Math.f16round : Math.fround,
      floats: Math.fround,
    }).losses;
    const largest = (of: (i: number) => number) => rows.reduce((m, i) => Math.max(m, of(i)), 0);
    const maxError = largest((i) => Math.abs(found[i] - exact[i]));
    const tolerance = 4 * largest((i) => Math.abs(rounded[i] - exact[i])) + 1e-4;
    return {
      passed: maxError <= tolerance,
      detail:
        `losses of ${count} tokens of held-out text, from the logits that the needle test reads, ` +
        "against float64 with plain loops",
      maxError,
      tolerance,
    };
  }

  /** Frees everything. */
  destroy(): void {
    this.#models.destroy();
  }
}
