/// <reference lib="dom" />
/**
 * The marks of a drawing, by series and point, and which of them are shown.
 *
 * @module
 */

/** What stands for a point: a shape used again, a mark, a bar or cell, a sample. */
const MARK = "use,path.marker,rect,circle.dot";

/** Drawings of a figure; one of them is shown. */
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

/** What is hidden of a figure. */
interface Hidden {
  /** Series that a press on the legend hid. */
  readonly toggled: Set<number>;
  /** Series that the filters hide. */
  filtered: ReadonlySet<number>;
  /** Points of the other series that the filters hide. */
  points: ReadonlyMap<number, ReadonlySet<number>>;
}

const states = new WeakMap<Element, Hidden>();

/** What is hidden of a figure; nothing at first. */
export function hiddenOf(figure: Element): Hidden {
  let state = states.get(figure);
  if (state === undefined) {
    states.set(figure, state = { toggled: new Set(), filtered: new Set(), points: new Map() });
  }
  return state;
}

/** Whether a series of a figure is seen. */
export function isShown(figure: Element, series: number): boolean {
  const { toggled, filtered } = hiddenOf(figure);
  return !toggled.has(series) && !filtered.has(series);
}

/** Makes the drawings of a figure agree with what is hidden of it. */
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
