/**
 * Colours and marker shapes. The colours are those of Okabe and Ito, which stay apart under the
 * common colour vision deficiencies; each comes with its own shape, so that none carries meaning
 * alone. The values live in the style sheet as custom properties, once for light, once for dark.
 *
 * @module
 */
import {
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  type SymbolType,
  symbolWye,
  // @ts-types="npm:@types/d3-shape@3.1.7"
} from "d3-shape";

/** How one series is drawn. */
export interface SeriesStyle {
  /** Custom property that holds the colour. */
  color: string;
  marker: SymbolType;
}

const KNOWN: Record<string, SeriesStyle> = {
  "dense": { color: "var(--dense)", marker: symbolCircle },
  "lighthouse-norm": { color: "var(--norm)", marker: symbolSquare },
  "lighthouse-dilated": { color: "var(--dilated)", marker: symbolTriangle },
  "lighthouse-gla": { color: "var(--gla)", marker: symbolDiamond },
};

const OTHERS: SeriesStyle[] = [
  { color: "var(--other-1)", marker: symbolCross },
  { color: "var(--other-2)", marker: symbolWye },
  { color: "var(--other-3)", marker: symbolStar },
];

/** Colours of the stages of a layer, in the order of execution. */
const STAGES: Record<string, string> = {
  "score-and-pool": "var(--stage-1)",
  "score": "var(--stage-6)",
  "pool": "var(--stage-1)",
  "select": "var(--stage-2)",
  "gather": "var(--stage-3)",
  "attention": "var(--stage-4)",
  "scatter": "var(--stage-5)",
  "gather-gradient": "var(--stage-7)",
  "attention-backward": "var(--stage-8)",
  "scatter-gradient": "var(--stage-9)",
};

/** Styles for the given implementations, the same for the same list. */
export function seriesStyles(implementations: readonly string[]): Map<string, SeriesStyle> {
  const styles = new Map<string, SeriesStyle>();
  let others = 0;
  for (const name of implementations) {
    if (styles.has(name)) continue;
    styles.set(
      name,
      Object.hasOwn(KNOWN, name) ? KNOWN[name] : OTHERS[others++ % OTHERS.length],
    );
  }
  return styles;
}

/** Most series that a plot names; the others are faint lines without a name. */
export const MOST_NAMED = 6;

/**
 * Styles for a list of series, one each: colour by implementation, and where one implementation has
 * several, another marker and dash for each. From {@linkcode MOST_NAMED} on, further settings of an
 * implementation are faint.
 */
export function plotStyles(
  implementations: readonly string[],
): { style: SeriesStyle; dash?: string; faint: boolean }[] {
  const colors = seriesStyles(implementations);
  const shapes = [...Object.values(KNOWN), ...OTHERS].map(({ marker }) => marker);
  const seen = new Map<string, number>();
  let named = new Set(implementations).size;
  return implementations.map((implementation) => {
    const variant = seen.get(implementation) ?? 0;
    seen.set(implementation, variant + 1);
    const { color, marker } = colors.get(implementation)!;
    const faint = variant > 0 && ++named > MOST_NAMED;
    const shape = shapes[(shapes.indexOf(marker) + variant) % shapes.length];
    return { style: { color, marker: shape }, dash: VARIANT_DASHES[variant % 4], faint };
  });
}

const VARIANT_DASHES = [undefined, "7 4", "2 4", "10 3 2 3"];

/** Styles for things that are no implementations, such as devices: apart as far as there are any. */
export function cycledStyles(count: number): SeriesStyle[] {
  const all = [KNOWN["lighthouse-norm"], KNOWN.dense, KNOWN["lighthouse-dilated"]];
  all.push(KNOWN["lighthouse-gla"], ...OTHERS);
  return Array.from({ length: count }, (_, i) => all[i % all.length]);
}

/** The colour of a stage; grey for one that this version does not know. */
export function stageColor(name: string): string {
  return Object.hasOwn(STAGES, name) ? STAGES[name] : "var(--stage-other)";
}

/** SVG path of a marker around the origin, with the area in square pixels. */
export function markerPath(marker: SymbolType, area = 64): string {
  const path = symbol(marker, area)() ?? "";
  return path.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100));
}
