/**
 * How much of the retrieval suite a run covers: its section of a profile, and how options change
 * it.
 *
 * @module
 */
import { z } from "zod";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { SCORERS } from "../../kernels/lighthouse/scorers/scorers.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { UsageError } from "../errors.ts";
import { expandNames } from "../plan/measurable.ts";
import {
  type KRule,
  kRuleSchema,
  loadProfile,
  type Profile,
  resolveBudget,
  sectionOf,
} from "../plan/profile.ts";
import { retrievalRecord } from "./record.ts";
import { findRival, RIVALS } from "./rival_arms.ts";

const count = z.int().positive();
const numbers = z.array(z.number()).min(1).readonly();

/** Size of a Lighthouse layer by its rule for k. */
const layerSchema = z.strictObject({ levels: count, pooling: count, k: kRuleSchema });

/** Size of a Lighthouse layer by its rule for k. */
export type LayerRule = Readonly<z.infer<typeof layerSchema>>;

/** Layers of all combinations whose k fits the coarsest level of the context. */
const layersSchema = z.array(z.strictObject({
  levels: z.array(count).min(1),
  pooling: z.array(count).min(1),
  k: z.array(kRuleSchema).min(1),
})).min(1);

/** The suite's section of a profile. */
export const retrievalSection = z.strictObject({
  /** Trials of each cell, at least. */
  trials: count,
  headDim: count,
  contexts: z.array(count).min(1).readonly(),
  /** Percent, 0 to 100. */
  depths: numbers,
  /** Margins of the grid of contexts and depths. */
  margins: numbers,
  /** Margins at depth 50 %, through the transition, at every context. */
  transition: numbers,
  /** `*`: all without a role. */
  scorers: z.array(z.string()).min(1).readonly(),
  /** The layer of the grid and of all arms that keep the same number of rows. */
  layer: layerSchema,
  /**
   * Other implementations whose last query searches the same needles, as the profile names
   * implementations; each with its settings of equal pairs, or with its first where it has none.
   */
  rivals: z.array(z.string()).optional(),
  /** Further layers, at one context, depth 50 % and the first margin of the grid. */
  options: z.strictObject({ context: count, layers: layersSchema }).optional(),
  /** A sweep of the needle's key over budgets. */
  keys: z.strictObject({
    context: count,
    layers: layersSchema,
    /** The margin for the salience sweep; the margin sweep runs at salience 1. */
    margin: z.number(),
    saliences: numbers,
    margins: numbers,
  }).optional(),
  stress: z.strictObject({ context: count, margin: z.number() }).optional(),
  /** Longest context for scorers with quadratic cost. */
  quadraticContext: count,
  /** Longest context for them in the grid at the largest margin, which runs last. */
  quadraticGridContext: count,
  /** Longest context for other scorers with passes of their own. */
  passContext: count,
  /**
   * Whether scorers with their own passes run only in the grid and the key sweeps, for slow
   * devices.
   */
  gridOnly: z.boolean(),
  /** Cells that would start later than this are left out. */
  budgetSeconds: z.number().positive(),
});

type Section = Readonly<z.infer<typeof retrievalSection>>;

/** What a run covers: the section with every scorer and layer listed. */
export interface RetrievalProfile extends Omit<Section, "options" | "keys"> {
  readonly name: string;
  readonly options?: WithLayers<Section["options"]>;
  readonly keys?: WithLayers<Section["keys"]>;
}

/** A part of the section with every layer listed. */
type WithLayers<Part> = Omit<NonNullable<Part>, "layers"> & {
  readonly layers: readonly LayerRule[];
};

/** The section of a profile; undefined where it has none. */
function readSection(profile: Profile): RetrievalProfile | undefined {
  const section = sectionOf(profile, retrievalRecord.name, retrievalSection);
  if (!section) return undefined;
  const { options, keys, scorers, rivals, ...rest } = section;
  // Controls run only by name.
  const all = SCORERS.filter(({ role }) => !role).map(({ name }) => name);
  return {
    name: profile.name,
    ...rest,
    scorers: scorers.flatMap((name) => name === "*" ? all : [name]),
    ...(rivals && { rivals: expandNames(rivals, IMPLEMENTATIONS) }),
    ...(options && { options: { ...options, layers: layersOf(options) } }),
    ...(keys && { keys: { ...keys, layers: layersOf(keys) } }),
  };
}

