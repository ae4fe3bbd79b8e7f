/**
 * Colours, marks and dashes. An implementation has its colour and mark in its descriptor; one without
 * gets them by a hash of its name. Neither depends on what else is drawn, so that an
 * implementation looks the same everywhere. Colours are those of Okabe and Ito or near them, which
 * stay distinguishable under the common colour vision deficiencies; each comes with a mark, so that
 * colour never carries meaning alone.
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
import { knownStyle } from "../../suites/result/known_style.ts";
import type { Result } from "../../suites/result/result_schema.ts";

/** How one series is drawn. */
export interface SeriesStyle {
  /** A CSS colour that fits the light and the dark theme. */
  color: string;
  marker: SymbolType;
  /** Dashes of its line; default: none. */
  dash?: string;
}

/** Marks by their names in descriptors. */
const MARKS: Record<string, SymbolType> = {
  circle: symbolCircle,
  square: symbolSquare,
  triangle: symbolTriangle,
  diamond: symbolDiamond,
  cross: symbolCross,
  wye: symbolWye,
  star: symbolStar,
};

/** Colours for names without their own: the style sheet defines them for light and dark. */
const OTHER_COLORS = Array.from({ length: 6 }, (_, i) => `var(--other-${i + 1})`);
const OTHER_MARKS = [symbolCross, symbolWye, symbolStar, symbolTriangle, symbolDiamond];
/** Dashes of names without a style of their own. */
const OTHER_DASHES = ["9 3", "4 3", "9 3 2 3"];

/** Descriptors of implementations, as in a result. */
export type Described = Pick<Result, "implementations">;

/** Descriptors of several results, as one. */
export function describedBy(results: readonly Described[]): Described {
  return { implementations: results.flatMap(({ implementations }) => implementations) };
}

/** Prefix of the names of peers, in some places. */
const PEER = /^peer:/;

/**
 * How an implementation is drawn: as its descriptor in the result says, else as this version's says,
 * else by a number that its name gives. The same name looks the same in every figure of every page, a peer's with and without `peer:`.
 *
 * The schema only accepts hexadecimal colours, so they may be used in a style unchanged.
 */
export function styleOf(name: string, { implementations }: Described): SeriesStyle {
  const plain = name.replace(PEER, "");
  const own = implementations.find((one) => one.style && one.name.replace(PEER, "") === plain)
    ?.style ?? knownStyle(plain);
  if (own) {
    const marker = Object.hasOwn(MARKS, own.mark) ? MARKS[own.mark] : symbolCircle;
    return { color: `light-dark(${own.color.light},${own.color.dark})`, marker };
  }
  let hash = 0x811c9dc5;
  for (const letter of plain) hash = Math.imul(hash ^ letter.codePointAt(0)!, 0x01000193) >>> 0;
  // The high bits of this hash are the better mixed ones.
  const [color, mark, dash] = [hash >>> 24, hash >>> 16 & 255, hash >>> 8 & 255];
  return {
    color: OTHER_COLORS[color % OTHER_COLORS.length],
    marker: OTHER_MARKS[mark % OTHER_MARKS.length],
    dash: OTHER_DASHES[dash % OTHER_DASHES.length],
  };
}

/** Colours of the stages of a layer, in the order of execution. */
const STAGES: Record<string, string> = {
  "score-and-pool": "var(--stage-1)",
  "score": "var(--stage-6)",
  "pool": "var(--stage-1)",
  "select": "var(--stage-2)",
  "gather": "var(--stage-3)",
  "select-and-gather": "var(--stage-2)",
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

/** One series of a plot. */
export interface PlotStyle {
  style: SeriesStyle;
  dash?: string;
  hollow: boolean;
  faint: boolean;
}

/**
 * Styles for a list of series, one each: colour and mark by implementation, and if one
 * implementation has several, different dashes for each and hollow marks for every second. From
 * {@linkcode MOST_NAMED} on, further settings of an implementation are faint.
 */
export function plotStyles(
  implementations: readonly string[],
  described: Described,
): PlotStyle[] {
  const styles = seriesStyles(implementations, described);
  const seen = new Map<string, number>();
  let named = new Set(implementations).size;
  return implementations.map((implementation): PlotStyle => {
    const variant = seen.get(implementation) ?? 0;
    seen.set(implementation, variant + 1);
    const style = styles.get(implementation)!;
    const faint = variant > 0 && ++named > MOST_NAMED;
    const dash = variant === 0 ? style.dash : VARIANT_DASHES[variant % VARIANT_DASHES.length];
    return { style, dash, hollow: variant % 2 === 1, faint };
  });
}

const VARIANT_DASHES = ["1 0", "7 4", "2 4", "10 3 2 3"];

/** Dashes of the lines of runs and devices. */
const RUN_DASHES = [undefined, "7 4", "2 4", "10 3 2 3"];

/**
 * Styles of runs and devices by their place in a list: ink, each with a mark and dashes of its own.
 * Hues belong to implementations, so that a figure of devices cannot be read as one of those; a grey
 * would be one of them to some colour visions.
 */
export function runStyles(count: number): SeriesStyle[] {
  const marks = Object.values(MARKS);
  return Array.from({ length: count }, (_, i) => ({
    color: "var(--run)",
    marker: marks[i % marks.length],
    dash: RUN_DASHES[i % RUN_DASHES.length],
  }));
}

/** Styles for items that are neither implementations nor runs, such as contexts in a figure of one arm. */
export function cycledStyles(count: number): SeriesStyle[] {
  const marks = Object.values(MARKS);
  return Array.from({ length: count }, (_, i) => ({
    color: `var(--cycle-${i % CYCLE + 1})`,
    marker: marks[i % marks.length],
  }));
}

/** Colours of the style sheet for items that are not implementations. */
const CYCLE = 7;

/** The colour of a stage; grey for one that is unknown to this version. */
export function stageColor(name: string): string {
  return Object.hasOwn(STAGES, name) ? STAGES[name] : "var(--stage-other)";
}

/** SVG path of a marker around the origin, with the area in square pixels. */
export function markerPath(marker: SymbolType, area = 64): string {
  const path = symbol(marker, area)() ?? "";
  return path.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100));
}
