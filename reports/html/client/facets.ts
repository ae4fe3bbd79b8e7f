/**
 * The device, scorer, direction and context of a series, a point or a row.
 *
 * @module
 */
import { sortKey } from "./sort_key.ts";

/** Keys of the filters, in their order. */
export const FACETS = ["device", "scorer", "direction", "context"] as const;
/** One key. */
export type Facet = typeof FACETS[number];
/** Known values; an item without a value passes every filter. */
export type FacetValues = Partial<Record<Facet, string>>;

/** `latency/lighthouse-norm/forward/N32768-H8-d128-f16` and the like. */
const CASE = /^[\w-]+\/([^/]+)\/([\w-]+)\/N(\d+)/;
const LIGHTHOUSE = /^lighthouse-([\w-]+)/;
const DIRECTIONS = /\b(forward and backward|forward-backward|forward|backward)\b/;

/** Facets from the id of a case. */
export function facetsOfCase(id: string): FacetValues {
  const found = CASE.exec(id);
  if (found === null) return {};
  const [, implementation, direction, context] = found;
  return { ...facetsOfName(implementation), direction, context };
}

/** Facets from the name of a series. */
export function facetsOfName(name: string): FacetValues {
  const scorer = LIGHTHOUSE.exec(name)?.[1];
  const direction = directionOf(name);
  return { ...(scorer && { scorer }), ...(direction && { direction }) };
}

function directionOf(text: string): string | undefined {
  return DIRECTIONS.exec(text)?.[1].replace(" and ", "-");
}

/** Tokens of a context as printed: `32K` is `32768`. */
export function contextOf(text: string): string | undefined {
  const tokens = sortKey(text);
  return typeof tokens === "number" ? String(tokens) : undefined;
}

/** Facets of a row of a table, from the headings of its columns. */
export function facetsOfRow(
  headings: readonly string[],
  cells: readonly string[],
  /** Facets of the series of the page, by name. */
  named: ReadonlyMap<string, FacetValues> = new Map(),
): FacetValues {
  const found: FacetValues = {};
  headings.forEach((heading, i) => {
    const text = (cells[i] ?? "").trim();
    if (text === "") return;
    switch (heading) {
      case "Case":
        Object.assign(found, facetsOfCase(text));
        break;
      case "Series":
      case "Implementation":
      case "Ours":
      case "Arm":
        Object.assign(found, named.get(text) ?? facetsOfName(text));
        break;
      case "Scorer":
        found.scorer = text;
        break;
      case "Direction":
        found.direction = directionOf(text) ?? text;
        break;
      case "Device":
        found.device = text;
        break;
      case "Context":
      case "Context, tokens":
        found.context = contextOf(text);
    }
  });
  return found;
}

/** Whether an item passes the filters. */
export function passes(values: FacetValues, chosen: FacetValues): boolean {
  return FACETS.every((facet) =>
    chosen[facet] === undefined || values[facet] === undefined ||
    values[facet] === chosen[facet]
  );
}
