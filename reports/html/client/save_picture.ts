/// <reference lib="dom" />
/**
 * The picture of a figure as a separate file: with its title, its legend and its source,
 * in the current colours of the page.
 *
 * @module
 */
import { inLines } from "../../charts/labels.ts";
import { drawingsOf } from "./marks.ts";

const SVG = "http://www.w3.org/2000/svg";
/** Properties that a drawing takes from the style sheet. */
const PROPERTIES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linejoin",
  "stroke-linecap",
  "opacity",
  "font-size",
  "font-weight",
  "paint-order",
  "display",
];
const FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif";
const PADDING = 16;
/** Heights of a line of the title, and of the line that says where the picture comes from. */
const TITLE_LINE = 20;
const SOURCE_LINE = 15;
/** Pixels of a PNG for each unit of the drawing. */
const SHARPNESS = 2;

/** The visible drawing, whole, as SVG. */
export function toSvg(figure: Element): string {
  const seen = drawingsOf(figure).find((one) => one.getBoundingClientRect().width > 0) ??
    drawingsOf(figure)[0];
  const { width, height } = seen.viewBox.baseVal;
  const page = getComputedStyle(document.body);
  const text = (content: string, at: Record<string, string | number>) => {
    const one = element("text", { "font-size": 13, fill: page.color, ...at });
    one.textContent = content;
    return one;
  };
  const rows = legendRows(figure, { width, color: page.color });
  const title = wrapped(figure.querySelector("figcaption")?.textContent ?? "", width, {
    size: 15,
    bold: true,
  });
  const source = wrapped(`Lighthouse Attention Bench · ${document.title}`, width, { size: 11 });
  const under = PADDING + TITLE_LINE * title.length;
  const head = under + 14 + 20 * rows.length;
  const foot = head + height + 30;
  const [wide, high] = [width + 2 * PADDING, foot + SOURCE_LINE * (source.length - 1) + PADDING];
  const root = element("svg", {
    xmlns: SVG,
    viewBox: `0 0 ${wide} ${high}`,
    width: wide,
    height: high,
    "font-family": FONT,
  });
  const drawing = element("g", { transform: `translate(${PADDING},${head})` });
  for (const child of seen.children) {
    if (!child.matches("metadata,.ring,.hair")) drawing.append(copied(child));
  }
  const legend = element("g", { transform: `translate(${PADDING},${under + 16})` });
  legend.append(...rows);
  root.append(
    element("rect", { width: wide, height: high, fill: page.backgroundColor }),
    ...title.map((line, i) =>
      text(line, {
        x: PADDING,
        y: PADDING + 12 + TITLE_LINE * i,
        "font-size": 15,
        "font-weight": 600,
      })
    ),
    legend,
    drawing,
    ...source.map((line, i) =>
      text(line, { x: PADDING, y: foot + SOURCE_LINE * i, "font-size": 11, opacity: 0.7 })
    ),
  );
  return new XMLSerializer().serializeToString(root);
}

/** A text in as many lines as it needs, whole. */
function wrapped(text: string, width: number, look: { size: number; bold?: boolean }): string[] {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return inLines(words.join(" "), { width, most: Math.max(words.length, 1), ...look });
}

/** The same as a picture of pixels. */
export async function toPng(figure: Element): Promise<Blob> {
  const svg = toSvg(figure);
  const image = new Image();
  // The page's policy allows no other kind of address.
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const surface = document.createElement("canvas");
  surface.width = SHARPNESS * image.width;
  surface.height = SHARPNESS * image.height;
  surface.getContext("2d")!.drawImage(image, 0, 0, surface.width, surface.height);
  return await new Promise((resolve, reject) =>
    surface.toBlob((blob) => blob === null ? reject(new Error("no PNG")) : resolve(blob))
  );
}

function element(name: string, attributes: Record<string, string | number>): SVGElement {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, String(value));
  return one;
}

/** An element with its computed look, without classes; a reused shape becomes a copy. */
function copied(source: Element): Element {
  const shape = source instanceof SVGUseElement
    ? document.getElementById(source.href.baseVal.slice(1))
    : null;
  const copy = (shape ?? source).cloneNode(false) as Element;
  if (source instanceof SVGUseElement) {
    copy.removeAttribute("id");
    copy.setAttribute(
      "transform",
      `translate(${source.getAttribute("x")},${source.getAttribute("y")})`,
    );
  }
  copy.removeAttribute("class");
  copy.removeAttribute("style");
  copy.removeAttribute("data-s");
  const look = getComputedStyle(shape ?? source);
  for (const property of PROPERTIES) {
    let value = look.getPropertyValue(property);
    // A shape takes its colour from the series around the place where it is used.
    if (shape !== null && value === getComputedStyle(shape).color) {
      value = getComputedStyle(source).color;
    }
    if (value !== "" && !/^(none|normal|auto|inline|block)$/.test(value) || property === "fill") {
      copy.setAttribute(property, value);
    }
    if (property === "display" && getComputedStyle(source).display === "none") {
      copy.setAttribute("display", "none");
    }
  }
  if (copy.getAttribute("display") !== "none") copy.removeAttribute("display");
  if (source.childElementCount === 0 && shape === null) copy.textContent = source.textContent;
  else for (const child of source.children) copy.append(copied(child));
  return copy;
}

/** The legend's entries in as many rows as they need. */
function legendRows(
  figure: Element,
  { width, color }: { width: number; color: string },
): SVGElement[] {
  const rows: SVGElement[] = [];
  let x = Infinity;
  for (const entry of figure.querySelectorAll(".legend > li")) {
    const label = entry.textContent?.trim() ?? "";
    const pressed = entry.querySelector("[aria-pressed]")?.getAttribute("aria-pressed");
    if (pressed === "false" || entry.classList.contains("off")) continue;
    const room = 48 + 7.6 * label.length;
    if (x + room > width) {
      rows.push(element("g", { transform: `translate(0,${20 * rows.length})` }));
      x = 0;
    }
    const one = element("g", { transform: `translate(${x + 14},0)` });
    for (const shape of entry.querySelectorAll("svg > *")) one.append(copied(shape));
    const name = element("text", { x: 18, y: 4, "font-size": 13, fill: color });
    name.textContent = label;
    one.append(name);
    rows[rows.length - 1].append(one);
    x += room;
  }
  return rows;
}
