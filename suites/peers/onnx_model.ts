/**
 * An ONNX model of one node, encoded by hand: all that is needed to run one operator in ONNX
 * Runtime.
 *
 * The format is protocol buffers (https://protobuf.dev/programming-guides/encoding/) of the
 * messages in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers below are from
 * there.
 *
 * @module
 */

/** Element types by their numbers in `TensorProto.DataType`. */
const ELEMENT = { f32: 1, f16: 10 } as const;

/** Versions of the format and of operators outside `com.microsoft` that every runtime supports. */
const IR_VERSION = 8;
const OPSET_VERSION = 17;

/** One operator, and its inputs and outputs as `[name, dimensions]`. */
export interface OnnxNode {
  readonly operator: string;
  /** Domain of the operator; its version is 1. */
  readonly domain: string;
  readonly dtype: keyof typeof ELEMENT;
  readonly inputs: readonly (readonly [string, readonly number[]])[];
  readonly outputs: readonly (readonly [string, readonly number[]])[];
  /** Attributes: only whole numbers. */
  readonly attributes: Readonly<Record<string, number>>;
}

/**
 * The bytes of a model with this one node.
 *
 * @example
 * ```ts
 * import { onnxModel } from "./onnx_model.ts";
 * import assert from "node:assert/strict";
 * const model = onnxModel({
 *   operator: "MultiHeadAttention",
 *   domain: "com.microsoft",
 *   dtype: "f16",
 *   inputs: [["query", [1, 64, 128]]],
 *   outputs: [["output", [1, 64, 128]]],
 *   attributes: { num_heads: 2, unidirectional: 1 },
 * });
 * assert.deepEqual([...model.subarray(0, 2)], [8, 8]); // field 1, ir_version: 8
 * ```
 */
export function onnxModel(node: OnnxNode): Uint8Array<ArrayBuffer> {
  const { operator, domain, dtype, inputs, outputs, attributes } = node;
  const value = ([name, dims]: readonly [string, readonly number[]]) => {
    const shape = dims.flatMap((size) => bytes(1, number(1, size)));
    const tensor = [...number(1, ELEMENT[dtype]), ...bytes(2, shape)];
    return [...text(1, name), ...bytes(2, bytes(1, tensor))];
  };
  const graph = [
    ...bytes(1, [
      ...inputs.flatMap(([name]) => text(1, name)),
      ...outputs.flatMap(([name]) => text(2, name)),
      ...text(4, operator),
      ...Object.entries(attributes).flatMap(([name, i]) =>
        bytes(5, [...text(1, name), ...number(3, i), ...number(20, ATTRIBUTE_INT)])
      ),
      ...text(7, domain),
    ]),
    ...text(2, "graph"),
    ...inputs.flatMap((input) => bytes(11, value(input))),
    ...outputs.flatMap((output) => bytes(12, value(output))),
  ];
  const opset = (name: string, version: number) => [...text(1, name), ...number(2, version)];
  return Uint8Array.from([
    ...number(1, IR_VERSION),
    ...bytes(7, graph),
    ...bytes(8, opset("", OPSET_VERSION)),
    ...bytes(8, opset(domain, 1)),
  ]);
}

/** `AttributeProto.AttributeType.INT`. */
const ATTRIBUTE_INT = 2;

function varint(value: number): number[] {
  const groups: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) groups.push(value % 128 + 128);
  return [...groups, value];
}

function number(field: number, value: number): number[] {
  return [...varint(field * 8), ...varint(value)];
}

function bytes(field: number, content: readonly number[]): number[] {
  return [...varint(field * 8 + 2), ...varint(content.length), ...content];
}

function text(field: number, content: string): number[] {
  return bytes(field, [...new TextEncoder().encode(content)]);
}
