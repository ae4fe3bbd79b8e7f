/**
 * Which points of a long series a drawing shows.
 *
 * @module
 */

/** Points up to this number are all drawn. */
const FEW = 100;
/** Markers that fit beside each other, and above each other, in the largest drawing. */
const GRID = { x: 80, y: 48 };

/**
 * The points of a series on logarithmic axes without those whose markers would lie on another one's:
 * of each cell of a grid the first, and both ends. A drawing of either size shows the same ones, so
 * that they can be counted off against their readouts.
 *
 * @example
 * ```ts
 * import { spacedPoints } from "./spaced_points.ts";
 * import assert from "node:assert/strict";
 * const points = Array.from({ length: 1000 }, (_, i) => ({ x: 1000 + i, y: 1 }));
 * const drawn = spacedPoints(points, { x: [1000, 2000], y: [1, 10] });
 * assert.ok(drawn.length <= 82);
 * assert.deepEqual([drawn[0], drawn.at(-1)], [points[0], points[999]]);
 * ```
 */
export function spacedPoints<T extends { x: number; y: number }>(
  points: readonly T[],
  domain: { x: readonly [number, number]; y: readonly [number, number] },
): T[] {
  if (points.length <= FEW) return [...points];
  const cell = (value: number, [low, high]: readonly [number, number], count: number) =>
    Math.floor(count * Math.log(value / low) / Math.log(high / low));
  const taken = new Set<string>();
  return points.filter(({ x, y }, i) => {
    const place = `${cell(x, domain.x, GRID.x)} ${cell(y, domain.y, GRID.y)}`;
    const free = !taken.has(place);
    taken.add(place);
    return free || i === points.length - 1;
  });
}
