/**
 * The model in float64 with plain loops: loss and every gradient, for tests. Written from the
 * specification, not from the kernels; selections of Lighthouse are given or ranked by norms.
 *
 * Storage may be imitated, so that a device is compared with what it stores: `stored` rounds
 * operands of products and what is kept of them, `floats` what stays in f32. Without both nothing
 * is rounded.
 *
 * The loss is the SUM over tokens; gradients are those of the sum, times nothing.
 *
 * @module
 */
import { denseBackwardReference } from "../../dense_attention/dense_attention_backward_reference.ts";
import { type LighthouseGeometry, planGeometry } from "../../lighthouse/lighthouse_geometry.ts";
import { lighthouseOptions } from "../../lighthouse/lighthouse_options.ts";
import {
  gatherGradientReference,
  scatterGradientReference,
} from "../../lighthouse/lighthouse_backward_reference.ts";
import {
  attendReference,
  gatherReference,
  normScoresReference,
  poolReference,
  scatterReference,
  selectReference,
} from "../../lighthouse/lighthouse_reference.ts";
import { requireNumbers, requireRecord, requireWhole, show } from "../../gpu/require.ts";
import { ropeTable } from "../rope/rope.ts";
import { fillModel, type Model, type ModelOptions } from "./model_options.ts";
import { modelParameters } from "./parameters.ts";
import {
  joinHeads,
  norm,
  normBackward,
  productNN,
  productNT,
  productTN,
  splitHeads,
  type Vector,
} from "./reference_math.ts";

/** Rounds a number as storage does. */
export type Rounding = (value: number) => number;

/** Options of {@linkcode modelReference}. */
export interface ModelReferenceOptions {
  /** Pyramid indices by layer, `[batch · heads, S]`. Default: ranked by norms. */
  readonly selections?: ReadonlyMap<number, ArrayLike<number>>;
  /** Rounds what products read and attention stores. Default: not at all. */
  readonly stored?: Rounding;
  /** Rounds the residual stream, its gradient and logits. Default: not at all. */
  readonly floats?: Rounding;
  /** False: the forward pass alone. Default true. */
  readonly gradients?: boolean;
  /** 2^s, which gradients are multiplied by, and divided by in the end: only `stored` notices. */
  readonly lossScale?: number;
}

/** What the model computes of one batch. */
export interface ModelReference {
  /** Sum over tokens, in nats. */
  readonly loss: number;
  /** Of each token. */
  readonly losses: Float64Array;
  /** By parameter. */
  readonly gradients: ReadonlyMap<string, Float64Array>;
  /** Pyramid indices by Lighthouse layer, `[batch · heads, S]`. */
  readonly selections: ReadonlyMap<number, Int32Array>;
  /** The residual stream before each layer and after the last, `[tokens, width]`. */
  readonly streams: readonly Float64Array[];
}

/** Everything of one layer that its backward pass needs. */
interface LayerState {
  readonly x: Vector;
  readonly first: { y: Vector; inverse: Vector };
  readonly q: Vector;
  readonly k: Vector;
  readonly v: Vector;
  readonly o: Vector;
  readonly h: Vector;
  readonly second: { y: Vector; inverse: Vector };
  readonly gateUp: Vector;
  readonly act: Vector;
  readonly selection?: Int32Array;
}

/** The model with its weights, and how it rounds. */
class Reference {
  readonly model: Model;
  readonly #weights: ReadonlyMap<string, Vector>;
  readonly #stored: (values: Vector) => Vector;
  readonly #floats: (values: Vector) => Vector;
  readonly #store?: Rounding;
  readonly #scale: number;
  readonly #table: Float32Array;
  readonly gradients = new Map<string, Vector>();

  constructor(
    model: Model,
    weights: ReadonlyMap<string, ArrayLike<number>>,
    { stored, floats, lossScale = 1 }: ModelReferenceOptions,
  ) {
    this.model = model;
    this.#store = stored;
    this.#stored = (values) => stored ? values.map(stored) : values;
    this.#floats = (values) => floats ? values.map(floats) : values;
    this.#scale = lossScale;
    const { context, headDim, ropeTheta: theta, ropeScaling: scaling } = model;
    this.#table = ropeTable({ context, headDim, theta, scaling });
    // Products read rounded weights; embeddings and gains stay as they are.
    this.#weights = new Map(
      modelParameters(model).map(({ name, multiplied }) => {
        const values = Float64Array.from(weights.get(name)!);
        return [name, multiplied ? this.#stored(values) : values];
      }),
    );
  }

