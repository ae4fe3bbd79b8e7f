/**
 * Checks the arguments of every implementation of a layer before anything is planned, allocated or
 * dispatched: the shape, the direction, and tensors that match the shape and each other.
 *
 * @module
 */
import { requireTensor, requireTensorShape, type Tensor } from "./gpu/buffers.ts";
import { type Gpu, requireDevice } from "./gpu/device.ts";
import { groupOf, requireKeyHeads } from "./key_heads.ts";
import { requireRecord, show, showCount } from "./gpu/require.ts";
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
    requireKeyHeads(action, shape);
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
 * @param options `sharedKeys`: the implementation takes fewer key heads than heads. Default false.
 * @throws {TypeError} when the shape is missing, or its element type or the direction is unknown.
 * @throws {RangeError} naming the size that is not a whole number from 1.
 */
export function requireProblem(
  action: string,
  problem: Problem,
  { sharedKeys = false }: { readonly sharedKeys?: boolean } = {},
): void {
  requireRecord(action, "the problem", problem);
  requireShape(action, problem.shape);
  const { heads, kvHeads = heads } = problem.shape;
  if (kvHeads !== heads && !sharedKeys) {
    throw new RangeError(
      `${action}: ${showCount(kvHeads, "key head")} for ${
        showCount(heads, "head")
      }: it needs one ` +
        "key head a head",
    );
  }
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
  { problem, inputs, sharedKeys }: {
    problem: Problem;
    inputs: LayerInputs;
    /** The implementation takes fewer key heads than heads. Default false. */
    sharedKeys?: boolean;
  },
): void {
  requireDevice(gpu, action);
  requireProblem(action, problem, { sharedKeys });
  requireRecord(action, "inputs", inputs);
  const { context, headDim, dtype } = problem.shape;
  const names: (keyof LayerInputs)[] = ["q", "k", "v"];
  if (directionParts(problem.direction).backward) names.push("outputGradient");
  for (const name of names) {
    const tensor = inputs[name];
    requireRecord(action, name, tensor);
    requireTensor(gpu, `${action}: ${name}`, tensor!);
    const group = name === "k" || name === "v" ? groupOf(problem.shape) : 1;
    const wanted = inputs.q.blocks.map(({ heads, firstHead }) => ({
      heads: heads / group,
      firstHead: firstHead / group,
    }));
    if (fits(tensor!, problem.shape, { group, blocks: wanted })) continue;
    throw new RangeError(
      `${action}: ${name} is ${describe(tensor!)}, the layer needs ${dtype} ` +
        `[${problem.shape.heads / group}, ${context}, ${headDim}] in ${blocksOf(wanted)}`,
    );
  }
}

function fits(
  tensor: Tensor,
  shape: AttentionShape,
  { group, blocks }: { group: number; blocks: readonly HeadBlock[] },
): boolean {
  return tensor.heads === shape.heads / group && tensor.rows === shape.context &&
    tensor.dim === shape.headDim && tensor.dtype === shape.dtype &&
    tensor.blocks.length === blocks.length &&
    tensor.blocks.every(({ heads, firstHead }, b) =>
      heads === blocks[b].heads && firstHead === blocks[b].firstHead
    );
}

/** Heads of one block of a tensor. */
type HeadBlock = Pick<Tensor["blocks"][number], "heads" | "firstHead">;

function describe(tensor: Tensor): string {
  const { dtype, heads, rows, dim } = tensor;
  return `${dtype} [${heads}, ${rows}, ${dim}] in ${blocksOf(tensor.blocks)}`;
}

/** "1 block", or "2 blocks of 3, 1 heads". */
function blocksOf(blocks: readonly HeadBlock[]): string {
  if (blocks.length === 1) return "1 block";
  return `${blocks.length} blocks of ${blocks.map(({ heads }) => heads).join(", ")} heads`;
}
