/// <reference lib="dom" />
/**
 * The marks of a drawing, by series and point, and which of them are visible.
 *
 * @module
 */

/** Elements that represent a point: a reused shape, a mark, a bar or cell, a sample. */
const MARK = "use,path.marker,rect,circle.dot";

/** Drawings of a figure; one of them is visible. */
export function drawingsOf(figure: Element): SVGSVGElement[] {
  return [...figure.querySelectorAll<SVGSVGElement>("svg.drawing")];
}

/** Elements that belong to a series: its curve and marks, its name. */
export function seriesParts(drawing: Element, series: number): SVGElement[] {
  return [...drawing.querySelectorAll<SVGElement>(`[data-s="${series}"]`)];
}

/** The marks of a series, in the order of its points. */
export function marksOf(drawing: Element, series: number): SVGElement[] {
  return seriesParts(drawing, series).flatMap((part) => [
    ...part.querySelectorAll<SVGElement>(MARK),
  ]);
}

/** What is hidden in a figure. */
interface Hidden {
  /** Series hidden by a click on the legend. */
  readonly toggled: Set<number>;
  /** Series hidden by the filters. */
  filtered: ReadonlySet<number>;
  /** Points of the other series hidden by the filters. */
  points: ReadonlyMap<number, ReadonlySet<number>>;
}

const states = new WeakMap<Element, Hidden>();

/** What is hidden in a figure; nothing at first. */
export function hiddenOf(figure: Element): Hidden {
  let state = states.get(figure);
  if (state === undefined) {
    states.set(figure, state = { toggled: new Set(), filtered: new Set(), points: new Map() });
  }
  return state;
}

/** Whether a series of a figure is visible. */
export function isShown(figure: Element, series: number): boolean {
  const { toggled, filtered } = hiddenOf(figure);
  return !toggled.has(series) && !filtered.has(series);
}

/** Updates the drawings of a figure to what is hidden in it. */
export function showAsHidden(figure: Element, count: number): void {
  const { points, filtered } = hiddenOf(figure);
  for (const entry of figure.querySelectorAll<HTMLElement>("[data-legend]")) {
    entry.classList.toggle("off", filtered.has(Number(entry.dataset.legend)));
  }
  for (const drawing of drawingsOf(figure)) {
    for (let series = 0; series < count; series++) {
      const without = points.get(series) ?? new Set();
      for (const part of seriesParts(drawing, series)) {
        part.classList.toggle("off", !isShown(figure, series));
        part.classList.toggle("some", without.size > 0);
      }
      marksOf(drawing, series).forEach((mark, i) => mark.classList.toggle("off", without.has(i)));
    }
  }
}