function layersOf({ context, layers }: NonNullable<Section["options"]>): LayerRule[] {
  return layers.flatMap((grid) =>
    grid.levels.flatMap((levels) =>
      grid.pooling.flatMap((pooling) =>
        grid.k.map((k): LayerRule => ({ levels, pooling, k })).filter(({ k }) =>
          resolveBudget(k, context) <= context / pooling ** (levels - 1)
        )
      )
    )
  );
}

/** What a command line may change. */
export interface RetrievalOptions {
  readonly profile?: string;
  readonly contexts?: readonly number[];
  readonly depths?: readonly number[];
  readonly margins?: readonly number[];
  readonly trials?: number;
  readonly scorers?: readonly string[];
  /** Implementations by name: those of Lighthouse in place of scorers, others as rivals. */
  readonly implementations?: readonly string[];
  readonly headDim?: number;
  readonly levels?: number;
  readonly pooling?: number;
  readonly k?: KRule;
  readonly budgetSeconds?: number;
}

/** Scorers and rivals: those of named implementations, if any are named. */
function chosenArms(
  base: Pick<RetrievalProfile, "scorers" | "rivals">,
  { scorers, implementations }: RetrievalOptions,
): Pick<RetrievalProfile, "scorers" | "rivals"> {
  if (!implementations) return { scorers: scorers ?? base.scorers };
  const named = SCORERS.map(({ name }) => name).filter((name) =>
    implementations.includes(`lighthouse-${name}`)
  );
  const rivals = RIVALS.map(({ name }) => name).filter((name) => implementations.includes(name));
  return {
    scorers: scorers ?? (named.length > 0 || rivals.length > 0 ? named : base.scorers),
    ...(rivals.length > 0 && { rivals }),
  };
}

/**
 * The profile of that name with the given changes, with every value checked.
 *
 * @throws {UsageError} one line that names the value and the limit.
 *
 * @example
 * ```ts
 * import { retrievalProfile } from "./profile.ts";
 * import assert from "node:assert/strict";
 * assert.throws(() => retrievalProfile({ profile: "smoke", depths: [101] }), /depth 101 .* 0 to 100/);
 * ```
 */
export function retrievalProfile(options: RetrievalOptions): RetrievalProfile {
  const name = options.profile ?? "standard";
  const base = readSection(loadProfile(name));
  if (!base) throw new UsageError(`profile ${name} has no section for retrieval`);
  const layer = {
    levels: options.levels ?? base.layer.levels,
    pooling: options.pooling ?? base.layer.pooling,
    k: options.k ?? base.layer.k,
  };
  const profile: RetrievalProfile = {
    ...base,
    layer,
    trials: options.trials ?? base.trials,
    headDim: options.headDim ?? base.headDim,
    contexts: options.contexts ?? base.contexts,
    depths: options.depths ?? base.depths,
    margins: options.margins ?? base.margins,
    transition: options.margins ?? base.transition,
    ...chosenArms(base, options),
    budgetSeconds: options.budgetSeconds ?? base.budgetSeconds,
  };
  for (const depth of profile.depths) {
    if (!(depth >= 0 && depth <= 100)) {
      throw new UsageError(`retrieval: depth ${depth} is not a percentage from 0 to 100`);
    }
  }
  for (const margin of [...profile.margins, ...profile.transition]) {
    // Beyond this, weights and their squares exceed the range of float32.
    if (!Number.isFinite(margin) || Math.abs(margin) > 40) {
      throw new UsageError(`retrieval: margin ${margin} is not a finite number from -40 to 40`);
    }
  }
  for (const rival of profile.rivals ?? []) findRival(rival);
  for (const scorer of profile.scorers) {
    const known = SCORERS.map(({ name }) => name);
    if (!known.includes(scorer)) {
      throw new UsageError(`retrieval: scorer ${scorer} is not one of ${known.join(", ")}`);
    }
  }
  if (!Number.isInteger(profile.trials) || profile.trials < 10 || profile.trials > 100_000) {
    throw new UsageError(
      `retrieval: trials ${profile.trials} is not a whole number from 10 to 100000`,
    );
  }
  if (
    !Number.isInteger(Math.log2(profile.headDim)) || profile.headDim < 16 || profile.headDim > 256
  ) {
    throw new UsageError(
      `retrieval: headDim ${profile.headDim} is not a power of two from 16 to 256`,
    );
  }
  for (const context of profile.contexts) {
    try {
      planGeometry(context, { ...layer, k: resolveBudget(layer.k, context) });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UsageError(`retrieval: context ${context}: ${error.message}`);
    }
  }
  return profile;
}
