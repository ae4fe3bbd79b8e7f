/**
 * A training step as stages: the forward pass, the loss, the backward pass with what it computes again,
 * and the update, bound to the buffers of a plan.
 *
 * Stages carry the name of what they are (`products`, `attention`, `norms`, …), so that the same names
 * come again and again in a step; a breakdown adds them up.
 *
 * @module
 */
import { type BufferSlice, bytesPerElement, type Dispatch } from "../../gpu/buffers.ts";
import type { Stage } from "../../gpu/timing.ts";
import type { BoundAttention } from "../attention/layer_attention.ts";
import type { TrainingPlan } from "./model_plan.ts";
import { qkvLayout } from "./model_products.ts";
import type { StepKernels } from "./step_kernels.ts";

/** What the stages of a step are. */
export type StageName =
  | "sampling"
  | "embedding"
  | "norms"
  | "products"
  | "attention"
  | "elementwise"
  | "loss"
  | "optimizer";

/** All names, in the order of a first appearance. */
export const STAGE_NAMES: readonly StageName[] = [
  "sampling",
  "embedding",
  "norms",
  "products",
  "attention",
  "elementwise",
  "loss",
  "optimizer",
];

/** Stages of a step. */
export interface BoundStep {
  /** Forward, loss and backward pass of one batch. */
  readonly batches: readonly (readonly Stage[])[];
  /** The update. */
  readonly update: readonly Stage[];
}

/** Collects stages; neighbours of one name become one. */
class Stages {
  readonly list: { name: StageName; dispatches: Dispatch[] }[] = [];

  add(name: StageName, dispatches: readonly Dispatch[]): void {
    if (dispatches.length === 0) return;
    const last = this.list[this.list.length - 1];
    if (last?.name === name) last.dispatches.push(...dispatches);
    else this.list.push({ name, dispatches: [...dispatches] });
  }
}

/** What binding needs. */
interface Binding {
  readonly plan: TrainingPlan;
  readonly kernels: StepKernels;
  /** A buffer of the plan. */
  readonly buffer: (name: string) => BufferSlice;
}

/** A range of a buffer. */
function part(whole: BufferSlice, offset: number, size: number): BufferSlice {
  return { buffer: whole.buffer, offset: whole.offset + offset, size };
}

/** Binds all kernels of a step. */
export function bindStep(binding: Binding): BoundStep {
  const { accumulate, rows } = binding.plan.model;
  const layers = binding.plan.attention.map((_, layer) => new Layer(binding, layer));
  const batches = Array.from({ length: accumulate }, (_, batch) => {
    const stages = new Stages();
    const tokens = part(binding.buffer("tokens"), batch * rows * 4, rows * 4);
    const targets = part(binding.buffer("targets"), batch * rows * 4, rows * 4);
    bindEmbedding(stages, binding, tokens);
    for (const layer of layers) layer.forward(stages);
    bindHead(stages, binding, targets);
    for (const layer of layers.toReversed()) layer.backward(stages);
    bindEmbeddingBackward(stages, binding, tokens);
    return stages.list;
  });
  const update = new Stages();
  bindUpdate(update, binding);
  return { batches, update: update.list };
}

function bindEmbedding(stages: Stages, { kernels, buffer }: Binding, tokens: BufferSlice): void {
  const bindings = { tokens, table: buffer("embedding weights"), x: buffer("layer 0 x") };
  stages.add("embedding", kernels.embedding.bind(bindings));
}

function bindEmbeddingBackward(
  stages: Stages,
  { kernels, buffer }: Binding,
  tokens: BufferSlice,
): void {
  const bindings = {
    tokens,
    gradient: buffer("x gradient"),
    tableGradient: buffer("embedding gradient"),
    sorted: buffer("sorted tokens"),
    other: buffer("sorted tokens, other"),
    counts: buffer("digit counts"),
  };
  stages.add("embedding", kernels.embeddingBackward.bind(bindings));
}

/** The weights of a matrix as products read them. */
function factor({ plan, buffer }: Binding, name: string): BufferSlice {
  return buffer(plan.model.dtype === "f16" ? `${name} copy` : `${name} weights`);
}

