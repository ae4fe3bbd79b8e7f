/// <reference lib="dom" />
/**
 * The readout of a point: its series, value, interval, number of samples, and a link to its case. By
 * pointer, by touch, and by the arrow keys. Where the points of a chart stand in columns, the pointer
 * snaps to the nearest of the nearest column, and the readout has the other series of it as well.
 *
 * @module
 */
import type { Readout, ReadoutPoint } from "../../charts/drawing.ts";
import { figureData } from "./figure_data.ts";
import { drawingsOf, hiddenOf, isShown, marksOf } from "./marks.ts";

/** Largest distance from a mark at which a pointer selects it, in pixels; a finger is less exact. */
const REACH = { mouse: 26, touch: 40 };
/** From a column to the readout beside it, in pixels. */
const GAP = 16;
/** Other series of a column that a readout lists. */
const MOST_OTHERS = 7;

interface Spot {
  readonly series: number;
  readonly point: number;
  /** Centre of the mark, in pixels of the window. */
  readonly x: number;
  readonly y: number;
  readonly box: DOMRect;
}

/** A figure whose points can be read out. */
interface Chart {
  readonly figure: HTMLElement;
  readonly readout: Readout;
  readonly panel: HTMLElement;
  /** Whether several series have points at one place of the horizontal axis. */
  readonly columns: boolean;
  /** The point that is read out, and whether it stays without the pointer. */
  current: Spot | null;
  pinned: boolean;
}

/** Adds readouts to the drawings of every figure. */
export async function addReadouts(root: ParentNode): Promise<void> {
  const figures = [...root.querySelectorAll<HTMLElement>("figure")];
  await Promise.all(figures.map(async (figure) => {
    const readout = (await figureData(figure))?.readout;
    if (!readout?.series.some(({ points }) => points.length > 0)) return;
    if (figure.querySelector("div.readout") !== null) return;
    const panel = document.createElement("div");
    panel.className = "readout";
    panel.hidden = true;
    panel.setAttribute("aria-live", "polite");
    figure.append(panel);
    const chart: Chart = {
      figure,
      readout,
      panel,
      columns: hasColumns(readout),
      current: null,
      pinned: false,
    };
    for (const drawing of drawingsOf(figure)) listen(chart, drawing);
  }));
}

function hasColumns({ x, series }: Readout): boolean {
  const places = series.flatMap(({ points }) => points.map(([where]) => where));
  return x !== "" && new Set(places).size <= places.length / 2;
}

function listen(chart: Chart, drawing: SVGSVGElement): void {
  drawing.tabIndex = 0;
  drawing.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight ArrowUp ArrowDown Enter Escape");
  let spots: Spot[] = [];
  const find = ({ clientX: x, clientY: y, pointerType }: PointerEvent) => {
    const near = nearest(spots, {
      x,
      y,
      reach: REACH[pointerType === "mouse" ? "mouse" : "touch"],
    });
    return near ?? (chart.columns && pointerType === "mouse" ? inColumn(spots, { x, y }) : null);
  };
  drawing.addEventListener("pointerenter", () => spots = spotsOf(chart, drawing));
  drawing.addEventListener("pointermove", (event) => {
    if (chart.pinned || event.pointerType !== "mouse") return;
    show(chart, drawing, find(event));
  });
  drawing.addEventListener("pointerleave", (event) => {
    if (!chart.pinned && event.pointerType === "mouse") show(chart, drawing, null);
  });
  drawing.addEventListener("click", (event) => {
    spots = spotsOf(chart, drawing);
    const spot = find(event as PointerEvent);
    chart.pinned = spot !== null;
    show(chart, drawing, spot);
  });
  drawing.addEventListener("keydown", (event) => {
    const spot = step(chart, spotsOf(chart, drawing), event.key);
    if (spot === undefined) return;
    event.preventDefault();
    chart.pinned = spot !== null;
    show(chart, drawing, spot);
  });
  drawing.addEventListener("blur", ({ relatedTarget }) => {
    // Moving from the drawing to the link of its readout does not close it.
    if (relatedTarget instanceof Node && chart.panel.contains(relatedTarget)) return;
    chart.pinned = false;
    show(chart, drawing, null);
  });
}