  #weight(name: string): Vector {
    return this.#weights.get(name)!;
  }

  #addGradient(name: string, gradient: Vector): void {
    this.gradients.set(name, gradient.map((value) => value / this.#scale));
  }

  /** Rotates q and k of `[tokens, 3 · width]`; back with `sign` -1. */
  #rotate(qkv: Vector, sign: number): Vector {
    const { width, headDim, context } = this.model;
    const rotated = Float64Array.from(qkv);
    for (let i = 0; i < qkv.length; i += 2) {
      const column = i % (3 * width);
      if (column >= 2 * width) continue;
      const turn = Math.floor(i / (3 * width)) % context * headDim + column % headDim;
      const [cos, sin] = [this.#table[turn], sign * this.#table[turn + 1]];
      rotated[i] = qkv[i] * cos - qkv[i + 1] * sin;
      rotated[i + 1] = qkv[i + 1] * cos + qkv[i] * sin;
    }
    return rotated;
  }

  #geometry(layer: number): LighthouseGeometry | undefined {
    const attention = this.model.attention[layer];
    if (attention.kind !== "lighthouse") return undefined;
    return planGeometry(this.model.context, lighthouseOptions(attention));
  }

  #gathered(rows: Vector, selection: ArrayLike<number>, geometry: LighthouseGeometry): Vector {
    const { headDim, context } = this.model;
    const pooled = this.#stored(poolReference(rows, geometry, headDim));
    return gatherReference(selection, { rows, pooled, context, headDim });
  }

  forward(
    x: Vector,
    layer: number,
    given?: ArrayLike<number>,
  ): { next: Vector; state: LayerState } {
    const { width, headDim, ffn, normEpsilon } = this.model;
    const name = (rest: string) => `layers.${layer}.${rest}`;
    const first = norm(x, this.#weight(name("attention_norm")), normEpsilon);
    first.y = this.#stored(first.y);
    const product = productNT(first.y, this.#weight(name("attention.qkv")), width);
    const qkv = this.#stored(this.#rotate(product, 1));
    const [q, k, v] = [0, 1, 2].map((part) =>
      splitHeads(this.model, qkv, { width: 3 * width, part })
    );
    const geometry = this.#geometry(layer);
    const selections: number[] = [];
    const outputs = q.map((rows, i) => {
      const tensors = { q: rows, k: k[i], v: v[i] };
      if (!geometry) return this.#stored(attendReference(tensors, headDim).output);
      const count = geometry.gathered;
      const selection = given
        ? Int32Array.from({ length: count }, (_, s) => given[i * count + s])
        : selectReference(
          normScoresReference(rows, geometry, headDim),
          normScoresReference(k[i], geometry, headDim),
          geometry,
        );
      selections.push(...selection);
      const attended = this.#stored(
        attendReference({
          q: this.#gathered(rows, selection, geometry),
          k: this.#gathered(k[i], selection, geometry),
          v: this.#gathered(v[i], selection, geometry),
        }, headDim).output,
      );
      return this.#stored(scatterReference(attended, selection, geometry));
    });
    const o = joinHeads(this.model, [outputs]);
    const h = this.#floats(
      productNT(o, this.#weight(name("attention.output")), width).map((value, i) => value + x[i]),
    );
    const second = norm(h, this.#weight(name("ffn_norm")), normEpsilon);
    second.y = this.#stored(second.y);
    const gateUp = this.#stored(productNT(second.y, this.#weight(name("ffn.gate_up")), width));
    const act = this.#stored(Float64Array.from({ length: gateUp.length / 2 }, (_, i) => {
      const gate = gateUp[2 * i];
      return gate / (1 + Math.exp(-gate)) * gateUp[2 * i + 1];
    }));
    const next = this.#floats(
      productNT(act, this.#weight(name("ffn.down")), ffn).map((value, i) => value + h[i]),
    );
    const selection = geometry && Int32Array.from(selections);
    const joined = (rows: readonly Vector[]) => this.#join(rows);
    const state = { x, first, q: joined(q), k: joined(k), v: joined(v), o, h, second, gateUp, act };
    return { next, state: { ...state, selection } };
  }

  #join(rows: readonly Vector[]): Vector {
    const joined = new Float64Array(rows.length * rows[0].length);
    for (const [i, own] of rows.entries()) joined.set(own, i * own.length);
    return joined;
  }

  /** Adds the gradients of a layer's parameters; turns dx after the layer into that before it. */
  backward(dx: Vector, layer: number, state: LayerState): Vector {
    const { width, ffn, rows } = this.model;
    const name = (rest: string) => `layers.${layer}.${rest}`;
    const weight = (rest: string) => this.#weight(name(rest));
    const { x, first, h, second, gateUp, act, o } = state;

    let copy = this.#stored(dx);
    const dAct = this.#stored(productNN(copy, weight("ffn.down"), width));
    const dGateUp = this.#stored(gateUp.map((_, i) => {
      const [gate, value, da] = [gateUp[i - i % 2], gateUp[i - i % 2 + 1], dAct[Math.floor(i / 2)]];
      const s = 1 / (1 + Math.exp(-gate));
      return i % 2 === 1 ? da * gate * s : da * value * s * (1 + gate * (1 - s));
    }));
    this.#addGradient(name("ffn.down"), productTN(copy, act, rows));
    this.#addGradient(name("ffn.gate_up"), productTN(dGateUp, second.y, rows));
    const dSecond = this.#floats(productNN(dGateUp, weight("ffn.gate_up"), 2 * ffn));
    const dh = Float64Array.from(dx);
    const own = { x: h, gain: weight("ffn_norm"), inverse: second.inverse };
    this.#addGradient(name("ffn_norm"), normBackward(own, dSecond, dh));

    const dStream = this.#floats(dh);
    copy = this.#stored(dStream);
    const dO = this.#stored(productNN(copy, weight("attention.output"), width));
    this.#addGradient(name("attention.output"), productTN(copy, o, rows));
    const dqkv = this.#stored(this.#rotate(this.#attentionBackward(dO, layer, state), -1));
    this.#addGradient(name("attention.qkv"), productTN(dqkv, first.y, rows));
    const dFirst = this.#floats(productNN(dqkv, weight("attention.qkv"), 3 * width));
    const before = Float64Array.from(dStream);
    const norms = { x, gain: weight("attention_norm"), inverse: first.inverse };
    this.#addGradient(name("attention_norm"), normBackward(norms, dFirst, before));
    return this.#floats(before);
  }

  #attentionBackward(dO: Vector, layer: number, state: LayerState): Vector {
    const { width, headDim, context } = this.model;
    const geometry = this.#geometry(layer);
    const gradients = splitHeads(this.model, dO, { width, part: 0 }).map((outputGradient, i) => {
      const own = (rows: Vector) =>
        rows.subarray(i * context * headDim, (i + 1) * context * headDim);
      const [q, k, v] = [own(state.q), own(state.k), own(state.v)];
      if (!geometry) {
        const found = denseBackwardReference({ q, k, v, outputGradient, headDim });
        return [found.q.gradient, found.k.gradient, found.v.gradient].map(this.#stored);
      }
      const count = geometry.gathered;
      const selection = state.selection!.subarray(i * count, (i + 1) * count);
      const found = denseBackwardReference({
        q: this.#gathered(q, selection, geometry),
        k: this.#gathered(k, selection, geometry),
        v: this.#gathered(v, selection, geometry),
        outputGradient: gatherGradientReference(outputGradient, selection, geometry),
        headDim,
      });
      return [found.q, found.k, found.v].map(({ gradient }) =>
        this.#stored(scatterGradientReference(gradient, selection, geometry))
      );
    });
    return joinHeads(this.model, [0, 1, 2].map((part) => gradients.map((own) => own[part])));
  }

  embed(tokens: ArrayLike<number>): Vector {
    const { width } = this.model;
    const table = this.#weight("embedding");
    const x = new Float64Array(tokens.length * width);
    for (let row = 0; row < tokens.length; row++) {
      x.set(table.subarray(tokens[row] * width, (tokens[row] + 1) * width), row * width);
    }
    return x;
  }

  embedBackward(dx: Vector, tokens: ArrayLike<number>): void {
    const { width } = this.model;
    const gradient = new Float64Array(this.#weight("embedding").length);
    for (let row = 0; row < tokens.length; row++) {
      for (let c = 0; c < width; c++) gradient[tokens[row] * width + c] += dx[row * width + c];
    }
    this.#addGradient("embedding", gradient);
  }

  /** Losses, and where wanted dx after the last layer. */
  head(x: Vector, targets: ArrayLike<number>, gradients: boolean) {
    const { width, vocabulary, rows, normEpsilon } = this.model;
    const gain = this.#weight("final_norm");
    const { y, inverse } = norm(x, gain, normEpsilon);
    const normed = this.#stored(y);
    const logits = this.#floats(productNT(normed, this.#weight("head"), width));
    const losses = new Float64Array(rows);
    const dLogits = new Float64Array(logits.length);
    for (let row = 0; row < rows; row++) {
      const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
      const most = own.reduce((a, b) => Math.max(a, b));
      const lse = most + Math.log(own.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      losses[row] = lse - own[targets[row]];
      for (let c = 0; c < vocabulary; c++) {
        const weight = Math.exp(own[c] - lse) - Number(c === targets[row]);
        dLogits[row * vocabulary + c] = weight * this.#scale;
      }
    }
    if (!gradients) return { losses };
    const stored = this.#stored(dLogits);
    this.#addGradient("head", productTN(stored, normed, rows));
    const dNormed = this.#floats(productNN(stored, this.#weight("head"), vocabulary));
    const dx = new Float64Array(x.length);
    this.#addGradient("final_norm", normBackward({ x, gain, inverse }, dNormed, dx));
    return { losses, dx: this.#floats(dx) };
  }
}

/** Checks weights, tokens and targets against the model. */
function requireBatch(
  model: Model,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  batch: { readonly tokens: ArrayLike<number>; readonly targets: ArrayLike<number> },
): void {
  const action = "model reference";
  if (!(weights instanceof Map)) {
    throw new TypeError(`${action}: the weights are ${show(weights)}, not a map`);
  }
  for (const { name, shape: [rows, columns] } of modelParameters(model)) {
    const count = rows * columns;
    requireNumbers(action, name, weights.get(name), { count, shape: `[${rows}, ${columns}]` });
  }
  requireRecord(action, "the batch", batch);
  const shape = `[${model.batch}, ${model.context}]`;
  for (const name of ["tokens", "targets"] as const) {
    requireNumbers(action, name, batch[name], { count: model.rows, shape });
    for (let i = 0; i < model.rows; i++) {
      requireWhole(action, name, batch[name][i], { least: 0, most: model.vocabulary - 1 });
    }
  }
}

/**
 * Loss and gradients of one batch.
 *
 * @param weights by parameter, as `modelParameters` names and shapes them.
 * @param batch tokens and targets, `[batch, N]` each.
 */
export function modelReference(
  options: ModelOptions,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  batch: {
    readonly tokens: ArrayLike<number>;
    readonly targets: ArrayLike<number>;
  } & ModelReferenceOptions,
): ModelReference {
  const model = fillModel(options);
  requireBatch(model, weights, batch);
  const { tokens, targets, gradients = true } = batch;
  const reference = new Reference(model, weights, batch);
  const streams = [reference.embed(tokens)];
  const states: LayerState[] = [];
  for (let layer = 0; layer < reference.model.layers; layer++) {
    const given = batch.selections?.get(layer);
    const { next, state } = reference.forward(streams[layer], layer, given);
    streams.push(next);
    states.push(state);
  }
  const { losses, dx } = reference.head(streams[states.length], targets, gradients);
  if (dx) {
    let gradient = dx;
    for (const [layer, state] of [...states.entries()].reverse()) {
      gradient = reference.backward(gradient, layer, state);
    }
    reference.embedBackward(gradient, tokens);
  }
  const selections = new Map<number, Int32Array>();
  for (const [layer, { selection }] of states.entries()) {
    if (selection) selections.set(layer, selection);
  }
  return {
    loss: losses.reduce((sum, loss) => sum + loss, 0),
    losses,
    gradients: reference.gradients,
    selections,
    streams,
  };
}
