/// <reference lib="dom" />
/**
 * A picture of a result to share: the ratio, what it is over, and the curve; or the needles that each
 * way of attending found.
 *
 * @module
 */
import { verdictLine } from "../reports/claims/claims.ts";
import { HEADLINE_CONTEXT, PAPER_SPEEDUP } from "../reports/claims/paper.ts";
import type { SpeedupPoint } from "../reports/data/analysis.ts";
import { heatMaps } from "../reports/data/retrieval_data.ts";
import { armName } from "../reports/html/retrieval_block.tsx";
import { capital } from "../reports/html/section.tsx";
import { formatContext, formatPercent, formatRatio, formatSpread } from "../reports/text/format.ts";
import { plainText } from "../suites/result/plain_text.ts";
import type { Result } from "../suites/result/result_schema.ts";
import { fileBase } from "./exports.ts";
import { forwardSpeedups } from "./speedups.ts";

const [WIDTH, HEIGHT] = [1200, 630];
const MARGIN = 60;
const FONT = "system-ui, sans-serif";
const COLORS = {
  paper: "#fcfbf8",
  ink: "#1d1c1a",
  soft: "#5d5a54",
  rule: "#bdb8ac",
  own: "#0072b2",
};

/** Least distance of two labels, pixels. */
const LABEL_ROOM = 84;

/** Most bars of needles. */
const MOST_BARS = 8;

/**
 * Draws the picture.
 *
 * @throws {Error} where the browser makes no picture of a canvas.
 */
export async function drawPicture(result: Result): Promise<{ name: string; blob: Blob }> {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("the browser gives no canvas");
  pen.fillStyle = COLORS.paper;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  const points = forwardSpeedups(result);
  const found = foundNeedles(result);
  if (points.length > 0) drawSpeedups(pen, points);
  else if (found.length > 0) drawNeedles(pen, found);
  else drawLines(pen, verdictLine(result), { size: 44, top: 110, most: 6 });
  write(pen, footerOf(result).join("  ·  "), [MARGIN, HEIGHT - 36], {
    size: 22,
    color: COLORS.soft,
    room: WIDTH - 2 * MARGIN,
  });
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("the browser makes no PNG of the canvas");
  return { name: `${fileBase(result)}.png`, blob };
}

/** What was measured, on what, when and by what. */
export function footerOf({ environment, startedAt }: Result): string[] {
  const { device, runtime, adapter } = environment;
  return [
    plainText(device.name).slice(0, 60),
    ...(adapter.software ? ["software adapter, not a GPU"] : []),
    // Its first number is what people know a browser by.
    ...(runtime.browser ? [plainText(runtime.browser).replace(/(\d+)\.[\d.]+$/, "$1")] : []),
    startedAt.slice(0, 10),
    "Lighthouse Attention Bench",
  ];
}

/** Share of the needles of the grid that each way of attending found. */
export function foundNeedles({ retrieval }: Result): { arm: string; share: number }[] {
  if (retrieval === undefined) return [];
  const maps = heatMaps(retrieval);
  const margin = maps.at(-1)?.margin;
  return maps.filter((map) => map.margin === margin).slice(0, MOST_BARS)
    .map(({ arm, mean }) => ({ arm: capital(plainText(armName(arm))).slice(0, 30), share: mean }));
}

function write(
  pen: CanvasRenderingContext2D,
  text: string,
  [x, y]: readonly [number, number],
  { size, color = COLORS.ink, bold = false, align = "left", room }: {
    size: number;
    color?: string;
    bold?: boolean;
    align?: CanvasTextAlign;
    /** Widest that it may be; default: as wide as it is. */
    room?: number;
  },
): void {
  pen.font = `${bold ? 600 : 400} ${size}px ${FONT}`;
  pen.fillStyle = color;
  pen.textAlign = align;
  pen.fillText(text, x, y, room);
}

function drawLines(
  pen: CanvasRenderingContext2D,
  text: string,
  { size, top, most }: { size: number; top: number; most: number },
): void {
  pen.font = `600 ${size}px ${FONT}`;
  const lines = wrap(text, (part) => pen.measureText(part).width, WIDTH - 2 * MARGIN);
  lines.slice(0, most).forEach((line, i) =>
    write(pen, line, [MARGIN, top + 1.25 * size * i], { size, bold: true })
  );
}

function drawSpeedups(pen: CanvasRenderingContext2D, points: readonly SpeedupPoint[]): void {
  const last = points[points.length - 1];
  write(pen, formatRatio(last.ratio), [MARGIN, 130], { size: 110, bold: true });
  pen.font = `600 110px ${FONT}`;
  const beside = MARGIN + pen.measureText(formatRatio(last.ratio)).width + 32;
  const spread = formatSpread(last, formatRatio);
  const over = last.kind === "interval" ? `95 % interval ${spread}, n = ${last.count}` : spread;
  const where = `over our dense attention, ${formatContext(last.context)}, forward`;
  write(pen, "Lighthouse attention’s speed-up", [beside, 88], { size: 32, bold: true });
  write(pen, `${where} (${over})`, [beside, 128], {
    size: 24,
    color: COLORS.soft,
    room: WIDTH - MARGIN - beside,
  });
  drawCurve(pen, points);
}

