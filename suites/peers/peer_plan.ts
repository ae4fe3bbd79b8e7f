/**
 * What a peer costs: the same FLOP and bytes as ours for the same layer, in one stage, since its
 * inside is its own.
 *
 * @module
 */
import { bytesPerElement } from "../../kernels/gpu/buffers.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import type { LighthouseOptions, Problem } from "../../kernels/implementation.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseNorm,
} from "../../kernels/lighthouse/lighthouse_attention.ts";
import type { Layer, Measurable } from "../plan/measurable.ts";

/** Names of peers in results start with this. */
export const PEER_PREFIX = "peer:";

const LIGHTHOUSE = { norm: lighthouseNorm, dilated: lighthouseDilated, gla: lighthouseGla };

/**
 * Bytes that a peer may hold, by which cases share a device's memory: its own inputs, which are not
 * ours, and half as much again as our layer, since frameworks keep what backward passes need.
 */
function estimatePeak(ours: number, { shape, direction = "forward" }: Problem): number {
  const inputs = direction === "forward" ? 3 : 4;
  const { heads, context, headDim, dtype } = shape;
  return Math.ceil(1.5 * ours) + inputs * heads * context * headDim * bytesPerElement(dtype);
}

/** A peer as an implementation. */
export function peerImplementation(
  options: {
    /** Without the prefix. */
    name: string;
    title: string;
    computes: "dense" | "lighthouse";
    scorer: LighthouseOptions["scorer"];
    /** Why it cannot run at all: the reason of all its cases. */
    unavailable?: string;
    prepare?: (problem: Problem, seed: number, signal?: AbortSignal) => Promise<Layer>;
  },
): Measurable {
  const { name, title, computes, scorer, unavailable, prepare } = options;
  const ours = computes === "dense" ? dense : LIGHTHOUSE[scorer];
  return {
    name: `${PEER_PREFIX}${name}`,
    title,
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
