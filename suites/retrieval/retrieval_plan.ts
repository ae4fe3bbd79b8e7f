/**
 * Settings of the retrieval suite: where needles are planted, and which arms search for them.
 *
 * @module
 */
import type { LighthouseLayer } from "../../kernels/retrieval/lighthouse_last_row.ts";
import type { LighthouseOptions } from "../../kernels/implementation.ts";
import { planGeometry } from "../../kernels/lighthouse/lighthouse_geometry.ts";
import { findScorer, SCORERS } from "../../kernels/lighthouse/scorers/scorers.ts";
import { resolveBudget } from "../plan/profile.ts";
import { DIGITS } from "./law.ts";
import type { RowEdit } from "./planting.ts";
import type { LayerRule, RetrievalProfile } from "./profile.ts";
import { type RivalLayer, rivalLayers } from "./rival_arms.ts";
import type { RetrievalCell } from "../result/result_schema.ts";

/** One arm: a way of choosing the rows that the last query attends to. */
export interface Arm {
  readonly name: string;
  readonly lighthouse?: LighthouseLayer;
  /** Another implementation, whose last query's keys the host tells. */
  readonly rival?: RivalLayer;
  /** Runs for comparison only; its cell belongs to another part. */
  readonly reference?: true;
}

/** One setting of one context: what is planted, and the arms that search for it. */
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

/** Parts of the suite, at one context each. */
export const PARTS = ["grid", "rivals", "keys", "stress", "options", "quadratic"] as const;

/** Settings of one context that are measured together, on the same trials. */
export interface PartPlan {
  /**
   * `grid`: transition, and contexts × depths. `rivals`: the same of other implementations. `keys`:
   * salience and alignment. `quadratic`: the grid of a scorer with quadratic cost.
   */
  readonly name: typeof PARTS[number];
  readonly context: number;
  /** S of the arms that keep the same number of rows as the profile's layer. */
  readonly attended: number;
  readonly settings: readonly Setting[];
}

/** Arms that choose by the logits, at random, or by position; dense is the baseline. */
const PLAIN: readonly Arm[] = ["dense", "oracle", "random", "window"].map((name) => ({ name }));

/** A plan: parts in the order in which they run, and what was left out. */
export interface RetrievalPlan {
  readonly parts: readonly PartPlan[];
  readonly skipped: readonly string[];
}

/** The scorer that others are compared with. */
export const REFERENCE_SCORER = SCORERS[0].name;

/** Grids up to this context come before the other sweeps, longer ones after them. */
const SHORT_CONTEXT = 32768;

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

/**
 * Plans all settings of a profile. The most informative for their time come first: the grids of
 * short contexts with the instrument's check, salience, stress and options, then long contexts, and
 * last the grids of the quadratic scorer.
 */
export function planRetrieval(profile: RetrievalProfile): RetrievalPlan {
  const skipped: string[] = [];
  const { layer, options, keys, stress } = profile;
  const contexts = [...new Set(profile.contexts)].sort((a, b) => a - b);
  const lighthouse = (context: number, rule: LayerRule): Arm[] =>
    layerArms(profile, { context, rule, skipped });
  const further = (arms: readonly Arm[]) =>
    arms.filter(({ lighthouse }) =>
      !lighthouse || !findScorer(lighthouse.scorer).pass || !profile.gridOnly
    );
  const part = (name: PartPlan["name"], context: number, settings: Setting[]): PartPlan[] => {
    if (settings.length === 0) return [];
    const rule = { ...layer, k: resolveBudget(layer.k, context) };
    try {
      return [{ name, context, attended: planGeometry(context, rule).gathered, settings }];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      skipped.push(`${name} at ${context}: ${error.message}`);
      return [];
    }
  };
  const dense: Arm = { name: "dense" };
  const grid = (context: number): PartPlan[] => {
    const arms = [...PLAIN, ...lighthouse(context, layer)];
    return part("grid", context, [
      ...profile.transition.map((margin) =>
        needleSetting({ sweep: "transition", context, depth: 50, margin, arms: further(arms) })
      ),
      {
        sweep: "transition",
        margin: 0,
        needles: [],
        edits: () => [],
        arms: [{ name: "absent" }],
      },
      ...gridSettings(profile, { context, margins: profile.margins, arms }),
    ]);
  };
  const rivals = (context: number): PartPlan[] => {
    if (!profile.rivals) return [];
    const k = resolveBudget(layer.k, context);
    const { gathered } = planGeometry(context, { ...layer, k });
    const layers = rivalLayers(profile, { context, keys: gathered ** 2 / (2 * context), skipped });
    if (layers.length === 0) return [];
    const { levels, pooling } = layer;
    const arms: Arm[] = [
      ...referenceArms({ levels, pooling, k }),
      ...layers.map((rival): Arm => ({ name: rival.implementation, rival })),
    ];
    return part("rivals", context, [
      ...profile.transition.map((margin) =>
        needleSetting({ sweep: "transition", context, depth: 50, margin, arms })
      ),
      ...gridSettings(profile, { context, margins: profile.margins, arms }),
    ]);
  };
  const keysPart = () => {
    if (!keys) return [];
    const { context } = keys;
    const arms = [dense, ...keys.layers.flatMap((rule) => lighthouse(context, rule))];
    const at = { context, depth: 50, arms };
    return part("keys", context, [
      ...keys.saliences.map((salience) =>
        needleSetting({ sweep: "salience", ...at, margin: keys.margin, salience })
      ),
      ...keys.margins.map((margin) =>
        needleSetting({ sweep: "alignment", ...at, margin, salience: 1 })
      ),
    ]);
  };
  const stressPart = () => {
    if (!stress) return [];
    const { context, margin } = stress;
    const arms = [dense, ...further(lighthouse(context, layer))];
    return part("stress", context, stressSettings({ context, margin, layer, arms, skipped }));
  };
  const optionsPart = () => {
    if (!options) return [];
    const { context } = options;
    const arms = [dense, ...further(options.layers.flatMap((rule) => lighthouse(context, rule)))];
    const [margin] = profile.margins;
    return part("options", context, [
      needleSetting({ sweep: "options", context, depth: 50, margin, arms }),
    ]);
  };
  const quadratic = (context: number): PartPlan[] => {
    const { quadraticContext, quadraticGridContext, scorers } = profile;
    const late = context > quadraticContext && context <= quadraticGridContext;
    const slow = scorers.filter((name) => findScorer(name).quadratic);
    if (!late || slow.length === 0) return [];
    const { levels, pooling } = layer;
    const k = resolveBudget(layer.k, context);
    const arms: Arm[] = [
      ...referenceArms({ levels, pooling, k }),
      ...slow.map((scorer): Arm => ({
        name: `lighthouse-${scorer}`,
        lighthouse: { levels, pooling, k, scorer },
      })),
    ];
    const margins = [Math.max(...profile.margins)];
    return part("quadratic", context, gridSettings(profile, { context, margins, arms }));
  };
  const parts = [
    ...contexts.filter((context) => context <= SHORT_CONTEXT)
      .flatMap((context) => [...grid(context), ...rivals(context)]),
    ...keysPart(),
    ...stressPart(),
    ...optionsPart(),
    ...contexts.filter((context) => context > SHORT_CONTEXT)
      .flatMap((context) => [...grid(context), ...rivals(context)]),
    ...contexts.flatMap(quadratic),
  ];
  return { parts, skipped: [...new Set(skipped)] };
}

