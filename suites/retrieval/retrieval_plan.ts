/**
 * Settings of the retrieval suite: where needles go, and which arms look for them.
 *
 * @module
 */
import type { LighthouseOptions } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { resolveK } from "../profile.ts";
import { DIGITS } from "./law.ts";
import type { RowEdit } from "./planting.ts";
import type { LayerRule, RetrievalProfile, ScorerName } from "./retrieval_profile.ts";
import type { RetrievalCell } from "./retrieval_schema.ts";

/** One arm: a way of choosing the rows that the last query attends to. */
export interface Arm {
  readonly name: string;
  readonly lighthouse?: LighthouseOptions;
}

/** One setting of one context: what is planted, and the arms that look for it. */
export interface Setting {
  readonly sweep: RetrievalCell["sweep"];
  readonly depth?: number;
  readonly margin: number;
  readonly salience?: number;
  readonly stress?: string;
  /** Rows with the digit, the first one first. */
  readonly needles: readonly number[];
  /** What to plant for a digit. */
  readonly edits: (digit: number) => RowEdit[];
  readonly arms: readonly Arm[];
}

/** All settings of one context. */
export interface ContextPlan {
  readonly context: number;
  /** S of the arms that keep as many rows as the profile's layer. */
  readonly attended: number;
  readonly settings: readonly Setting[];
}

/** Arms whose choice looks at the logits, at nothing, or at the position; dense is the baseline. */
const PLAIN: readonly Arm[] = ["dense", "oracle", "random", "window"].map((name) => ({ name }));

/** A plan: contexts ascending, and what was left out. */
export interface RetrievalPlan {
  readonly contexts: readonly ContextPlan[];
  readonly skipped: readonly string[];
}

/**
 * Row of a needle: depth 0 is the first row, 100 % the last one before the query's own.
 *
 * @example
 * ```ts
 * import { needleRow } from "./retrieval_plan.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual([0, 50, 100].map((depth) => needleRow(2048, depth)), [0, 1023, 2046]);
 * ```
 */
export function needleRow(context: number, depth: number): number {
  return Math.round(depth / 100 * (context - 2));
}

/** Plans all settings of a profile. */
export function planRetrieval(profile: RetrievalProfile): RetrievalPlan {
  const skipped: string[] = [];
  const { layer, options, keys, stress } = profile;
  const contexts = [
    ...new Set([...profile.contexts, options.context, keys.context, stress.context]),
  ].sort((a, b) => a - b);
  const plans = contexts.flatMap((context): ContextPlan[] => {
    const lighthouse = (rule: LayerRule): Arm[] => layerArms(profile, { context, rule, skipped });
    const further = (arms: readonly Arm[]) =>
      arms.filter(({ lighthouse }) =>
        !lighthouse || lighthouse.scorer === "norm" || !profile.gridOnly
      );
    const settings: Setting[] = [];
    if (profile.contexts.includes(context)) {
      const arms = [...PLAIN, ...lighthouse(layer)];
      const margins = profile.transition;
      for (const margin of margins) {
        settings.push(
          needleSetting({ sweep: "transition", context, depth: 50, margin, arms: further(arms) }),
        );
      }
      settings.push({
        sweep: "transition",
        margin: 0,
        needles: [],
        edits: () => [],
        arms: [{ name: "absent" }],
      });
      for (const depth of profile.depths) {
        for (const margin of profile.margins) {
          settings.push(needleSetting({ sweep: "grid", context, depth, margin, arms }));
        }
      }
    }
    const dense: Arm = { name: "dense" };
    if (options.context === context) {
      const arms = [dense, ...further(options.layers.flatMap(lighthouse))];
      const [margin] = profile.margins;
      settings.push(needleSetting({ sweep: "options", context, depth: 50, margin, arms }));
    }
    if (keys.context === context) {
      const arms = [dense, ...further(keys.layers.flatMap(lighthouse))];
      for (const salience of keys.saliences) {
        const at = { context, depth: 50, margin: keys.margin, salience, arms };
        settings.push(needleSetting({ sweep: "salience", ...at }));
      }
      for (const margin of keys.margins) {
        settings.push(
          needleSetting({ sweep: "alignment", context, depth: 50, margin, salience: 1, arms }),
        );
      }
    }
    if (stress.context === context) {
      const arms = [dense, ...further(lighthouse(layer))];
      settings.push(...stressSettings({ context, margin: stress.margin, layer, arms }));
    }
    const rule = { ...layer, k: resolveK(layer.k, context) };
    try {
      return [{ context, attended: planGeometry(context, rule).gathered, settings }];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      skipped.push(`context ${context}: ${error.message}`);
      return [];
    }
  });
  return { contexts: plans, skipped: [...new Set(skipped)] };
}

