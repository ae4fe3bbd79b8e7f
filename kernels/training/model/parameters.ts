/**
 * The parameters of a model: their names, shapes and initial deviations.
 *
 * Names and shapes are those that checkpoints carry. Weights are `[outputs, inputs]`. Two matrices
 * are stored joined, since one product reads them: `attention.qkv`, rows of queries, keys and
 * values one after the other, and `ffn.gate_up`, rows of gates (w1) and values (w3) in turn.
 *
 * @module
 */
import type { Model } from "./model_options.ts";

/** A parameter. */
export interface Parameter {
  /** `layers.3.attention.qkv`. */
  readonly name: string;
  /** Rows and columns; a gain has one row. */
  readonly shape: readonly [number, number];
  /** Deviation of even and of odd rows at the start; absent: all ones. */
  readonly deviation?: readonly [number, number];
  /** Whether products read it, and so an f16 copy of it. */
  readonly multiplied: boolean;
}

/** Elements of a parameter. */
export function parameterSize({ shape: [rows, columns] }: Parameter): number {
  return rows * columns;
}

/** The parameters of a layer. */
export function layerParameters(
  { width, ffn }: Pick<Model, "width" | "ffn">,
  layer: number,
): Parameter[] {
  const deep = 0.02 / Math.sqrt(2 * (layer + 1));
  const of = (
    name: string,
    shape: readonly [number, number],
    deviation?: readonly [number, number],
  ): Parameter => ({
    name: `layers.${layer}.${name}`,
    shape,
    deviation,
    multiplied: deviation !== undefined,
  });
  return [
    of("attention_norm", [1, width]),
    of("attention.qkv", [3 * width, width], [0.02, 0.02]),
    of("attention.output", [width, width], [deep, deep]),
    of("ffn_norm", [1, width]),
    of("ffn.gate_up", [2 * ffn, width], [0.02, deep]),
    of("ffn.down", [width, ffn], [deep, deep]),
  ];
}

/** All parameters of a model, in the order of the forward pass. */
export function modelParameters(model: Pick<Model, "layers" | "width" | "ffn" | "vocabulary">) {
  const { layers, width, vocabulary } = model;
  const head = 1 / Math.sqrt(width);
  const parameters: Parameter[] = [
    { name: "embedding", shape: [vocabulary, width], deviation: [1, 1], multiplied: false },
    ...Array.from({ length: layers }, (_, layer) => layerParameters(model, layer)).flat(),
    { name: "final_norm", shape: [1, width], multiplied: false },
    { name: "head", shape: [vocabulary, width], deviation: [head, head], multiplied: true },
  ];
  return parameters;
}
