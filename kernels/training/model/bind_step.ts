/**
 * A training step as stages: the forward pass, the loss, the backward pass with what it computes
 * again, and the update, bound to the buffers of a plan.
 *
 * Stages carry the name of what they are (`products`, `attention`, `norms`, …), so that the same
 * names come again and again in a step; a breakdown adds them up.
 *
 * @module
 */
import { type BufferSlice, bytesPerElement } from "../../gpu/buffers.ts";
import type { Stage } from "../../gpu/timing.ts";
import { Layer } from "./bind_layer.ts";
import type { CompiledHead } from "./step_kernels.ts";
import {
  type Binding,
  type BindProducts,
  factor,
  part,
  productsOf,
  roundUp,
  Stages,
} from "./step_stages.ts";

/** Stages of a step. */
export interface BoundStep {
  /** Forward, loss and backward pass of one batch. */
  readonly batches: readonly (readonly Stage[])[];
  /** The update. */
  readonly update: readonly Stage[];
  /** Forward pass and losses of the first batch alone. */
  readonly evaluation: readonly Stage[];
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
  const evaluation = new Stages();
  const first = (name: string) => part(binding.buffer(name), 0, rows * 4);
  bindEmbedding(evaluation, binding, first("tokens"));
  for (const layer of layers) layer.forward(evaluation);
  bindLosses(evaluation, binding, { targets: first("targets") });
  return { batches, update: update.list, evaluation: evaluation.list };
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

/** A chunk of rows of the head. */
interface HeadChunk {
  readonly own: BindProducts<CompiledHead>;
  readonly firstRow: number;
  readonly rows: number;
  /** Rows that the head reads. */
  readonly left: BufferSlice;
  /** Gradient of the chunk's logits. */
  readonly logitGradient: BufferSlice;
}

/** The last norm, the head and the loss; `after` each chunk of rows. */
function bindLosses(
  stages: Stages,
  binding: Binding,
  { targets, after }: {
    readonly targets: BufferSlice;
    readonly after?: (chunk: HeadChunk) => void;
  },
): void {
  const { plan, kernels, buffer } = binding;
  const { width, dtype, layers, vocabulary } = plan.model;
  const size = bytesPerElement(dtype);
  const [x, gain] = [buffer(`layer ${layers} x`), buffer("final_norm weights")];
  const [normed, inverse] = [buffer("normed"), buffer("norm inverse")];
  stages.add("norms", kernels.norm.bind({ x, gain, y: normed, inverse }));
  for (const [i, { firstRow, rows }] of plan.products.chunks.entries()) {
    const own = productsOf(kernels.head.get(rows)!, binding);
    const left = part(normed, firstRow * width * size, rows * width * size);
    const logits = part(buffer("logits"), 0, rows * vocabulary * 4);
    const logitGradient = part(
      buffer("logit gradient"),
      0,
      roundUp(rows * vocabulary * size),
    );
    const right = factor(binding, "head");
    stages.add("products", own.logits({ left, right, result: logits }));
    stages.add(
      "loss",
      kernels.losses[i].bind({
        logits,
        targets,
        state: buffer("step state"),
        losses: buffer("losses"),
        gradient: logitGradient,
      }),
    );
    after?.({ own, firstRow, rows, left, logitGradient });
  }
}

/** The head with the loss, and the beginning of the backward pass. */
function bindHead(stages: Stages, binding: Binding, targets: BufferSlice): void {
  const { plan, kernels, buffer } = binding;
  const { width, layers } = plan.model;
  const gradient = buffer("normed gradient");
  const after = ({ own, firstRow, rows, left, logitGradient }: HeadChunk) =>
    stages.add("products", [
      ...own.input({
        left: logitGradient,
        right: factor(binding, "head"),
        result: part(gradient, firstRow * width * 4, rows * width * 4),
      }),
      ...own.weights({
        left: logitGradient,
        right: left,
        result: buffer("head gradient"),
      }),
    ]);
  bindLosses(stages, binding, { targets, after });
  const sum = kernels.sumLosses.bind({ losses: buffer("losses"), state: buffer("step state") });
  stages.add("loss", sum);
  stages.add(
    "norms",
    kernels.lastNormBackward.bind({
      x: buffer(`layer ${layers} x`),
      gain: buffer("final_norm weights"),
      inverse: buffer("norm inverse"),
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