/** Every scorer's layer of a rule at a context; what cannot run is noted. */
function layerArms(
  profile: RetrievalProfile,
  options: { context: number; rule: LayerRule; skipped: string[] },
): Arm[] {
  const { context, rule, skipped } = options;
  const { levels, pooling } = rule;
  const k = resolveK(rule.k, context);
  try {
    planGeometry(context, { levels, pooling, k });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    skipped.push(`L = ${levels}, p = ${pooling}, k = ${k} at ${context}: ${error.message}`);
    return [];
  }
  const longest: Partial<Record<ScorerName, number>> = {
    dilated: profile.dilatedContext,
    gla: profile.glaContext,
  };
  return profile.scorers.flatMap((scorer) => {
    const most = longest[scorer] ?? Infinity;
    if (context > most) {
      skipped.push(`${scorer} at ${context}: profile ${profile.name} ends at ${most} for its cost`);
      return [];
    }
    return [{ name: `lighthouse-${scorer}`, lighthouse: { levels, pooling, k, scorer } }];
  });
}

function needleSetting(
  options: Pick<Setting, "sweep" | "margin" | "salience" | "arms"> & {
    context: number;
    depth: number;
  },
): Setting {
  const { context, ...setting } = options;
  const row = needleRow(context, setting.depth);
  const { margin, salience } = setting;
  return { ...setting, needles: [row], edits: (digit) => [{ row, margin, salience, digit }] };
}

/** The named cases at one context. */
function stressSettings(
  options: { context: number; margin: number; layer: LayerRule; arms: readonly Arm[] },
): Setting[] {
  const { context, margin, layer, arms } = options;
  let geometry;
  try {
    geometry = planGeometry(context, { ...layer, k: resolveK(layer.k, context) });
  } catch {
    return [];
  }
  const { windowRows, tileEntries, tiles } = geometry;
  const middle = Math.floor(context / windowRows / 2) * windowRows;
  const tile = tileEntries * windowRows * Math.floor(tiles / 2);
  const at = (stress: string, row: number): Setting => ({
    sweep: "stress",
    stress,
    margin,
    arms,
    needles: [row],
    edits: (digit) => [{ row, margin, digit }],
  });
  const spread = (count: number): Setting => {
    const needles = Array.from(
      { length: count },
      (_, i) => needleRow(context, 100 * (i + 0.5) / count),
    );
    return {
      sweep: "stress",
      stress: `${count} needles`,
      margin,
      arms,
      needles,
      edits: (digit) => needles.map((row) => ({ row, margin, digit })),
    };
  };
  const others = (digit: number, i: number) => (digit + 1 + i % (DIGITS - 1)) % DIGITS;
  const decoys = 8;
  const needle = middle + 1;
  return [
    at("the first row", 0),
    at("the last of the first p^(L-1)-1 rows", windowRows - 2),
    at("first row of a tile", tile),
    ...(tiles > 1 ? [at("last row of a tile", tile - 1)] : []),
    at("first row of a window", middle),
    at("last row of a window", middle - 1),
    at("last row of a block of 64", Math.floor(middle / 64) * 64 + 63),
    spread(4),
    spread(16),
    {
      sweep: "stress",
      stress: `${decoys} near-duplicates with other digits`,
      margin,
      arms,
      needles: [needle],
      edits: (digit) => [
        { row: needle, margin, digit },
        ...Array.from({ length: decoys }, (_, i) => ({
          row: needle + 1 + i,
          margin: margin - 1,
          digit: others(digit, i),
        })),
      ],
    },
    {
      sweep: "stress",
      stress: "a window whose mean cancels",
      margin,
      arms,
      needles: [middle],
      // The window's other rows take back the needle's margin and code between them.
      edits: (digit) => [
        { row: middle, margin, digit },
        ...Array.from({ length: windowRows - 1 }, (_, i) => ({
          row: middle + 1 + i,
          margin: -margin / (windowRows - 1),
          shift: { digit, amount: -1 / (windowRows - 1) },
        })),
      ],
    },
  ];
}
