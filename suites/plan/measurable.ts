/**
 * What the suites measure: an implementation whose results can be read row by row, wherever they
 * are stored. Those of `kernels/` leave tensors on the WebGPU device; a peer may compute in another
 * process.
 *
 * @module
 */
import { readRows, type Tensor, type TensorShape } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { type Inspection, inspectTensor } from "../../kernels/gpu/inspect.ts";
import type { RunOptions, Timing } from "../../kernels/gpu/timing.ts";
import type {
  Implementation,
  IndexInputs,
  LayerInputs,
  Prepared,
  Problem,
} from "../../kernels/implementation.ts";

import { UsageError } from "../errors.ts";
import type { TrainingPeer } from "./training_peer.ts";

/** Names of peers in results start with this. */
export const PEER_PREFIX = "peer:";

/** Rows of one head. */
export interface RowRange {
  /** The head. */
  readonly head: number;
  /** The first row. */
  readonly first: number;
  /** How many rows. */
  readonly count: number;
}

/** A tensor `[heads, rows, dim]` that is not on the WebGPU device, or not in its layout. */
export interface RemoteTensor extends TensorShape {
  /** Names the tensor in errors. */
  readonly label: string;
  /** Rows `first … first + count - 1` of one head, as `[count, dim]`. */
  readonly readRows: (range: RowRange) => Promise<Float32Array>;
  /**
   * Digest and count of non-finite elements, as `inspectTensor` computes them for the same
   * elements.
   */
  readonly inspect: () => Promise<Inspection>;
}

/** A result of an execution. */
export type Rows = Tensor | RemoteTensor;

/** Results of an execution, as in `Prepared`; a peer may not report all of them. */
export interface Outputs {
  /** `[heads, context, headDim]`. */
  readonly output: Rows;
  /** Natural log-sum-exp of the scaled logits. */
  readonly lse?: Rows;
  /** Pyramid indices in gathered order, `[heads, S]`. */
  readonly readSelection?: () => Promise<Int32Array>;
  /** Squared scores of the base rows of one head. */
  readonly readScores?: (head: number) => Promise<{ query: Float32Array; key: Float32Array }>;
  /** As in `Prepared`, of a layer whose index selects tokens. */
  readonly readBlocks?: () => Promise<Int32Array>;
  /** What its index computes scores from. */
  readonly index?: IndexInputs;
  /** Attention over the gathered rows, `[heads, S, headDim]`. */
  readonly gathered?: Rows;
  /** As in `Prepared`. */
  readonly branches?: {
    readonly gates: Rows;
    readonly lse: readonly Rows[];
    readonly gateGradients?: readonly Rows[];
  };
  /** dQ, dK, dV. */
  readonly gradients?: { readonly q: Rows; readonly k: Rows; readonly v: Rows };
}

/** A layer that can be run any number of times. */
export interface Layer {
  /** Names of the stages that a staged execution times. */
  readonly stages: readonly string[];
  /** Runs the layer once. */
  readonly execute: (options?: RunOptions) => Promise<Timing>;
  /** Results of the last execution. */
  readonly outputs: Outputs;
  /** As in `Prepared`. */
  readonly readRestarts?: () => Promise<number>;
  /** Present for a peer. */
  readonly peer?: PeerTraits;
  /** Frees everything but the inputs. */
  readonly destroy: () => void | Promise<void>;
}

/** What the checks need to know about a peer. */
export interface PeerTraits {
  /** Its own copy of the inputs, for comparison with ours; absent if it reads ours. */
  readonly inputs?: Readonly<Partial<Record<keyof LayerInputs, RemoteTensor>>>;
  /** It accumulates in f16: its error grows with the root of the number of keys. Default false. */
  readonly halfSums?: boolean;
  /** Peak device memory in bytes; undefined if it does not report this. */
  readonly peakBytes?: () => number | undefined;
}

/** Inputs of preparing a layer. */
export interface PrepareOptions {
  /** Q, K, V and, for gradients, dO. */
  readonly inputs: LayerInputs;
  /** Most FLOP of one dispatch. Default: dispatches are not split. */
  readonly flopsPerDispatch?: number;
  /** Seed of Q; K, V and dO use the next three. A peer makes its own inputs from it. */
  readonly seed?: number;
  /** Stops long work. */
  readonly signal?: AbortSignal;
}

/** One way of computing a layer, ours or a peer's. */
export type Measurable = Omit<Implementation, "prepare"> & {
  readonly prepare: (gpu: Gpu, problem: Problem, options: PrepareOptions) => Promise<Layer>;
  /** An external implementation, measured for comparison. Default false. */
  readonly peer?: boolean;
  /** Longest execution in seconds, where it cannot be split into submissions. Default: no limit. */
  readonly longestSeconds?: number;
  /** Of a peer that trains a model; its `directions` are empty if it does nothing else. */
  readonly training?: TrainingPeer;
};

/**
 * The implementation with that name.
 *
 * @throws {TypeError} when there is none: names are checked when a plan is made.
 */
export function findImplementation<T extends Measurable>(registry: readonly T[], name: string): T {
  const found = registry.find((known) => known.name === name);
  if (!found) throw new TypeError(`implementation ${name} is not registered`);
  return found;
}

/**
 * Refuses a registry that has a name twice: the first would be measured for both.
 *
 * @throws {UsageError} one line with the name.
 */
export function requireUniqueNames(registry: readonly Pick<Measurable, "name">[]): void {
  const names = registry.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new UsageError(`the registry has two implementations of the name ${twice}`);
  }
}

/** A layer that is not available on this machine. The message is one line with the reason. */
export class UnavailableError extends Error {
  /** Of the class. */
  override readonly name = "UnavailableError";
}

/** Whether a layer is one of ours, with all its tensors on the device. */
export function isOurs(layer: Layer): layer is Prepared {
  return layer.peer === undefined;
}

/** Rows of a result in their storage type. */
export function readStoredRows(
  gpu: Gpu,
  rows: Rows,
  range: RowRange,
): Promise<Float32Array | Float16Array> {
  return "blocks" in rows ? readRows(gpu, rows, range) : rows.readRows(range);
}

/** Rows of a result in f32. */
export async function readResultRows(gpu: Gpu, rows: Rows, range: RowRange): Promise<Float32Array> {
  const data = await readStoredRows(gpu, rows, range);
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

/** Digest and count of non-finite elements of a result. */
export function inspectRows(gpu: Gpu, rows: Rows): Promise<Inspection> {
  return "blocks" in rows ? inspectTensor(gpu, rows) : rows.inspect();
}

/**
 * Names with `*` replaced by all implementations of ours without a role, and `family:NAME` by those
 * of a family.
 *
 * @example
 * ```ts
 * import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
 * import { expandNames } from "./measurable.ts";
 * import assert from "node:assert/strict";
 * const names = expandNames(["dense", "family:sparse"], IMPLEMENTATIONS);
 * assert.deepEqual(names, ["dense", "sliding-window", "bigbird", "moba", "nsa", "dsa", "hisa"]);
 * ```
 */
export function expandNames(
  names: readonly string[],
  registry: readonly Measurable[],
): string[] {
  const ours = registry.filter(({ peer, role }) => !peer && !role);
  const expand = (name: string) => {
    if (name === "*") return ours.map((one) => one.name);
    const family = name.match(/^family:(.+)$/)?.[1];
    if (family === undefined) return [name];
    return ours.filter((one) => one.family === family).map((one) => one.name);
  };
  return [...new Set(names.flatMap(expand))];
}