/** The last norm, the head, the loss and the beginning of the backward pass. */
function bindHead(stages: Stages, binding: Binding, targets: BufferSlice): void {
  const { plan, kernels, buffer } = binding;
  const { model, products } = plan;
  const { width, dtype, layers, vocabulary } = model;
  const size = bytesPerElement(dtype);
  const [x, gain] = [buffer(`layer ${layers} x`), buffer("norm weights")];
  const [normed, inverse] = [buffer("normed"), buffer("norm inverse")];
  const [logits, logitGradient] = [buffer("logits"), buffer("logit gradient")];
  const gradient = buffer("normed gradient");
  const head = factor(binding, "head");
  stages.add("norms", kernels.norm.bind({ x, gain, y: normed, inverse }));
  for (const [i, { firstRow, rows }] of products.chunks.entries()) {
    const own = kernels.head.get(rows)!;
    const left = part(normed, firstRow * width * size, rows * width * size);
    const [chunkLogits, chunkGradient] = [
      part(logits, 0, rows * vocabulary * 4),
      part(logitGradient, 0, roundUp(rows * vocabulary * size)),
    ];
    stages.add("products", own.logits.bind({ left, right: head, result: chunkLogits }));
    stages.add(
      "loss",
      kernels.losses[i].bind({
        logits: chunkLogits,
        targets,
        state: buffer("step state"),
        losses: buffer("losses"),
        gradient: chunkGradient,
      }),
    );
    stages.add("products", [
      ...own.input.bind({
        left: chunkGradient,
        right: head,
        result: part(gradient, firstRow * width * 4, rows * width * 4),
      }),
      ...own.weights.bind({
        left: chunkGradient,
        right: left,
        result: buffer("head gradient"),
        partials: buffer("partial sums"),
      }),
    ]);
  }
  const sum = kernels.sumLosses.bind({ losses: buffer("losses"), state: buffer("step state") });
  stages.add("loss", sum);
  stages.add(
    "norms",
    kernels.lastNormBackward.bind({
      x,
      gain,
      inverse,
      gradient,
      stream: buffer("x gradient"),
      copy: buffer("x gradient copy"),
      partials: buffer("partial sums"),
      gainGradient: buffer("norm gradient"),
    }),
  );
}