/** The visible marks, at their current positions. */
function spotsOf({ figure, readout }: Chart, drawing: SVGSVGElement): Spot[] {
  const { points: without } = hiddenOf(figure);
  return readout.series.flatMap(({ points }, series) => {
    if (!isShown(figure, series)) return [];
    return marksOf(drawing, series).slice(0, points.length).flatMap((mark, point): Spot[] => {
      if (without.get(series)?.has(point)) return [];
      const box = mark.getBoundingClientRect();
      const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
      return [{ series, point, x, y, box }];
    });
  });
}

function nearest(
  spots: readonly Spot[],
  { x, y, reach }: { x: number; y: number; reach: number },
): Spot | null {
  let best: Spot | null = null;
  let least = reach;
  for (const spot of spots) {
    const { box } = spot;
    // Inside a bar or cell the distance is zero.
    const far = Math.hypot(
      Math.max(box.left - x, 0, x - box.right),
      Math.max(box.top - y, 0, y - box.bottom),
    ) + 1e-3 * Math.hypot(spot.x - x, spot.y - y);
    if (far < least) [best, least] = [spot, far];
  }
  return best;
}

/** The nearest mark of the nearest column, however far. */
function inColumn(spots: readonly Spot[], { x, y }: { x: number; y: number }): Spot | null {
  const far = (spot: Spot) => 1e3 * Math.round(Math.abs(spot.x - x)) + Math.abs(spot.y - y);
  return spots.reduce<Spot | null>(
    (best, spot) => best === null || far(spot) < far(best) ? spot : best,
    null,
  );
}

/** Where a key leads: a mark, null for none, undefined for a key without a meaning here. */
function step(
  { current, panel }: Chart,
  spots: readonly Spot[],
  key: string,
): Spot | null | undefined {
  if (key === "Escape") return current === null ? undefined : null;
  if (key === "Enter") {
    panel.querySelector("a")?.click();
    return undefined;
  }
  const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
  if (!moves.includes(key) || spots.length === 0) return undefined;
  const at = current === null
    ? -1
    : spots.findIndex(({ series, point }) => series === current.series && point === current.point);
  if (at < 0) return spots[0];
  const own = spots.filter(({ series }) => series === spots[at].series);
  const place = own.indexOf(spots[at]);
  const others = [...new Set(spots.map(({ series }) => series))];
  const line = others.indexOf(spots[at].series);
  const nearestOf = (series: number | undefined) =>
    spots.filter((spot) => spot.series === series).sort((a, b) =>
      Math.abs(a.x - spots[at].x) - Math.abs(b.x - spots[at].x)
    )[0] ?? spots[at];
  switch (key) {
    case "ArrowLeft":
      return own[place - 1] ?? (own.length === 1 ? nearestOf(others[line - 1]) : own[place]);
    case "ArrowRight":
      return own[place + 1] ?? (own.length === 1 ? nearestOf(others[line + 1]) : own[place]);
    case "ArrowUp":
      return nearestOf(others[line - 1]);
    case "ArrowDown":
      return nearestOf(others[line + 1]);
    case "Home":
      return own[0];
    default:
      return own[own.length - 1];
  }
}

function show(chart: Chart, drawing: SVGSVGElement, spot: Spot | null): void {
  const { figure, readout, panel, current } = chart;
  panel.classList.toggle("pinned", chart.pinned);
  if (spot?.series === current?.series && spot?.point === current?.point) return;
  chart.current = spot;
  figure.querySelectorAll(".ring,.hair").forEach((one) => one.remove());
  panel.hidden = spot === null;
  if (spot === null) return;
  const series = readout.series[spot.series];
  panel.replaceChildren(...lines(readout, series.name, series.points[spot.point], figure));
  if (chart.columns) {
    panel.append(...othersAt(chart, spot));
    hair(drawing, spot);
  }
  ring(drawing, spot);
  place(chart, spot);
}

