/**
 * Profiles: how much of the benchmark a run covers, as data in `fixtures/profiles/`.
 *
 * @module
 */
import { z } from "zod";
import paper from "../../fixtures/profiles/paper.json" with { type: "json" };
import smoke from "../../fixtures/profiles/smoke.json" with { type: "json" };
import standard from "../../fixtures/profiles/standard.json" with { type: "json" };
import type { Direction } from "../../kernels/implementation.ts";
import { UsageError } from "../errors.ts";

/** Suites that can be asked for. */
export const SUITES = [
  "correctness",
  "latency",
  "throughput",
  "context-parallel",
  "retrieval",
] as const satisfies readonly SuiteName[];

/** One of {@linkcode SUITES}. */
export type SuiteName =
  | "correctness"
  | "latency"
  | "throughput"
  | "context-parallel"
  | "retrieval";

/** Directions of a layer that the result schema knows. */
export const DIRECTIONS = [
  "forward",
  "backward",
  "forward-backward",
] as const satisfies Direction[];

const count = z.int().positive();
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1);

/**
 * How k is chosen: a number, or `N/64` and the like. A rule is rounded up to a multiple of 128,
 * the least that selection can do.
 */
export const kRuleSchema: z.ZodType<KRule> = z.union([count, z.string().regex(/^N\/[1-9]\d*$/)]);

/** A selection budget or the rule that gives it. */
export type KRule = number | string;

/**
 * A grid of Lighthouse options at one context, measured against dense attention there. What is left
 * out comes from the profile.
 */
export const sweepSchema = z.strictObject({
  name: z.enum(["context", "k", "pooling", "levels", "scorer", "grid"]),
  context: count,
  levels: list(count),
  pooling: list(count),
  k: list(kRuleSchema),
  dilations: list(count).optional(),
  implementations: list(z.string()).optional(),
  directions: list(z.enum(DIRECTIONS)).optional(),
  /** Implementations whose time is predicted and not measured. */
  predictedOnly: list(z.string()).optional(),
});

/** One layer whose context is cut into shards; for every Lighthouse implementation of the profile. */
export const contextParallelSettingSchema = z.strictObject({
  context: count,
  levels: count,
  pooling: count,
  /** A multiple of 128 for each part of the finest cut. */
  k: count,
  shards: list(count),
});

/** A layer to cut into shards. */
export type ContextParallelSetting = z.infer<typeof contextParallelSettingSchema>;

/** A whole profile. */
export const profileSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  suites: list(z.enum(SUITES)),
  /** Implementations that are timed; `dense` is the baseline of every ratio. */
  implementations: list(z.string()),
  /** Implementations that are checked and not timed: second opinions. */
  checkedOnly: z.array(z.string()),
  directions: list(z.enum(DIRECTIONS)),
  contexts: list(count),
  /** The longest context of a direction, where that is not the longest of all. */
  longest: z.partialRecord(z.enum(DIRECTIONS), count).optional(),
  heads: list(count),
  headDims: list(count),
  /** `auto`: f16 where the device has it, else f32. */
  dtype: z.enum(["auto", "f16", "f32"]),
  levels: list(count),
  pooling: list(count),
  k: list(kRuleSchema),
  /** δ of the scorers that work in residue classes. */
  dilations: list(count),
  sweeps: z.array(sweepSchema),
  /** Without directions: those of the profile. */
  throughput: z.strictObject({
    contexts: list(count),
    directions: list(z.enum(DIRECTIONS)).optional(),
  }),
  contextParallel: contextParallelSettingSchema.optional(),
  /** Samples of each case: two in every A/B/B/A round. */
  samples: z.strictObject({ minimum: count, maximum: count }),
  /** Seconds that checking and measuring may take; calibration and start-up come on top. */
  budgetSeconds: z.number().positive(),
});

/** What a run covers. */
export type Profile = z.infer<typeof profileSchema>;

const PROFILES: Record<string, unknown> = { smoke, standard, paper };

/** Names of the profiles. */
export const PROFILE_NAMES: readonly string[] = Object.keys(PROFILES);

/**
 * The profile of that name.
 *
 * @throws {UsageError} when there is none.
 *
 * @example
 * ```ts
 * import { loadProfile } from "./profile.ts";
 * import assert from "node:assert/strict";
 * assert.equal(loadProfile("paper").contexts.at(-1), 524288);
 * ```
 */
export function loadProfile(name: string): Profile {
  if (!Object.hasOwn(PROFILES, name)) {
    throw new UsageError(`profile ${name} is not one of ${PROFILE_NAMES.join(", ")}`);
  }
  return profileSchema.parse(PROFILES[name]);
}

/**
 * k of a rule at a context.
 *
 * @example
 * ```ts
 * import { resolveK } from "./profile.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual([resolveK("N/64", 524288), resolveK("N/64", 2048), resolveK(1536, 98304)], [8192, 128, 1536]);
 * ```
 */
export function resolveK(rule: KRule, context: number): number {
  if (typeof rule === "number") return rule;
  return Math.max(1, Math.ceil(context / Number(rule.slice(2)) / 128)) * 128;
}
