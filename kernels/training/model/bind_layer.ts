/**
 * One layer of a training step: its forward pass, what is computed again, and its backward pass,
 * bound to the layer's own buffers and to those that all layers share.
 *
 * @module
 */
import { type BufferSlice, bytesPerElement, type Dispatch } from "../../gpu/buffers.ts";
import type { BoundAttention } from "../attention/types.ts";
import { qkvLayout } from "./model_products.ts";
import type { StepKernels } from "./step_kernels.ts";
import {
  type Binding,
  type BindProducts,
  factor,
  part,
  productsOf,
  roundUp,
  type Stages,
} from "./step_stages.ts";

/** One layer of the model. */
export class Layer {
  readonly #binding: Binding;
  readonly #layer: number;
  readonly #attention: BoundAttention;
  readonly #kernels: StepKernels;
  readonly #products: BindProducts<StepKernels["layer"]>;
  readonly #x: BufferSlice;
  readonly #next: BufferSlice;
  readonly #h: BufferSlice;
  readonly #qkv: BufferSlice;
  readonly #o: BufferSlice;
  readonly #gateUp: BufferSlice;
  readonly #normed: BufferSlice;

  constructor(binding: Binding, layer: number) {
    const { plan, kernels } = binding;
    this.#binding = binding;
    this.#layer = layer;
    this.#kernels = kernels;
    this.#products = productsOf(kernels.layer, binding);
    this.#x = this.#own("x");
    this.#next = binding.buffer(`layer ${layer + 1} x`);
    this.#h = this.#own("h");
    this.#qkv = this.#own("qkv");
    this.#o = this.#own("o");
    this.#gateUp = this.#own("gate-up");
    this.#normed = binding.buffer("normed");
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

  /** The weights as the forward pass reads them, and what makes them so. */
  #forwardWeights(name: string): { right: BufferSlice; made: Dispatch[] } {
    const { plan: { products }, buffer } = this.#binding;
    const copy = this.#weights(name);
    if (!products.transposed) return { right: copy, made: [] };
    const right = part(buffer("transposed weights"), 0, copy.size);
    const pass = this.#kernels.transposes.get(`layers.0.${name}`)!;
    return { right, made: pass.bind({ copy, transposed: right }) };
  }

  #parameter(name: string, what: "weights" | "gradient"): BufferSlice {
    return this.#binding.buffer(`layers.${this.#layer}.${name} ${what}`);
  }

  #normOf(name: "attention_norm" | "ffn_norm", x: BufferSlice): Dispatch[] {
    const gain = this.#parameter(name, "weights");
    const inverse = this.#own(`${name} inverse`);
    return this.#kernels.norm.bind({ x, gain, y: this.#normed, inverse });
  }

  /** Also makes anew what the norm made, for the gradient of the weights that read it. */
  #normBackward(name: "attention_norm" | "ffn_norm", x: BufferSlice): Dispatch[] {
    const { buffer } = this.#binding;
    return this.#kernels.normBackward.bind({
      x,
      gain: this.#parameter(name, "weights"),
      inverse: this.#own(`${name} inverse`),
      y: this.#normed,
      gradient: buffer("normed gradient"),
      stream: buffer("x gradient"),
      copy: buffer("x gradient copy"),
      partials: buffer("partial sums"),
      gainGradient: this.#parameter(name, "gradient"),
    });
  }

  /** Adds a product of the forward pass with these weights. */
  #multiply(
    stages: Stages,
    name: string,
    product: (right: BufferSlice) => readonly Dispatch[],
  ): void {
    const { right, made } = this.#forwardWeights(name);
    stages.add("products", [...made, ...product(right)]);
  }

  /** Up to gates and values. */
  #upToGates(stages: Stages, attend: readonly Dispatch[]): void {
    const layer = this.#products;
    const { buffer } = this.#binding;
    stages.add("norms", this.#normOf("attention_norm", this.#x));
    this.#multiply(stages, "attention.qkv", (right) =>
      layer.qkv({
        left: this.#normed,
        right,
        result: this.#qkv,
        table: buffer("rope table"),
      }));
    stages.add("attention", attend);
    this.#multiply(stages, "attention.output", (right) =>
      layer.output({
        left: this.#o,
        right,
        result: this.#h,
        residual: this.#x,
      }));
    stages.add("norms", this.#normOf("ffn_norm", this.#h));
    this.#multiply(stages, "ffn.gate_up", (right) =>
      layer.gateUp({
        left: this.#normed,
        right,
        result: this.#gateUp,
        activation: buffer("activation"),
      }));
  }

  /** The forward pass. */
  forward(stages: Stages): void {
    this.#upToGates(stages, this.#attention.forward);
    this.#multiply(stages, "ffn.down", (right) =>
      this.#products.down({
        left: this.#binding.buffer("activation"),
        right,
        result: this.#next,
        residual: this.#h,
      }));
  }

  /** The backward pass, after what it needs was computed again. */
  backward(stages: Stages): void {
    const { recompute } = this.#binding.plan.model;
    if (recompute !== "none") this.#upToGates(stages, this.#attention.rebuild[recompute]);
    this.#ffnBackward(stages);
    this.#attentionBackward(stages);
  }

  #ffnBackward(stages: Stages): void {
    const { swiglu } = this.#kernels;
    const layer = this.#products;
    const { buffer } = this.#binding;
    const stream = buffer("x gradient copy");
    const [narrow, wide] = [buffer("narrow gradient"), this.#wide()];
    const activation = buffer("activation");
    stages.add(
      "products",
      layer.downInput({ left: stream, right: this.#weights("ffn.down"), result: narrow }),
    );
    stages.add(
      "elementwise",
      swiglu.bind({ gradient: narrow, gateUp: this.#gateUp, gateUpGradient: wide, activation }),
    );
    stages.add("products", [
      ...layer.downWeights({
        left: stream,
        right: activation,
        result: this.#parameter("ffn.down", "gradient"),
      }),
      ...layer.gateUpInput({
        left: wide,
        right: this.#weights("ffn.gate_up"),
        result: buffer("normed gradient"),
      }),
    ]);
    stages.add("norms", this.#normBackward("ffn_norm", this.#h));
    stages.add(
      "products",
      layer.gateUpWeights({
        left: wide,
        right: this.#normed,
        result: this.#parameter("ffn.gate_up", "gradient"),
      }),
    );
  }

  #attentionBackward(stages: Stages): void {
    const { rope } = this.#kernels;
    const layer = this.#products;
    const { buffer } = this.#binding;
    const stream = buffer("x gradient copy");
    const wide = this.#wide();
    stages.add("products", [
      ...layer.outputInput({
        left: stream,
        right: this.#weights("attention.output"),
        result: buffer("narrow gradient"),
      }),
      ...layer.outputWeights({
        left: stream,
        right: this.#o,
        result: this.#parameter("attention.output", "gradient"),
      }),
    ]);
    stages.add("attention", this.#attention.backward);
    stages.add("elementwise", rope.bind({ table: buffer("rope table"), gradient: wide }));
    stages.add(
      "products",
      layer.qkvInput({
        left: wide,
        right: this.#weights("attention.qkv"),
        result: buffer("normed gradient"),
      }),
    );
    stages.add("norms", this.#normBackward("attention_norm", this.#x));
    stages.add(
      "products",
      layer.qkvWeights({
        left: wide,
        right: this.#normed,
        result: this.#parameter("attention.qkv", "gradient"),
      }),
    );
  }
}