/** The texts of a readout: series, value, position, spread and link. */
function lines(
  { x, y }: Readout,
  name: string,
  [where, value, interval, n, caseId, href]: ReadoutPoint,
  figure: HTMLElement,
): Node[] {
  const line = (tag: string, text: string) => {
    const one = document.createElement(tag);
    one.textContent = text;
    return one;
  };
  const sure = [
    ...(interval === null ? [] : [interval]),
    ...(n === null ? [] : [`n = ${n}`]),
  ].join(", ");
  const prefix = /^run-\d+-/.exec(figure.id)?.[0] ?? "";
  const target = href ??
    // Its row may be one of those that come when they are asked for.
    (caseId !== null && document.getElementById(`${prefix}samples`) !== null
      ? `#${prefix}${caseId}`
      : null);
  const link = target === null ? null : Object.assign(document.createElement("a"), {
    href: target,
    textContent: target.includes("#") ? "its samples" : "open",
  });
  return [
    ...(name === "" ? [] : [line("b", name)]),
    line("strong", value),
    ...(y === "" ? [] : [line("small", y)]),
    ...(where === "" ? [] : [line("span", x === "" ? where : `${x}: ${where}`)]),
    ...(sure === "" ? [] : [line("span", sure)]),
    ...(link === null ? [] : [link]),
  ];
}

/** The values of the other visible series in the column of a point, as a list; nothing for none. */
function othersAt({ figure, readout }: Chart, spot: Spot): Node[] {
  const { points: without } = hiddenOf(figure);
  const [where] = readout.series[spot.series].points[spot.point];
  const found = readout.series.flatMap(({ name, points }, series) => {
    const at = series === spot.series || !isShown(figure, series)
      ? -1
      : points.findIndex(([place]) => place === where);
    return at < 0 || without.get(series)?.has(at) ? [] : [`${name} ${points[at][1]}`];
  });
  if (found.length === 0) return [];
  const list = document.createElement("ul");
  const rest = found.length - MOST_OTHERS;
  const told = rest > 0 ? [...found.slice(0, MOST_OTHERS), `and ${rest} more`] : found;
  list.append(
    ...told.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
  );
  return [list];
}

/** A line through the column of the mark, down to the horizontal axis. */
function hair(drawing: SVGSVGElement, { x, y }: Spot): void {
  const matrix = drawing.getScreenCTM();
  const base = drawing.querySelector(".axis .base")?.getAttribute("y1");
  if (matrix === null || !base) return;
  const at = new DOMPoint(x, y).matrixTransform(matrix.inverse()).x.toFixed(1);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", `M${at},26V${base}`);
  line.setAttribute("class", "hair");
  drawing.prepend(line);
}

/** A ring around the mark, in the units of the drawing. */
function ring(drawing: SVGSVGElement, { x, y, box }: Spot): void {
  const matrix = drawing.getScreenCTM();
  if (matrix === null) return;
  const at = new DOMPoint(x, y).matrixTransform(matrix.inverse());
  const wide = Math.max(box.width, box.height) > 30;
  const shape = document.createElementNS(
    "http://www.w3.org/2000/svg",
    wide ? "rect" : "circle",
  );
  const [width, height] = [box.width / matrix.a, box.height / matrix.d];
  const sizes = wide
    ? { x: at.x - width / 2, y: at.y - height / 2, width, height }
    : { cx: at.x, cy: at.y, r: 9 };
  for (const [key, value] of Object.entries(sizes)) shape.setAttribute(key, value.toFixed(1));
  shape.setAttribute("class", "ring");
  drawing.append(shape);
}

/** Above the mark, or beside its column; inside the figure. */
function place(
  { panel, figure, columns }: Pick<Chart, "panel" | "figure" | "columns">,
  { x, box }: Spot,
): void {
  const frame = figure.getBoundingClientRect();
  const { width, height } = panel.getBoundingClientRect();
  const above = box.top - frame.top - height - 10;
  let [left, top] = [x - width / 2, above < 0 ? box.bottom - frame.top + 10 : above];
  const room = Math.max(frame.right - x, x - frame.left) - GAP;
  if (columns && width <= room) {
    left = x + GAP + width <= frame.right ? x + GAP : x - GAP - width;
    top = Math.max(0, box.top - frame.top - height / 2);
  }
  left = Math.min(Math.max(left - frame.left, 0), Math.max(0, frame.width - width));
  panel.style.left = `${left.toFixed(0)}px`;
  panel.style.top = `${top.toFixed(0)}px`;
}
