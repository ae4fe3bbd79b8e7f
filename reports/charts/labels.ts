/**
 * Places the texts of a drawing: how wide they are, which ticks are left out, and which place around
 * a point is free. Every drawing uses this, so that no text covers another or a data point, whatever
 * the fonts of the reader are.
 *
 * Lengths are in SVG units, which are pixels at full size.
 *
 * @module
 */

/** A rectangle; `y` grows downwards. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A text at its place; `y` is its base line. */
export interface PlacedText {
  readonly x: number;
  readonly y: number;
  readonly anchor: "start" | "middle" | "end";
}

/** The style of a text. Default: 13 units high, regular. */
export interface TextLook {
  readonly size?: number;
  readonly bold?: boolean;
}

/**
 * Advance widths of the characters from the space to the tilde in DejaVu Sans, in hundredths of an em:
 * the widest of the common sans-serif system fonts, so that other fonts need less room.
 */
// deno-fmt-ignore
const WIDTHS = [
  32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
  64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79,
  60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63,
  63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
];
/** Of `×` and most other signs; letters of other alphabets are narrower. */
const OTHER_WIDTH = 84;
/** Width of bold letters over regular ones. */
const BOLD = 1.145;
/** Height of a text over its size. */
export const TEXT_SIZE = 13;

/** Upper bound of the width of a text in any usual font. */
export function textWidth(text: string, { size = TEXT_SIZE, bold = false }: TextLook = {}): number {
  let width = 0;
  for (const letter of text) width += letterWidth(letter);
  return width / 100 * size * (bold ? BOLD : 1);
}

/** Of a regular letter, in hundredths of the text's size. */
function letterWidth(letter: string): number {
  const code = letter.codePointAt(0)!;
  return code < 0x20 ? 0 : WIDTHS[code - 0x20] ?? (code > 0x2e80 ? 100 : OTHER_WIDTH);
}

/** The rectangle of a text's letters. */
export function textBox(text: string, { x, y, anchor }: PlacedText, look: TextLook = {}): Box {
  const width = textWidth(text, look);
  const { size = TEXT_SIZE } = look;
  const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
  return { left, right: left + width, top: y - 0.8 * size, bottom: y + 0.26 * size };
}

/** The text, or as much of its start as fits `width`, with an ellipsis. */
export function shortened(text: string, width: number, look: TextLook = {}): string {
  if (textWidth(text, look) <= width) return text;
  const { size = TEXT_SIZE, bold = false } = look;
  let kept = "";
  let taken = letterWidth("…");
  for (const letter of text) {
    taken += letterWidth(letter);
    if (taken / 100 * size * (bold ? BOLD : 1) > width) break;
    kept += letter;
  }
  return `${kept.trimEnd()}…`;
}

/** The text in at most `most` lines that fit `width`, split at spaces. Default: two lines. */
export function inLines(
  text: string,
  { width, most = 2, ...look }: { width: number; most?: number } & TextLook,
): string[] {
  const words = text.split(" ");
  const lines: string[] = [];
  while (words.length > 0) {
    let line = words.shift()!;
    const last = lines.length === most - 1;
    while (words.length > 0 && (last || textWidth(`${line} ${words[0]}`, look) <= width)) {
      line += ` ${words.shift()}`;
    }
    lines.push(shortened(line, width, look));
  }
  return lines;
}

/** Whether two rectangles come closer than `gap` to each other. */
export function touch(a: Box, b: Box, gap = 0): boolean {
  return a.left < b.right + gap && b.left < a.right + gap &&
    a.top < b.bottom + gap && b.top < a.bottom + gap;
}

/** A square around a point. */
export function around(x: number, y: number, radius: number): Box {
  return { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
}

/**
 * Rectangles along a line through `points`, which make it an obstacle: neighbours are no farther
 * apart than a letter is wide.
 */
export function alongLine(points: readonly (readonly [number, number])[]): Box[] {
  return points.slice(1).flatMap(([x1, y1], i) => {
    const [x0, y0] = points[i];
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 4));
    return Array.from({ length: steps + 1 }, (_, step) => {
      const part = step / steps;
      return around(x0 + part * (x1 - x0), y0 + part * (y1 - y0), 1.5);
    });
  });
}

/**
 * The ticks whose labels have room: every one, every second, …, counted from the last, so that the
 * largest value keeps its label.
 *
 * @param boxOf The rectangle of a tick's label.
 *
 * @example
 * ```ts
 * import { textBox, thinned } from "./labels.ts";
 * import assert from "node:assert/strict";
 *
 * const boxOf = (tick: number) => textBox(`${tick} ms`, { x: tick, y: 0, anchor: "middle" });
 * assert.deepEqual(thinned([0, 40, 80, 120], boxOf), [40, 120]);
 * ```
 */
