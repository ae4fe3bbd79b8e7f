/**
 * Lighthouse beside the sparse attentions that it is compared with: times against context with the pairs that
 * each attends to, at published settings and at as many pairs as Lighthouse has.
 *
 * @module
 */
import type {
  CaseRecord,
  ImplementationRecord,
  Result,
  RetrievalCell,
  Statistic,
} from "../../suites/result/result_schema.ts";
import { isContextCase, isMeasured, LEAD_LAYER, OWN_DENSE } from "./cases.ts";
import { type MissingGroup, missingGroups } from "./reasons.ts";
import { ascending, RANDOM_ARM } from "./retrieval_data.ts";
import { type Spread, spreadOf } from "./spread.ts";

/** Settings that are shown together. */
export type RivalGroup = "published" | "matched";

/** One layer at one context. */
export interface RivalPoint extends Spread {
  readonly context: number;
  readonly median: number;
  /** (query, key) pairs of one head that enter a softmax. */
  readonly pairs: number;
  /** Their share of those of causal dense attention. */
  readonly share: number;
  readonly case: CaseRecord & { readonly statistic: Statistic };
}

/** One layer against context. */
export interface RivalSeries {
  readonly implementation: string;
  /** Name of its preset; null where it has none. */
  readonly preset: string | null;
  readonly heads: number;
  readonly kvHeads: number;
  /** In a legend; distinct within a group. */
  readonly label: string;
  readonly points: readonly RivalPoint[];
}

/** All layers of one direction and group: dense attention, Lighthouse, the rivals. */
export interface RivalComparison {
  readonly direction: CaseRecord["direction"];
  readonly group: RivalGroup;
  readonly series: readonly RivalSeries[];
}

/** Directions whose pairs a case tells: its stage `attention` is the forward pass. */
const DIRECTIONS = ["forward", "forward-backward"] as const;

/** The family of the rivals. */
const FAMILY = "sparse";

/** (query, key) pairs of one head, by the FLOP of attention; null where the case has no such stage. */
export function pairsOf({ stages, shape }: CaseRecord): number | null {
  const stage = stages.find(({ name }) => name === "attention");
  return stage === undefined ? null : stage.flops / (4 * shape.headDim * shape.heads);
}

/** Comparisons of a result that have a rival, published settings first within a direction. */
export function rivalComparisons(result: Result): RivalComparison[] {
  return DIRECTIONS.flatMap((direction) =>
    (["published", "matched"] as const).flatMap((group): RivalComparison[] => {
      const series = seriesOf(result, { direction, group });
      const rivals = series.filter(({ implementation }) => !isReference(implementation));
      return rivals.length === 0 ? [] : [{ direction, group, series }];
    })
  );
}

function isReference(implementation: string): boolean {
  return implementation === OWN_DENSE || implementation === LEAD_LAYER;
}

function seriesOf(
  result: Result,
  { direction, group }: Pick<RivalComparison, "direction" | "group">,
): RivalSeries[] {
  const found = new Map<string, RivalSeries & { readonly points: RivalPoint[] }>();
  for (const record of result.cases) {
    if (record.direction !== direction || !isMeasured(record) || !isContextCase(record)) continue;
    const { implementation, family, shape } = record;
    if (family !== FAMILY && !isReference(implementation)) continue;
    const { heads, kvHeads = heads, context } = shape;
    // Grouped queries are for the rivals alone: dense attention is their reference with a key head a head.
    if (isReference(implementation) && kvHeads !== heads) continue;
    const pairs = pairsOf(record);
    if (pairs === null) continue;
    for (const preset of presetsOf(record, result, group)) {
      const key = [implementation, preset, heads, kvHeads, shape.headDim, shape.dtype].join(" ");
      const known = found.get(key) ??
        { implementation, preset, heads, kvHeads, label: "", points: [] };
      found.set(key, known);
      if (known.points.some((point) => point.context === context)) continue;
      known.points.push({
        context,
        median: record.statistic.median,
        ...spreadOf(record.statistic),
        pairs,
        share: pairs / (context ** 2 / 2),
        case: record,
      });
    }
  }
  const order = (name: string) => name === OWN_DENSE ? -2 : name === LEAD_LAYER ? -1 : 0;
  const all = [...found.values()].map((one) => ({
    ...one,
    points: one.points.toSorted((a, b) => a.context - b.context),
  })).sort((a, b) => order(a.implementation) - order(b.implementation));
  return all.map((one) => ({ ...one, label: labelOf(one, { all, result }) }));
}

