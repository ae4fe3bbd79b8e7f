/**
 * The texts of a plot on two axes: which labels are in the margin, which inside, and where.
 *
 * @module
 */
import {
  alongLine,
  around,
  type Box,
  type Obstacles,
  type PlacedText,
  placesAlong,
  placesAround,
  placeText,
  stackLabels,
  textBox,
  textWidth,
} from "./labels.ts";

/** A point in SVG units. */
export type Place = readonly [x: number, y: number];

/** A line of data that may be named. */
export interface NamedLine {
  readonly text: string;
  readonly color: string;
  /** Its points in SVG units. */
  readonly points: readonly Place[];
  /** Number of its series. */
  readonly series: number;
}

/** A star that must be labelled, with a second line. */
export interface NamedMark {
  readonly text: string;
  readonly detail: string;
  readonly at: Place;
}

/** A line that is not data. */
export interface NamedGuide {
  readonly text: string;
  readonly points: readonly Place[];
  readonly from: "start" | "end";
}

/** A label in the right margin, with a line to its target. */
export interface MarginText {
  readonly text: string;
  readonly detail?: string;
  readonly color: string;
  readonly x: number;
  readonly series?: number;
  y: number;
  readonly height: number;
  readonly target: number;
}

/** A label inside the plot. */
export interface InnerText extends PlacedText {
  readonly text: string;
  readonly color: string;
  readonly series: number;
}

/** Every label of a plot with its place. */
export interface PlotLabels {
  readonly margin: readonly MarginText[];
  readonly inner: readonly InnerText[];
  /** In the order of the guides; null if no place was free. */
  readonly guides: readonly (PlacedText | null)[];
  /** In the order of the marks; null for those in the margin, and if no place was free. */
  readonly marks: readonly (PlacedText | null)[];
  /** Names of marks and guides without a place, for the line above the plot. */
  readonly homeless: readonly string[];
}

/** Size of the labels of guides, and of the second line of a mark. */
export const SMALL_TEXT = 12.5;
/** Gap between the plot and the labels in its margin. */
export const MARGIN_GAP = 16;
/** Longest label of a margin. */
const MOST_MARGIN = 190;
/** Height of a line of the margin, and of a mark's two lines. */
const LINE_HEIGHT = 17;
const MARK_HEIGHT = 33;

/** The width that the labels of a margin need, as far as they fit. */
export function marginWidth(texts: readonly { text: string; detail?: string }[]): number {
  const widths = texts.map(labelWidth).filter((width) => width <= MOST_MARGIN);
  return widths.length === 0 ? 0 : Math.max(...widths) + MARGIN_GAP + 4;
}

function labelWidth({ text, detail }: { text: string; detail?: string }): number {
  return Math.max(textWidth(text, { bold: true }), textWidth(detail ?? "", { size: SMALL_TEXT }));
}

/**
 * Finds places for the labels of a plot. None covers a data point, a curve or another text: a name
 * without a free place is left to the legend, a guide's goes to the margin.
 */
