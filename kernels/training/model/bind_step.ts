/**
 * A training step as stages: the forward pass, the loss, the backward pass with what it computes again,
 * and the update, bound to the buffers of a plan.
 *
 * Stages carry the name of what they are (`products`, `attention`, `norms`, …), so that the same names
 * come again and again in a step; a breakdown adds them up.
 *
 * @module
 */
import { type BufferSlice, bytesPerElement } from "../../gpu/buffers.ts";
import type { Stage } from "../../gpu/timing.ts";
import { Layer } from "./bind_layer.ts";
import { type Binding, factor, part, roundUp, Stages } from "./step_stages.ts";

/** Stages of a step. */
export interface BoundStep {
  /** Forward, loss and backward pass of one batch. */
  readonly batches: readonly (readonly Stage[])[];
  /** The update. */
  readonly update: readonly Stage[];
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

/** The last norm, the head, the loss and the beginning of the backward pass. */
function bindHead(stages: Stages, binding: Binding, targets: BufferSlice): void {
  const { plan, kernels, buffer } = binding;
  const { model, products } = plan;
  const { width, dtype, layers, vocabulary } = model;
  const size = bytesPerElement(dtype);
  const [x, gain] = [buffer(`layer ${layers} x`), buffer("final_norm weights")];
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
      gainGradient: buffer("final_norm gradient"),
    }),
  );
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