/** To whole words. */
function roundUp(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function bindUpdate(stages: Stages, { plan, kernels, buffer }: Binding): void {
  const state = buffer("step state");
  const sums = buffer("squares of gradients");
  const gradientOf = (name: string) => buffer(`${name} gradient`);
  for (const [i, { name }] of plan.parameters.entries()) {
    stages.add("optimizer", kernels.squares[i].bind({ gradient: gradientOf(name), sums }));
  }
  stages.add("optimizer", kernels.finish.bind({ sums, state, history: buffer("history") }));
  for (const [i, { name, multiplied }] of plan.parameters.entries()) {
    const bindings = {
      state,
      gradient: gradientOf(name),
      first: buffer(`${name} first moment`),
      second: buffer(`${name} second moment`),
      weights: buffer(`${name} weights`),
      ...multiplied && plan.model.dtype === "f16" && { copy: buffer(`${name} copy`) },
    };
    stages.add("optimizer", kernels.updates[i].bind(bindings));
  }
}

/** One layer of the model. */
class Layer {
  readonly #binding: Binding;
  readonly #layer: number;
  readonly #attention: BoundAttention;
  readonly #kernels: StepKernels;
  readonly #x: BufferSlice;
  readonly #next: BufferSlice;
  readonly #h: BufferSlice;
  readonly #qkv: BufferSlice;
  readonly #o: BufferSlice;
  readonly #gateUp: BufferSlice;
  readonly #normed: BufferSlice;
  readonly #inverse: BufferSlice;

  constructor(binding: Binding, layer: number) {
    const { plan, kernels } = binding;
    this.#binding = binding;
    this.#layer = layer;
    this.#kernels = kernels;
    this.#x = this.#own("x");
    this.#next = binding.buffer(`layer ${layer + 1} x`);
    this.#h = this.#own("h");
    this.#qkv = this.#own("qkv");
    this.#o = this.#own("o");
    this.#gateUp = this.#own("gate-up");
    this.#normed = binding.buffer("normed");
    this.#inverse = binding.buffer("norm inverse");
    const [q, k, v] = this.#parts(this.#qkv);
    const [queryGradient, keyGradient, valueGradient] = this.#parts(this.#wide());
    this.#attention = kernels.attention.get(plan.attention[layer])!.bind({
      q,
      k,
      v,
      o: this.#o,
      outputGradient: binding.buffer("narrow gradient"),
      queryGradient,
      keyGradient,
      valueGradient,
      own: (name) => this.#own(name),
    });
  }

  /** The layer's own buffer of this name, or that which all layers share. */
  #own(name: string): BufferSlice {
    const own = `layer ${this.#layer} ${name}`;
    const isOwn = this.#binding.plan.buffers.some((buffer) => buffer.name === own);
    return this.#binding.buffer(isOwn ? own : name);
  }

  #wide(): BufferSlice {
    return this.#binding.buffer("wide gradient");
  }

  /** q, k and v of a buffer that holds all three. */
  #parts(whole: BufferSlice): BufferSlice[] {
    const { model } = this.#binding.plan;
    const { partStride, heads, sequences, context, headDim } = qkvLayout(model);
    const size = bytesPerElement(model.dtype);
    const bytes = roundUp(sequences * heads * context * headDim * size);
    return [0, 1, 2].map((i) => part(whole, i * partStride * size, bytes));
  }

  #weights(name: string): BufferSlice {
    return factor(this.#binding, `layers.${this.#layer}.${name}`);
  }

  #parameter(name: string, what: "weights" | "gradient"): BufferSlice {
    return this.#binding.buffer(`layers.${this.#layer}.${name} ${what}`);
  }

  #normOf(name: "attention_norm" | "ffn_norm", x: BufferSlice): Dispatch[] {
    const gain = this.#parameter(name, "weights");
    return this.#kernels.norm.bind({ x, gain, y: this.#normed, inverse: this.#inverse });
  }

  #normBackward(name: "attention_norm" | "ffn_norm", x: BufferSlice): Dispatch[] {
    const { buffer } = this.#binding;
    return this.#kernels.normBackward.bind({
      x,
      gain: this.#parameter(name, "weights"),
      inverse: this.#inverse,
      gradient: buffer("normed gradient"),
      stream: buffer("x gradient"),
      copy: buffer("x gradient copy"),
      partials: buffer("partial sums"),
      gainGradient: this.#parameter(name, "gradient"),
    });
  }

  /** Up to gates and values. */
  #upToGates(stages: Stages, attend: readonly Dispatch[]): void {
    const { layer } = this.#kernels;
    const { buffer } = this.#binding;
    stages.add("norms", this.#normOf("attention_norm", this.#x));
    stages.add(
      "products",
      layer.qkv.bind({
        left: this.#normed,
        right: this.#weights("attention.qkv"),
        result: this.#qkv,
        table: buffer("rope table"),
      }),
    );
    stages.add("attention", attend);
    stages.add(
      "products",
      layer.output.bind({
        left: this.#o,
        right: this.#weights("attention.output"),
        result: this.#h,
        residual: this.#x,
      }),
    );
    stages.add("norms", this.#normOf("ffn_norm", this.#h));
    stages.add(
      "products",
      layer.gateUp.bind({
        left: this.#normed,
        right: this.#weights("ffn.gate_up"),
        result: this.#gateUp,
        activation: buffer("activation"),
      }),
    );
  }

  /** The forward pass. */
  forward(stages: Stages): void {
    this.#upToGates(stages, this.#attention.forward);
    stages.add(
      "products",
      this.#kernels.layer.down.bind({
        left: this.#binding.buffer("activation"),
        right: this.#weights("ffn.down"),
        result: this.#next,
        residual: this.#h,
      }),
    );
  }

  /** The backward pass, after what it needs was computed again. */
  backward(stages: Stages): void {
    const { recompute } = this.#binding.plan.model;
    if (recompute === "none") stages.add("norms", this.#normOf("ffn_norm", this.#h));
    else this.#upToGates(stages, this.#attention.rebuild[recompute]);
    this.#ffnBackward(stages);
    stages.add("norms", this.#normOf("attention_norm", this.#x));
    this.#attentionBackward(stages);
  }

  #ffnBackward(stages: Stages): void {
    const { layer, swiglu } = this.#kernels;
    const { buffer } = this.#binding;
    const stream = buffer("x gradient copy");
    const [narrow, wide] = [buffer("narrow gradient"), this.#wide()];
    const [activation, partials] = [buffer("activation"), buffer("partial sums")];
    stages.add(
      "products",
      layer.downInput.bind({ left: stream, right: this.#weights("ffn.down"), result: narrow }),
    );
    stages.add(
      "elementwise",
      swiglu.bind({ gradient: narrow, gateUp: this.#gateUp, gateUpGradient: wide, activation }),
    );
    stages.add("products", [
      ...layer.downWeights.bind({
        left: stream,
        right: activation,
        result: this.#parameter("ffn.down", "gradient"),
        partials,
      }),
      ...layer.gateUpInput.bind({
        left: wide,
        right: this.#weights("ffn.gate_up"),
        result: buffer("normed gradient"),
      }),
      ...layer.gateUpWeights.bind({
        left: wide,
        right: this.#normed,
        result: this.#parameter("ffn.gate_up", "gradient"),
        partials,
      }),
    ]);
    stages.add("norms", this.#normBackward("ffn_norm", this.#h));
  }

  #attentionBackward(stages: Stages): void {
    const { layer, rope } = this.#kernels;
    const { buffer } = this.#binding;
    const stream = buffer("x gradient copy");
    const [wide, partials] = [this.#wide(), buffer("partial sums")];
    stages.add("products", [
      ...layer.outputInput.bind({
        left: stream,
        right: this.#weights("attention.output"),
        result: buffer("narrow gradient"),
      }),
      ...layer.outputWeights.bind({
        left: stream,
        right: this.#o,
        result: this.#parameter("attention.output", "gradient"),
        partials,
      }),
    ]);
    stages.add("attention", this.#attention.backward);
    stages.add("elementwise", rope.bind({ table: buffer("rope table"), gradient: wide }));
    stages.add("products", [
      ...layer.qkvInput.bind({
        left: wide,
        right: this.#weights("attention.qkv"),
        result: buffer("normed gradient"),
      }),
      ...layer.qkvWeights.bind({
        left: wide,
        right: this.#normed,
        result: this.#parameter("attention.qkv", "gradient"),
        partials,
      }),
    ]);
    stages.add("norms", this.#normBackward("attention_norm", this.#x));
  }
}
