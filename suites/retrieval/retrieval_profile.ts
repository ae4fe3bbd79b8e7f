/**
 * How much of the retrieval suite a run covers.
 *
 * @module
 */
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { SCORERS } from "../../kernels/lighthouse/scorers/scorers.ts";
import { UsageError } from "../errors.ts";
import { type KRule, resolveBudget } from "../plan/profile.ts";

/** Size of a Lighthouse layer by its rule for k. */
export interface LayerRule {
  readonly levels: number;
  readonly pooling: number;
  readonly k: KRule;
}

/** A sweep of the needle's key over budgets. */
export interface KeySweep {
  readonly context: number;
  readonly layers: readonly LayerRule[];
  /** At this margin the salience is swept, and at salience 1 the margins are. */
  readonly margin: number;
  readonly saliences: readonly number[];
  readonly margins: readonly number[];
}

/** What a run covers. */
export interface RetrievalProfile {
  readonly name: string;
  /** Trials of each cell, at least. */
  readonly trials: number;
  readonly headDim: number;
  readonly contexts: readonly number[];
  /** Percent, 0 to 100. */
  readonly depths: readonly number[];
  /** Margins of the grid of contexts and depths. */
  readonly margins: readonly number[];
  /** Margins at depth 50 %, through the transition, at every context. */
  readonly transition: readonly number[];
  readonly scorers: readonly string[];
  /** The layer of the grid and of all arms that keep as many rows as it. */
  readonly layer: LayerRule;
  /** Further layers, at one context, depth 50 % and the first margin of the grid. */
  readonly options: { readonly context: number; readonly layers: readonly LayerRule[] };
  readonly keys: KeySweep;
  readonly stress: { readonly context: number; readonly margin: number };
  /** Longest context for scorers whose cost grows with the square of it. */
  readonly quadraticContext: number;
  /** Longest context for them in the grid at the largest margin, which runs after everything else. */
  readonly quadraticGridContext: number;
  /** Longest context for other scorers with passes of their own. */
  readonly passContext: number;
  /** Whether scorers with passes of their own run in the grid and the key sweeps alone, for slow devices. */
  readonly gridOnly: boolean;
  /** Cells that would start later than this are left out. */
  readonly budgetSeconds: number;
}

/** All scorers but controls, which run by name. */
const TIMED_SCORERS = SCORERS.filter(({ role }) => !role).map(({ name }) => name);

const LAYER: LayerRule = { levels: 3, pooling: 4, k: "N/64" };
const DEPTHS = [0, 15, 30, 50, 70, 85, 100];

/** The grid of L, p and k at a context, without the settings that cannot tile it. */
function layerGrid(context: number): LayerRule[] {
  return [2, 3, 4].flatMap((levels) =>
    [2, 4, 8].flatMap((pooling) =>
      [128, 256, 512, 1024].map((k) => ({ levels, pooling, k })).filter(({ k }) =>
        k <= context / pooling ** (levels - 1)
      )
    )
  );
}

/** Budgets for the salience curves: K/N from 1/128 to 1/4. */
const BUDGETS: readonly LayerRule[] = [128, 64, 32, 16, 8, 4].map((part) => ({
  levels: 3,
  pooling: 2,
  k: `N/${part}`,
}));

const SALIENCES = [0.8, 0.9, 1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.6, 2, 2.5, 3, 4];

const PROFILES: Readonly<Record<string, RetrievalProfile>> = {
  smoke: {
    name: "smoke",
    trials: 40,
    headDim: 32,
    contexts: [2048, 4096, 8192],
    depths: [0, 50, 100],
    margins: [4],
    transition: [2, 3, 4, 5],
    scorers: TIMED_SCORERS,
    layer: LAYER,
    options: {
      context: 2048,
      layers: [{ levels: 3, pooling: 2, k: 128 }, { levels: 2, pooling: 4, k: 512 }],
    },
    keys: {
      context: 2048,
      layers: BUDGETS.slice(3),
      margin: 4,
      saliences: [1, 1.1, 1.2, 1.4],
      margins: [4],
    },
    stress: { context: 2048, margin: 5 },
    quadraticContext: 2048,
    quadraticGridContext: 2048,
    passContext: 2048,
    gridOnly: true,
    budgetSeconds: 50,
  },
  standard: {
    name: "standard",
    trials: 200,
    headDim: 64,
    contexts: [2048, 8192, 32768],
    depths: DEPTHS,
    margins: [4, 6],
    transition: [0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7],
    scorers: TIMED_SCORERS,
    layer: LAYER,
    options: { context: 8192, layers: layerGrid(8192) },
    keys: {
      context: 16384,
      layers: BUDGETS,
      margin: 4,
      saliences: SALIENCES,
      margins: [0, 2, 3, 4, 5, 6, 8],
    },
    stress: { context: 16384, margin: 5 },
    quadraticContext: 16384,
    quadraticGridContext: 32768,
    passContext: 65536,
    gridOnly: false,
    budgetSeconds: 240,
  },
  paper: {
    name: "paper",
    trials: 200,
    headDim: 128,
    contexts: [2048, 4096, 8192, 16384, 32768, 65536, 98304, 131072, 262144, 524288],
    depths: DEPTHS,
    margins: [4, 6],
    transition: [0, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8],
    scorers: TIMED_SCORERS,
    layer: LAYER,
    options: { context: 16384, layers: layerGrid(16384) },
    keys: {
      context: 16384,
      layers: BUDGETS,
      margin: 4,
      saliences: SALIENCES,
      margins: [0, 2, 3, 4, 5, 6, 8],
    },
    stress: { context: 16384, margin: 5 },
    quadraticContext: 16384,
    quadraticGridContext: 98304,
    passContext: 524288,
    gridOnly: false,
    budgetSeconds: 420,
  },
};

/** What a command line may change. */
export interface RetrievalOptions {
  readonly profile?: string;
  readonly contexts?: readonly number[];
  readonly depths?: readonly number[];
  readonly margins?: readonly number[];
  readonly trials?: number;
  readonly scorers?: readonly string[];
  readonly headDim?: number;
  readonly levels?: number;
  readonly pooling?: number;
  readonly k?: KRule;
  readonly budgetSeconds?: number;
}

/**
 * The profile of that name with the given changes, every value checked.
 *
 * @throws {UsageError} one line that names the value and the limit.
 *
 * @example
 * ```ts
 * import { retrievalProfile } from "./retrieval_profile.ts";
 * import assert from "node:assert/strict";
 * assert.throws(() => retrievalProfile({ profile: "smoke", depths: [101] }), /depth 101 .* 0 to 100/);
 * ```
 */
export function retrievalProfile(options: RetrievalOptions): RetrievalProfile {
  const name = options.profile ?? "standard";
  if (!Object.hasOwn(PROFILES, name)) {
    throw new UsageError(`profile ${name} is not one of ${Object.keys(PROFILES).join(", ")}`);
  }
  const base = PROFILES[name];
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
    scorers: options.scorers ?? base.scorers,
    budgetSeconds: options.budgetSeconds ?? base.budgetSeconds,
  };
  for (const depth of profile.depths) {
    if (!(depth >= 0 && depth <= 100)) {
      throw new UsageError(`retrieval: depth ${depth} is not a percentage from 0 to 100`);
    }
  }
  for (const margin of [...profile.margins, ...profile.transition]) {
    // Beyond this, weights and their squares leave the range of float32.
    if (!Number.isFinite(margin) || Math.abs(margin) > 40) {
      throw new UsageError(`retrieval: margin ${margin} is not a finite number from -40 to 40`);
    }
  }
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
