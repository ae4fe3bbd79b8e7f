/**
 * Shared by all drawings.
 *
 * @module
 */
import { h, type JSX } from "preact";

/** Size of a drawing in SVG units, which are pixels at full size. */
export interface DrawingSize {
  width: number;
  height: number;
  /** Narrow screen: fewer ticks, no labels beside lines. */
  compact: boolean;
}

/** A coordinate with one decimal, which is enough for a drawing and keeps files small. */
export function coordinate(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Facets for a page's filters. */
export interface Facets {
  readonly device?: string;
  readonly scorer?: string;
  readonly direction?: string;
}

/** Where the value of a point comes from. */
export interface PointSource {
  /** Number of samples, and what the ends are. Default: not shown. */
  readonly count?: number;
  readonly kind?: "interval" | "range";
  /** Id of the case, whose row of samples a reader can open. */
  readonly case?: string;
  /** A page or place with more details; preferred to the case. */
  readonly href?: string;
  /** Said beside where it is. */
  readonly remark?: string;
}

/**
 * The readout of a point: where it is, its value, its interval or null, the number of samples
 * or null, the case's id or null, an address or null.
 */
export type ReadoutPoint = readonly [
  where: string,
  value: string,
  interval: string | null,
  n: number | null,
  caseId: string | null,
  href: string | null,
];

/** Readouts of a drawing's points, for the script of the page. */
export interface Readout {
  /** Names of the two quantities. */
  readonly x: string;
  readonly y: string;
  /** In the order of `data-s`; the points in the order of the marks inside. */
  readonly series: readonly {
    readonly name: string;
    readonly facets?: Facets;
    /** A case of a series whose points have no readout. */
    readonly case?: string;
    readonly points: readonly ReadoutPoint[];
  }[];
}

/** A format of ticks, which may shorten numbers, and the same with all digits. */
export type TickFormat = ((value: number) => string) & { whole?: (value: number) => string };

const ENDS = { interval: "95 % interval ", range: "range ", unknown: "" };

/** The readout of a point. */
export function readoutPoint(
  { where, value, low, high, format, source }: {
    where: string;
    value: number;
    low?: number;
    high?: number;
    format: TickFormat;
    source: PointSource;
  },
): ReadoutPoint {
  const say = format.whole ?? format;
  const interval = low === undefined || high === undefined || low === high
    ? null
    : `${ENDS[source.kind ?? "unknown"]}${say(low)} to ${say(high)}`;
  return [
    source.remark === undefined ? where : `${where}, ${source.remark}`,
    say(value),
    interval,
    source.count ?? null,
    source.case ?? null,
    source.href ?? null,
  ];
}

/** The readout as JSON inside a drawing; {@link "../html/page.tsx"} moves it to the figure's numbers. */
export function ReadoutData({ readout }: { readout: Readout }): JSX.Element {
  return h("metadata", {
    class: "readout",
    dangerouslySetInnerHTML: { __html: embedJson(readout) },
  });
}

/** JSON that may be placed in any element: no text of a result can end the element. */
export function embedJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
