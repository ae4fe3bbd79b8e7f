/**
 * Checks the arguments of every implementation of a layer before anything is planned, allocated or
 * dispatched: the shape, the direction, and tensors that match the shape and each other.
 *
 * @module
 */
import { requireTensor, requireTensorShape, type Tensor } from "./gpu/buffers.ts";
import { type Gpu, requireDevice } from "./gpu/device.ts";
import { requireRecord, show } from "./gpu/require.ts";
import {
  type AttentionShape,
  type Direction,
  DIRECTIONS,
  type LayerInputs,
  type Problem,
} from "./implementation.ts";

/**
 * Checks the shape of a layer.
 *
 * @throws {TypeError} when it is missing, or its element type is unknown.
 * @throws {RangeError} naming the size that is not a whole number from 1.
 */
export function requireShape(action: string, shape: AttentionShape): void {
  requireRecord(action, "the shape", shape);
  const { heads, context: rows, headDim: dim, dtype } = shape;
  try {
    requireTensorShape(action, { heads, rows, dim, dtype });
  } catch (error) {
    // Use the names that layers use for the sizes.
    const { name, message } = error as Error;
    const own = message.replace(": rows ", ": context ").replace(": dim ", ": headDim ");
    throw name === "TypeError" ? new TypeError(own) : new RangeError(own);
  }
}

/**
 * Checks the problem.
 *
 * @throws {TypeError} when the shape is missing, or its element type or the direction is unknown.
 * @throws {RangeError} naming the size that is not a whole number from 1.
 */
export function requireProblem(action: string, problem: Problem): void {
  requireRecord(action, "the problem", problem);
  requireShape(action, problem.shape);
  const { direction = "forward" } = problem;
  if (!DIRECTIONS.includes(direction)) {
    throw new TypeError(
      `${action}: direction ${show(direction)} is not one of ${DIRECTIONS.join(", ")}`,
    );
  }
}

/** Whether a direction computes gradients, and whether it times the forward pass. */
export function directionParts(direction: Direction | undefined) {
  return {
    forward: direction !== "backward",
    backward: direction === "backward" || direction === "forward-backward",
  };
}

/**
 * Checks the tensors of a layer: those that its direction needs are given, belong to this device,
 * are not destroyed, and have the layer's shape, in the same blocks of heads.
 *
 * @throws {TypeError} naming what is missing or not a tensor.
 * @throws {RangeError} naming the tensor that does not match, its shape and the required one.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export function requireLayerInputs(
  gpu: Gpu,
  action: string,
  { problem, inputs }: { problem: Problem; inputs: LayerInputs },
): void {
  requireDevice(gpu, action);
  requireProblem(action, problem);
  requireRecord(action, "inputs", inputs);
  const { heads, context, headDim, dtype } = problem.shape;
  const names: (keyof LayerInputs)[] = ["q", "k", "v"];
  if (directionParts(problem.direction).backward) names.push("outputGradient");
  for (const name of names) {
    const tensor = inputs[name];
    requireRecord(action, name, tensor);
    requireTensor(gpu, `${action}: ${name}`, tensor!);
    if (fits(tensor!, problem.shape, inputs.q)) continue;
    throw new RangeError(
      `${action}: ${name} is ${describe(tensor!)}, the layer needs ${dtype} ` +
        `[${heads}, ${context}, ${headDim}] in ${blocksOf(inputs.q)}`,
    );
  }
}

function fits(tensor: Tensor, shape: AttentionShape, first: Tensor): boolean {
  return tensor.heads === shape.heads && tensor.rows === shape.context &&
    tensor.dim === shape.headDim && tensor.dtype === shape.dtype &&
    tensor.blocks.length === first.blocks.length &&
    tensor.blocks.every(({ heads, firstHead }, b) =>
      heads === first.blocks[b].heads && firstHead === first.blocks[b].firstHead
    );
}

function describe(tensor: Tensor): string {
  const { dtype, heads, rows, dim } = tensor;
  return `${dtype} [${heads}, ${rows}, ${dim}] in ${blocksOf(tensor)}`;
}

/** "1 block", or "2 blocks of 3, 1 heads". */
function blocksOf({ blocks }: Tensor): string {
  if (blocks.length === 1) return "1 block";
  return `${blocks.length} blocks of ${blocks.map(({ heads }) => heads).join(", ")} heads`;
}
