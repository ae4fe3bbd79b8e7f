/**
 * The cost of a peer: the same FLOP and bytes as ours for the same layer, in one stage, since its
 * internals are unknown.
 *
 * @module
 */
import { bytesPerHead } from "../../kernels/gpu/tensors.ts";
import { type Direction, DIRECTIONS, type Problem } from "../../kernels/implementation.ts";
import { inputShapes } from "../../kernels/key_heads.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { type Layer, type Measurable, PEER_PREFIX, UnavailableError } from "../plan/measurable.ts";
import type { TrainingPeer } from "../plan/training_peer.ts";

/**
 * Bytes that a peer may hold, for dividing a device's memory among cases: its own inputs, separate
 * from ours, and one and a half times our layer, since frameworks keep what backward passes need.
 */
function estimatePeak(ours: number, { shape, direction = "forward" }: Problem): number {
  const { q, k, v, outputGradient } = inputShapes(shape);
  const inputs = direction === "forward" ? [q, k, v] : [q, k, v, outputGradient];
  const bytes = inputs.reduce((sum, one) => sum + one.heads * bytesPerHead(one), 0);
  return Math.ceil(1.5 * ours) + bytes;
}

/** Our implementation of what a peer computes: the first of the family. */
export function counterpartOf(family: string, scorer?: string) {
  return IMPLEMENTATIONS.find((ours) =>
    ours.family === family && (ours.scorer === undefined || ours.scorer.name === scorer)
  );
}

/** A peer as an implementation. */
export function peerImplementation(
  options: {
    /** Name without the prefix. */
    name: string;
    title: string;
    /** Our family that computes the same. */
    computes: string;
    /** Our scorer, for Lighthouse. */
    scorer?: string;
    /** It takes fewer key heads than heads. Default false. */
    sharedKeys?: boolean;
    /** Default: all. */
    directions?: readonly Direction[];
    longestSeconds?: number;
    /** Why it cannot run at all: the reason of all its cases. */
    unavailable?: string;
    prepare?: (problem: Problem, seed: number, signal?: AbortSignal) => Promise<Layer>;
  },
): Measurable {
  const { name, title, computes, scorer, unavailable, prepare } = options;
  const ours = counterpartOf(computes, scorer);
  if (!ours) {
    throw new TypeError(`peer ${name} computes ${computes} ${scorer}, and none of ours does`);
  }
  return {
    name: `${PEER_PREFIX}${name}`,
    title,
    family: ours.family,
    scorer: ours.scorer,
    options: ours.options,
    smallest: ours.smallest,
    visible: ours.visible,
    selector: ours.selector,
    reference: ours.reference,
    tokens: ours.tokens,
    sharedKeys: options.sharedKeys ?? false,
    directions: options.directions ?? DIRECTIONS,
    peer: true,
    longestSeconds: options.longestSeconds,
    plan: (gpu, problem) => {
      const plan = ours.plan(gpu, problem);
      if (unavailable !== undefined) throw new RangeError(unavailable);
      const stage = { name: problem.direction ?? "forward", flops: plan.flops, bytes: plan.bytes };
      return { ...plan, stages: [stage], peakBytes: estimatePeak(plan.peakBytes, problem) };
    },
    prepare: async (_gpu, problem, { seed, signal }) => {
      if (!prepare) throw new TypeError(`prepare ${name}: ${unavailable}`);
      if (seed === undefined) {
        throw new TypeError(`prepare ${name}: the seed of the inputs is missing`);
      }
      return await prepare(problem, seed, signal);
    },
  };
}

/** A peer that trains whole models and computes no layer alone. */
export function trainingImplementation(
  { name, title, training }: {
    /** Name without the prefix. */
    readonly name: string;
    readonly title: string;
    readonly training: TrainingPeer;
  },
): Measurable {
  const { family, smallest, visible } = counterpartOf("dense")!;
  const message = `${name} trains whole models and computes no layer alone`;
  return {
    name: `${PEER_PREFIX}${name}`,
    title,
    family,
    options: [],
    smallest,
    visible,
    directions: [],
    peer: true,
    training,
    plan: () => {
      throw new RangeError(message);
    },
    prepare: () => Promise.reject(new TypeError(message)),
  };
}

/** A peer that trains elsewhere: it refuses every model here, with the reason. */
export function refusingTraining(reason: string): TrainingPeer {
  return {
    refuses: () => reason,
    peakBytes: () => 0,
    prepare: () => Promise.reject(new UnavailableError(reason)),
  };
}