export function placePlotLabels(
  { lines, marks, guides, points, curves, texts, plot, width, compact }: {
    /** Series that may be named in the drawing. */
    lines: readonly NamedLine[];
    marks: readonly NamedMark[];
    guides: readonly NamedGuide[];
    /** Every data point. */
    points: readonly Place[];
    /** The curve of each series, empty for one without. */
    curves: readonly (readonly Place[])[];
    /** Texts that are already placed. */
    texts: readonly Box[];
    /** The rectangle between the axes. */
    plot: Box;
    /** Of the whole drawing. */
    width: number;
    compact: boolean;
  },
): PlotLabels {
  const room = compact ? 0 : width - plot.right;
  const atEdge = ([x]: Place) => !compact && x > plot.right - EDGE * (plot.right - plot.left);
  const inMargin = (label: { text: string; detail?: string }) =>
    labelWidth(label) + MARGIN_GAP <= room;
  const edgeLines = lines.filter((one) =>
    one.points.length > 0 && atEdge(one.points[one.points.length - 1]) && inMargin(one)
  );
  const edgeMarks = marks.filter((mark) => atEdge(mark.at) && inMargin(mark));
  const obstacles: Obstacles = {
    hard: [
      ...texts,
      ...points.map(([x, y]) => around(x, y, 6)),
      ...curves.flatMap(alongLine),
      ...marks.map(({ at: [x, y] }) => around(x, y, 9)),
    ],
    soft: guides.flatMap((guide) => alongLine(guide.points)),
    frame: { ...plot, top: plot.top - 8 },
  };
  const markPlaces = marks.map((mark) =>
    edgeMarks.includes(mark) ? null : placeMark(mark, obstacles)
  );
  const outside: Omit<MarginText, "target">[] = [
    ...edgeMarks.map(({ text, detail, at: [x, y] }) => ({
      text,
      detail,
      color: "var(--ink)",
      x,
      y,
      height: MARK_HEIGHT,
    })),
    ...edgeLines.map(({ text, color, points, series }) => {
      const [x, y] = points[points.length - 1];
      return { text, color, x, y, series, height: LINE_HEIGHT };
    }),
  ];
  const homeless = marks.flatMap((mark, i) =>
    markPlaces[i] === null && !edgeMarks.includes(mark) ? [`★ ${mark.text}`] : []
  );
  const guidePlaces = guides.map((guide) => {
    if (guide.text === "") return null;
    const places = placesAlong(guide.points, guide.from);
    const place = placeText(guide.text, places, obstacles, { size: SMALL_TEXT });
    const [x, y] = guide.points[guide.points.length - 1];
    if (place === null) {
      if (inMargin(guide)) {
        outside.push({ text: guide.text, color: "var(--soft)", x, y, height: LINE_HEIGHT });
      } else homeless.push(`― ${guide.text}`);
    }
    return place;
  });
  const margin = stackLabels<Omit<MarginText, "target">>(outside, [plot.top - 10, plot.bottom + 4]);
  const curveBoxes = curves.map((curve) => alongLine(curve));
  /** Whether no other curve is nearer to a text than its own, so that it is not read as the other's. */
  const isClear = (text: string, place: PlacedText, series: number) => {
    const box = textBox(text, place, { bold: true });
    const far = curveBoxes.map((boxes) => gapTo(box, boxes));
    return far.every((gap) => far[series] <= gap + 1);
  };
  const inner = lines.filter((one) => !compact && !edgeLines.includes(one)).flatMap((one) => {
    const { text, color, series } = one;
    if (one.points.length === 0) return [];
    const [first, last] = [one.points[0], one.points[one.points.length - 1]];
    const places = [...placesAround(...last), ...placesAround(...first)].filter((place) =>
      one.points.length < 2 || isClear(text, place, series)
    );
    const place = placeText(text, places, obstacles, { bold: true });
    return place === null ? [] : [{ text, color, series, ...place }];
  });
  return { margin, inner, guides: guidePlaces, marks: markPlaces, homeless };
}

/** Smallest distance of a text from the segments of a curve; infinite for none. */
function gapTo(box: Box, pieces: readonly Box[]): number {
  // Squares are compared: a page has millions of pairs.
  let least = Infinity;
  for (const piece of pieces) {
    const across = Math.max(piece.left - box.right, 0, box.left - piece.right);
    const down = Math.max(piece.top - box.bottom, 0, box.top - piece.bottom);
    least = Math.min(least, across * across + down * down);
  }
  return Math.sqrt(least);
}

/** Share of a plot's width whose right end counts as its edge. */
export const EDGE = 0.12;

/**
 * The place of a mark's first line; the second goes below it. Null if every free place is nearer
 * to a guide than to the mark, since the text would be taken for that line's.
 */
function placeMark({ text, detail, at: [x, y] }: NamedMark, obstacles: Obstacles) {
  const look = { bold: true };
  for (const place of placesAround(x, y, { reach: 15 })) {
    // Both lines must fit: the second is tried first, and taken back if the first does not.
    const second = { ...place, y: place.y + 14 };
    const boxes = [textBox(text, place, look), textBox(detail, second, look)];
    const toMark = Math.min(...boxes.map((box) => gapTo(box, [around(x, y, 9)])));
    if (boxes.some((box) => gapTo(box, obstacles.soft) < toMark)) continue;
    const before = obstacles.hard.length;
    if (placeText(detail, [second], obstacles, look) !== null) {
      const own = obstacles.hard.splice(before);
      if (placeText(text, [place], obstacles, look) !== null) {
        obstacles.hard.push(...own);
        return place;
      }
    }
  }
  return null;
}
