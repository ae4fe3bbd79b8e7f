/**
 * Profiles: how much of the benchmark a run covers, as data in `fixtures/profiles/`.
 *
 * @module
 */
import { z } from "zod";
import paper from "../../fixtures/profiles/paper.json" with { type: "json" };
import rivals from "../../fixtures/profiles/rivals.json" with { type: "json" };
import smoke from "../../fixtures/profiles/smoke.json" with { type: "json" };
import standard from "../../fixtures/profiles/standard.json" with { type: "json" };
import { DIRECTIONS, type OptionDescriptor } from "../../kernels/implementation.ts";
import { PARENTS } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { UsageError } from "../errors.ts";
import { sectionKey } from "../result/suite_record.ts";

const count = z.int().positive();
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1);

/** A share of the context, less a number: `N/64`, `9N/512`, `9N/32768-4`. */
const RULE = /^([1-9]\d*)?N\/([1-9]\d*)(?:-(\d+))?$/;

/** How an option is chosen: a number, or a rule such as `N/64` where the option takes rules. */
export const kRuleSchema: z.ZodType<KRule> = z.union([
  z.int().nonnegative(),
  z.string().regex(RULE),
]);

/** The value of an option, or the rule that gives it. */
export type KRule = number | string;

/** Values of options by the option's name; an implementation ignores those that it lacks. */
export const optionGridSchema: z.ZodType<OptionGrid> = z.record(z.string(), list(kRuleSchema));

/** Values of options to combine, by the option's name. */
export type OptionGrid = Record<string, KRule[]>;

/**
 * A grid of options at one context, measured against dense attention there. The profile supplies
 * what is left out.
 */
export const sweepSchema = z.strictObject({
  /** What varies: `context`, an option's name, `scorer`, or `grid` for several. */
  name: z.string(),
  /** Default: every context of the profile. */
  context: count.optional(),
  /** Numbers of key heads. Default: the profile's. */
  kvHeads: list(count).optional(),
  options: optionGridSchema.optional(),
  implementations: list(z.string()).optional(),
  directions: list(z.enum(DIRECTIONS)).optional(),
  /** Implementations whose time is predicted and not measured. */
  predictedOnly: list(z.string()).optional(),
  /**
   * Samples that each of its cases gets before other cases get more than their minimum, if half of
   * the budget allows. Default: no promise.
   */
  promisedSamples: count.optional(),
});

/** The fields of every profile; suites add their own sections. */
export const profileBase = z.object({
  name: z.string(),
  description: z.string(),
  /** Suites to run, by name. */
  suites: list(z.string()),
  /**
   * Implementations that are timed; `dense` is the baseline of every ratio, `*` all without a role,
   * `family:lighthouse` those of a family.
   */
  implementations: list(z.string()),
  directions: list(z.enum(DIRECTIONS)),
  contexts: list(count),
  /** The longest of these contexts in a direction, if that differs from the longest of all. */
  longest: z.partialRecord(z.enum(DIRECTIONS), count).optional(),
  /**
   * The context whose layers are timed first, in every direction and with any number of key heads;
   * the others follow in growing order. A budget that ends early keeps them. Default: contexts of
   * the forward pass come first, and the lightest of them.
   */
  firstContext: count.optional(),
  heads: list(count),
  /** Numbers of heads of keys and values. Default: one a head. */
  kvHeads: list(count).optional(),
  headDims: list(count),
  /** `auto`: f16 where the device has it, else f32. */
  dtype: z.enum(["auto", "f16", "f32"]),
  /** Values of options; an implementation uses its own default for what is left out. */
  options: optionGridSchema,
  sweeps: z.array(sweepSchema),
  /** Samples of each case: two in every A/B/B/A round. */
  samples: z.strictObject({ minimum: count, maximum: count }),
  /** Seconds for checking and measuring; calibration and start-up are not included. */
  budgetSeconds: z.number().positive(),
});

/** What a run covers: the fields of all profiles, and sections of suites. */
export type Profile = z.infer<typeof profileBase> & { readonly [section: string]: unknown };

/** A whole profile file, with the sections of all suites. */
export function profileSchema(
  suites: readonly { readonly record: { readonly name: string }; readonly section?: z.ZodType }[],
): z.ZodType {
  return profileBase.extend({
    $schema: z.string().optional(),
    suites: list(z.enum(suites.map(({ record }) => record.name))),
    ...Object.fromEntries(
      suites.flatMap(({ record, section }) =>
        section ? [[sectionKey(record.name), section.optional()]] : []
      ),
    ),
  }).strict();
}

/** A suite's section of a profile; undefined if there is none. */
export function sectionOf<T>(
  profile: Profile,
  suite: string,
  schema: z.ZodType<T>,
): T | undefined {
  const section = profile[sectionKey(suite)];
  return section === undefined ? undefined : schema.parse(section);
}

const PROFILES: Record<string, unknown> = { smoke, standard, paper, rivals };

/** Names of the profiles. */
export const PROFILE_NAMES: readonly string[] = Object.keys(PROFILES);

/**
 * The profile with that name.
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
  const { $schema: _, ...profile } = PROFILES[name] as Record<string, unknown>;
  return profileBase.catchall(z.unknown()).parse(profile);
}

/**
 * The value that a rule gives at a context: its share of N, rounded to a multiple of what the
 * option is a multiple of, and at least the option's least value.
 *
 * @example
 * ```ts
 * import { resolveRule } from "./profile.ts";
 * import assert from "node:assert/strict";
 * const k = { multipleOf: 128 };
 * assert.deepEqual(
 *   [resolveRule("N/64", 524288, k), resolveRule("N/64", 2048, k), resolveRule(1536, 98304, k)],
 *   [8192, 128, 1536],
 * );
 * ```
 */
export function resolveRule(
  rule: KRule,
  context: number,
  { multipleOf = 1, ruleStep = multipleOf, least = 1, rounding = "up" }: Partial<OptionDescriptor>,
): number {
  if (typeof rule === "number") return rule;
  const [, times = 1, part, less = 0] = rule.match(RULE)!;
  const share = (Number(times) * context / Number(part) - Number(less)) / ruleStep;
  const units = rounding === "up" ? Math.ceil(share) : Math.floor(share);
  return Math.max(units, Math.ceil(least / ruleStep)) * ruleStep;
}

/** {@linkcode resolveRule} for the selection budget of a Lighthouse layer. */
export function resolveBudget(rule: KRule, context: number): number {
  return resolveRule(rule, context, { multipleOf: PARENTS });
}