/** Arms of a grid that run beside others for comparison only. */
function referenceArms(layer: LighthouseOptions): Arm[] {
  const lighthouse = { ...layer, scorer: REFERENCE_SCORER };
  return [
    { name: "dense", reference: true },
    { name: "random", reference: true },
    { name: `lighthouse-${REFERENCE_SCORER}`, lighthouse, reference: true },
  ];
}

/** Depths × margins at one context. */
function gridSettings(
  { depths }: RetrievalProfile,
  options: { context: number; margins: readonly number[]; arms: readonly Arm[] },
): Setting[] {
  const { context, margins, arms } = options;
  return depths.flatMap((depth) =>
    margins.map((margin) => needleSetting({ sweep: "grid", context, depth, margin, arms }))
  );
}

/** Every scorer's layer by a rule at a context; those that cannot run are noted. */
function layerArms(
  profile: RetrievalProfile,
  options: { context: number; rule: LayerRule; skipped: string[] },
): Arm[] {
  const { context, rule, skipped } = options;
  const { levels, pooling } = rule;
  const k = resolveBudget(rule.k, context);
  try {
    planGeometry(context, { levels, pooling, k });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    skipped.push(`L = ${levels}, p = ${pooling}, k = ${k} at ${context}: ${error.message}`);
    return [];
  }
  const { quadraticContext, quadraticGridContext, passContext, name } = profile;
  return profile.scorers.flatMap((scorer) => {
    const { quadratic, pass } = findScorer(scorer);
    const most = quadratic ? quadraticContext : pass ? passContext : Infinity;
    if (context > most) {
      const scope = quadratic && context <= quadraticGridContext
        ? `profile ${name} has it only in the grid at its largest margin, because of its cost`
        : `profile ${name} ends before it, because of its cost`;
      skipped.push(`${scorer} at ${context}: ${scope}`);
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

/** The named cases at one context; those whose rows it does not have are noted. */
function stressSettings(
  options: {
    context: number;
    margin: number;
    layer: LayerRule;
    arms: readonly Arm[];
    skipped: string[];
  },
): Setting[] {
  const { context, margin, layer, arms, skipped } = options;
  let geometry;
  try {
    geometry = planGeometry(context, { ...layer, k: resolveBudget(layer.k, context) });
  } catch {
    return [];
  }
  const { windowRows, tileEntries, tiles } = geometry;
  const tile = tileEntries * windowRows * Math.floor(tiles / 2);
  // Edges of one kind that are not also edges of a larger kind.
  const coarse = Math.max(64, windowRows);
  const half = Math.floor(context / 2 / coarse) * coarse;
  const block = half + 64;
  const middle = half + 2 * coarse + windowRows;
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
  const settings: Setting[] = [
    at("the first row", 0),
    at("the last of the first p^(L-1)-1 rows", windowRows - 2),
    ...(tiles > 1 ? [at("first row of a tile", tile), at("last row of a tile", tile - 1)] : []),
    at("first row of a window", middle),
    at("last row of a window", middle - 1),
    at("first row of a block of 64", block),
    at("last row of a block of 64", block + 63),
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
      // The window's other rows together cancel the needle's margin and code.
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
  return settings.filter(({ stress, edits }) => {
    const last = Math.max(...edits(0).map(({ row }) => row));
    const fits = last < context - 1;
    if (!fits) {
      skipped.push(`stress at ${context}: ${stress}: row ${last} is not before the last query's`);
    }
    return fits;
  });
}
