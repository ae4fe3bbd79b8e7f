/**
 * What all drawings share.
 *
 * @module
 */

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