export function thinned<Tick>(
  ticks: readonly Tick[],
  boxOf: (tick: Tick) => Box,
  gap = 6,
): Tick[] {
  for (let stride = 1; stride < ticks.length; stride++) {
    const kept = ticks.filter((_, i) => (ticks.length - 1 - i) % stride === 0);
    const boxes = kept.map(boxOf);
    if (boxes.every((box, i) => i === 0 || !touch(boxes[i - 1], box, gap))) return kept;
  }
  return ticks.slice(-1);
}

/** What a drawing already contains. */
export interface Obstacles {
  /** Texts, data points, curves: nothing may cover them. */
  readonly hard: Box[];
  /** Lines that a text may cross if nothing better is free. */
  readonly soft: Box[];
  /** No text may leave it. */
  readonly frame: Box;
}

/**
 * The first place where the text covers nothing; places that cross no soft obstacle come
 * first; null if all are taken. The placed text becomes an obstacle.
 *
 * @param places In the order of preference.
 */
export function placeText(
  text: string,
  places: readonly PlacedText[],
  { hard, soft, frame }: Obstacles,
  look: TextLook = {},
): PlacedText | null {
  let best: { place: PlacedText; box: Box; crossed: number } | null = null;
  for (const place of places) {
    const box = textBox(text, place, look);
    if (
      box.left < frame.left || box.right > frame.right || box.top < frame.top ||
      box.bottom > frame.bottom || hard.some((other) => touch(box, other, 1))
    ) {
      continue;
    }
    const crossed = soft.filter((other) => touch(box, other)).length;
    if (best === null || crossed < best.crossed) best = { place, box, crossed };
    if (crossed === 0) break;
  }
  if (best === null) return null;
  hard.push(best.box);
  return best.place;
}

/** Places for a text next to a point, the right side first. */
export function placesAround(x: number, y: number, { reach = 12 } = {}): PlacedText[] {
  const near = [reach, reach + 12, reach + 26];
  return near.flatMap((far): PlacedText[] => [
    { x: x + far, y: y + 4, anchor: "start" },
    { x, y: y - far, anchor: "middle" },
    { x, y: y + far + 9, anchor: "middle" },
    { x: x - 0.6 * far, y: y - 0.8 * far, anchor: "end" },
    { x: x + 0.6 * far, y: y + 0.8 * far + 9, anchor: "start" },
    { x: x + 0.6 * far, y: y - 0.8 * far, anchor: "start" },
    { x: x - 0.6 * far, y: y + 0.8 * far + 9, anchor: "end" },
    { x: x - far, y: y + 4, anchor: "end" },
  ]);
}

/** Places for a text above and below a line, from the preferred end on. */
export function placesAlong(
  points: readonly (readonly [number, number])[],
  from: "start" | "end" = "start",
): PlacedText[] {
  const [first, last] = [points[0], points[points.length - 1]];
  const at = (part: number): [number, number] => [
    first[0] + part * (last[0] - first[0]),
    first[1] + part * (last[1] - first[1]),
  ];
  const parts = Array.from({ length: 13 }, (_, i) => from === "start" ? i / 12 : 1 - i / 12);
  return [6, -15, 12, -21].flatMap((rise) =>
    parts.map((part): PlacedText => {
      const [x, y] = at(part);
      const anchor = part < 0.05 ? "start" : part > 0.95 ? "end" : "middle";
      const inset = anchor === "start" ? 4 : anchor === "end" ? -4 : 0;
      return { x: x + inset, y: y - rise, anchor };
    })
  );
}

/** A label in the margin beside a plot. */
export interface MarginLabel {
  /** Preferred y, and then the actual one. */
  y: number;
  /** Its height in the margin. */
  readonly height: number;
}

/**
 * Moves the labels of a margin apart, from top to bottom and then back up from the bottom. Labels at
 * the end of the list that have no room are left out.
 */
export function stackLabels<Label extends MarginLabel>(
  labels: readonly Label[],
  [top, bottom]: readonly [number, number],
): (Label & { target: number })[] {
  let room = bottom - top;
  const fitting = labels.filter(({ height }) => (room -= height) >= 0);
  const placed = fitting.map((label) => ({ ...label, target: label.y })).sort((a, b) => a.y - b.y);
  let floor = top;
  for (const label of placed) {
    label.y = Math.max(label.y, floor + label.height / 2);
    floor = label.y + label.height / 2;
  }
  let ceiling = bottom;
  for (const label of placed.toReversed()) {
    label.y = Math.min(label.y, ceiling - label.height / 2);
    ceiling = label.y - label.height / 2;
  }
  return placed;
}