/** Names of the presets of a group that gave a case its settings; null: it has settings of its own. */
function presetsOf(
  record: CaseRecord,
  result: Pick<Result, "implementations">,
  group: RivalGroup,
): (string | null)[] {
  if (isReference(record.implementation)) return [null];
  const described = describedAs(result, record.implementation);
  const fitting = (described?.presets ?? []).filter(({ options }) =>
    Object.entries(options).every(([name, value]) =>
      typeof value === "number" ? record.options?.[name] === value : record.rules?.[name] === value
    )
  ).map(({ name }) => name);
  if (fitting.length === 0) return group === "published" ? [null] : [];
  return fitting.filter((name) => isMatched(name) === (group === "matched"));
}

/** Whether a preset has as many pairs as a Lighthouse layer. */
function isMatched(preset: string): boolean {
  return preset.startsWith("matched");
}

function describedAs(
  { implementations }: Pick<Result, "implementations">,
  name: string,
): ImplementationRecord | undefined {
  return implementations.find((one) => one.name === name);
}

/** The name, with the options and key heads in which series of one implementation differ. */
function labelOf(
  { implementation, preset, kvHeads, points }: RivalSeries,
  { all, result }: { readonly all: readonly RivalSeries[]; readonly result: Result },
): string {
  if (implementation === LEAD_LAYER) return "Lighthouse norm";
  const twins = all.filter((one) => one.implementation === implementation);
  const described = describedAs(result, implementation);
  const shown = (one: RivalSeries) => {
    const own = describedAs(result, one.implementation)?.presets?.find(({ name }) =>
      name === one.preset
    );
    return own?.options ?? one.points[0].case.options ?? {};
  };
  const values = shown({ implementation, preset, kvHeads, points } as RivalSeries);
  const differing = (described?.options ?? []).filter(({ name }) =>
    new Set(twins.map((one) => shown(one)[name])).size > 1
  );
  const parts = differing.map(({ name, letter }) => `${letter} ${values[name]}`);
  if (new Set(twins.map((one) => one.kvHeads)).size > 1 || kvHeads !== points[0].case.shape.heads) {
    parts.push(kvHeads === 1 ? "1 key head" : `${kvHeads} key heads`);
  }
  return [implementation, ...parts].join(", ");
}

/** Rivals' cases without a time, by reason. */
export function missingRivals(result: Result): MissingGroup[] {
  return missingGroups({
    cases: result.cases.filter(({ suite, family }) => suite === "latency" && family === FAMILY),
  });
}

/** How often an arm found the needle at one context, over all depths. */
export interface FoundRate {
  readonly arm: string;
  readonly context: number;
  readonly trials: number;
  /** Trials in which the last query attended to the needle itself. */
  readonly selected: number;
  /** Trials whose digit was decoded. */
  readonly decoded: number;
  /** Keys that the last query attends to. */
  readonly attended: number;
}

/** Needles at one margin, searched by the rivals, Lighthouse, dense attention and chance. */
export interface RivalNeedles {
  readonly margin: number;
  readonly contexts: readonly number[];
  /** Arms in order, each with the settings of its layer. */
  readonly arms: readonly { readonly arm: string; readonly preset: string | null }[];
  /** Cells of the grid of contexts and depths. */
  readonly cells: readonly RetrievalCell[];
  readonly rates: readonly FoundRate[];
}

/** Arms beside the rivals. */
const REFERENCE_ARMS = [OWN_DENSE, LEAD_LAYER, RANDOM_ARM];

/** What each arm finds at the largest margin; null where no rival searched. */
export function rivalNeedles({ retrieval }: Pick<Result, "retrieval">): RivalNeedles | null {
  const grid = (retrieval?.cells ?? []).filter(({ sweep, depth, needles }) =>
    sweep === "grid" && depth !== undefined && needles === 1
  );
  const rivals = grid.filter(({ layer }) => layer !== undefined);
  if (rivals.length === 0) return null;
  const margin = Math.max(...rivals.map((cell) => cell.margin));
  const contexts = ascending(rivals.map(({ context }) => context));
  const names = [...REFERENCE_ARMS, ...new Set(rivals.map(({ arm }) => arm))];
  const cells = grid.filter((cell) =>
    cell.margin === margin && contexts.includes(cell.context) && names.includes(cell.arm)
  );
  const arms = names.flatMap((arm) => {
    const own = cells.find((cell) => cell.arm === arm);
    return own ? [{ arm, preset: own.layer?.preset ?? null }] : [];
  });
  const rates = arms.flatMap(({ arm }) =>
    contexts.flatMap((context): FoundRate[] => {
      const own = cells.filter((cell) => cell.arm === arm && cell.context === context);
      if (own.length === 0) return [];
      const sum = (read: (cell: RetrievalCell) => number) =>
        own.reduce((total, cell) => total + read(cell), 0);
      return [{
        arm,
        context,
        trials: sum(({ trials }) => trials),
        selected: sum(({ needleSelected }) => needleSelected),
        decoded: sum(({ correct }) => correct),
        attended: Math.round(sum(({ attended }) => attended) / own.length),
      }];
    })
  );
  return { margin, contexts, arms, cells, rates };
}
