/**
 * Colours and marker shapes. The colours are those of Okabe and Ito, which stay apart under the
 * common colour vision deficiencies; each comes with its own shape, so that none carries meaning
 * alone. An implementation brings its own in its descriptor.
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
import type { Result } from "../../suites/result/result_schema.ts";

/** How one series is drawn. */
export interface SeriesStyle {
  /** Custom property that holds the colour. */
  color: string;
  marker: SymbolType;
}

/** Marks by the name that descriptors give them. */
const MARKS: Record<string, SymbolType> = {
  circle: symbolCircle,
  square: symbolSquare,
  triangle: symbolTriangle,
  diamond: symbolDiamond,
  cross: symbolCross,
  wye: symbolWye,
  star: symbolStar,
};

/** Colours for what has none of its own: the style sheet has them for light and dark. */
const OTHER_COLORS = Array.from({ length: 6 }, (_, i) => `var(--other-${i + 1})`);
const OTHER_MARKS = [symbolCross, symbolWye, symbolStar];

/** Descriptors of implementations, as a result has them. */
export type Described = Pick<Result, "implementations">;

/** Descriptors of several results, as one. */
export function describedBy(results: readonly Described[]): Described {
  return { implementations: results.flatMap(({ implementations }) => implementations) };
}

/**
 * Custom properties with the colours of implementations, for a style sheet. The schema lets nothing but
 * hexadecimal colours pass.
 */
export function implementationColors({ implementations }: Described): string {
  const rules = new Map<string, string>();
  for (const { name, style } of implementations) {
    if (!style) continue;
    const { light, dark } = style.color;
    rules.set(colorProperty(name), `light-dark(${light},${dark})`);
  }
  if (rules.size === 0) return "";
  return `:root{${[...rules].sort().map(([name, value]) => `${name}:${value}`).join(";")}}`;
}

function colorProperty(name: string): string {
  return `--series-${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60)}`;
}

/**
 * How an implementation is drawn: as its descriptor says, else by a number that its name gives. The
 * same name looks the same in every figure of every page.
 */
export function styleOf(name: string, { implementations }: Described): SeriesStyle {
  const own = implementations.find((one) => one.name === name)?.style;
  if (own) {
    const marker = Object.hasOwn(MARKS, own.mark) ? MARKS[own.mark] : symbolCircle;
    return { color: `var(${colorProperty(name)})`, marker };
  }
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + letter.codePointAt(0)!) >>> 0;
  return {
    color: OTHER_COLORS[hash % OTHER_COLORS.length],
    marker: OTHER_MARKS[hash % OTHER_MARKS.length],
  };
}

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

/** Styles of implementations by name. */
export function seriesStyles(
  names: readonly string[],
  described: Described,
): Map<string, SeriesStyle> {
  return new Map(names.map((name) => [name, styleOf(name, described)]));
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
  described: Described,
): { style: SeriesStyle; dash?: string; faint: boolean }[] {
  const colors = seriesStyles(implementations, described);
  const shapes = Object.values(MARKS);
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
  const marks = Object.values(MARKS);
  return Array.from({ length: count }, (_, i) => ({
    color: `var(--cycle-${i % CYCLE + 1})`,
    marker: marks[i % marks.length],
  }));
}

/** Colours of the style sheet for things that are no implementations. */
const CYCLE = 7;

/** The colour of a stage; grey for one that this version does not know. */
export function stageColor(name: string): string {
  return Object.hasOwn(STAGES, name) ? STAGES[name] : "var(--stage-other)";
}

/** SVG path of a marker around the origin, with the area in square pixels. */
export function markerPath(marker: SymbolType, area = 64): string {
  const path = symbol(marker, area)() ?? "";
  return path.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100));
}