function drawCurve(pen: CanvasRenderingContext2D, points: readonly SpeedupPoint[]): void {
  const box = { left: 130, right: WIDTH - 90, top: 200, bottom: HEIGHT - 120 };
  const paper = { context: HEADLINE_CONTEXT, ratio: PAPER_SPEEDUP.forward };
  const all = [...points, paper];
  const xs = all.map(({ context }) => Math.log2(context));
  const ys = all.map(({ ratio }) => Math.log2(ratio));
  const [x0, x1] = [Math.min(...xs) - 0.9, Math.max(...xs) + 0.3];
  const [y0, y1] = [Math.min(-0.3, ...ys) - 0.2, Math.max(...ys) + 0.4];
  const at = ({ context, ratio }: { context: number; ratio: number }) =>
    [
      box.left + (Math.log2(context) - x0) / (x1 - x0) * (box.right - box.left),
      box.bottom - (Math.log2(ratio) - y0) / (y1 - y0) * (box.bottom - box.top),
    ] as const;
  for (const ratio of [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]) {
    const y = at({ context: 2 ** x0, ratio })[1];
    if (y > box.bottom || y < box.top) continue;
    pen.strokeStyle = ratio === 1 ? COLORS.soft : COLORS.rule;
    pen.lineWidth = ratio === 1 ? 2 : 1;
    pen.beginPath();
    pen.moveTo(box.left, y);
    pen.lineTo(box.right, y);
    pen.stroke();
    write(pen, `${ratio}×`, [box.left - 12, y + 7], {
      size: 20,
      color: COLORS.soft,
      align: "right",
    });
  }
  const labelled = apart(all.map((point) => at(point)[0]), LABEL_ROOM);
  for (const i of labelled) {
    const text = formatContext(all[i].context);
    const place = [at(all[i])[0], box.bottom + 32] as const;
    write(pen, text, place, { size: 20, color: COLORS.soft, align: "center" });
  }
  pen.strokeStyle = COLORS.own;
  pen.lineWidth = 4;
  pen.beginPath();
  points.forEach((point, i) => i === 0 ? pen.moveTo(...at(point)) : pen.lineTo(...at(point)));
  pen.stroke();
  const valued = apart(points.map((point) => at(point)[0]), LABEL_ROOM);
  for (const [i, point] of points.entries()) {
    const [x, y] = at(point);
    pen.fillStyle = COLORS.own;
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.fill();
    if (!valued.includes(i)) continue;
    // Left of the curve, which rises, and clear of the paper's star.
    const place = [x - 10, y - 16] as const;
    write(pen, formatRatio(point.ratio), place, { size: 22, color: COLORS.own, align: "right" });
  }
  const [x, y] = at(paper);
  write(pen, "★", [x, y + 12], { size: 36, align: "center" });
  write(pen, `paper: ${formatRatio(paper.ratio)}, B200`, [box.right, y + 44], {
    size: 20,
    align: "right",
  });
}

function drawNeedles(
  pen: CanvasRenderingContext2D,
  found: readonly { readonly arm: string; readonly share: number }[],
): void {
  write(pen, "How many hidden needles does attention find?", [MARGIN, 96], {
    size: 40,
    bold: true,
    room: WIDTH - 2 * MARGIN,
  });
  const [left, right, top] = [360, WIDTH - 160, 150];
  const step = Math.min(56, (HEIGHT - 90 - top) / found.length);
  for (const [i, { arm, share }] of found.entries()) {
    const y = top + step * i;
    write(pen, arm, [left - 16, y + 0.62 * step], { size: 24, align: "right", room: left - 80 });
    pen.fillStyle = COLORS.own;
    pen.fillRect(left, y + 0.15 * step, Math.max(2, share * (right - left)), 0.65 * step);
    const end = left + share * (right - left) + 12;
    write(pen, formatPercent(share), [end, y + 0.62 * step], { size: 22, color: COLORS.soft });
  }
}

/** Which of ascending places keep a distance from the next one that is kept; the last one always is. */
export function apart(places: readonly number[], room: number): number[] {
  const kept: number[] = [];
  let next = Infinity;
  for (let i = places.length - 1; i >= 0; i--) {
    if (next - places[i] < room) continue;
    kept.unshift(i);
    next = places[i];
  }
  return kept;
}

/** Words into lines that are no wider than `room`. */
export function wrap(text: string, widthOf: (text: string) => number, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && widthOf(longer) <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
