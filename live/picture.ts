/// <reference lib="dom" />
/**
 * A picture of a result to share: the ratio, what it is over, and the curve.
 *
 * @module
 */
import { verdictLine } from "../reports/claims/claims.ts";
import { formatContext, formatRatio } from "../reports/text/format.ts";
import type { Result } from "../suites/result/result_schema.ts";
import { fileBase } from "./exports.ts";
import { forwardSpeedups } from "./speedups.ts";

const [WIDTH, HEIGHT] = [1200, 630];
const FONT = "system-ui, sans-serif";

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
  drawFrame(pen, result);
  drawCurve(pen, result);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("the browser makes no PNG of the canvas");
  return { name: `${fileBase(result)}.png`, blob };
}

function drawFrame(pen: CanvasRenderingContext2D, result: Result): void {
  pen.fillStyle = "#fcfbf8";
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  pen.fillStyle = "#1d1c1a";
  pen.font = `600 44px ${FONT}`;
  const lines = wrap(verdictLine(result), (text) => pen.measureText(text).width, WIDTH - 120);
  lines.slice(0, 3).forEach((line, i) => pen.fillText(line, 60, 90 + 54 * i));
  pen.font = `24px ${FONT}`;
  pen.fillStyle = "#5d5a54";
  const { environment: { device, runtime, adapter }, startedAt } = result;
  const facts = [
    device.name,
    ...(adapter.software ? ["software adapter"] : []),
    ...(runtime.browser ? [runtime.browser] : []),
    startedAt.slice(0, 10),
    "Lighthouse Attention Bench",
  ];
  pen.fillText(facts.join("  ·  "), 60, HEIGHT - 36, WIDTH - 120);
}

function drawCurve(pen: CanvasRenderingContext2D, result: Result): void {
  const points = forwardSpeedups(result);
  if (points.length === 0) return;
  const box = { left: 130, right: WIDTH - 80, top: 270, bottom: HEIGHT - 120 };
  const xs = points.map(({ context }) => Math.log2(context));
  const ys = points.map(({ ratio }) => Math.log2(ratio));
  const [x0, x1] = [Math.min(...xs) - 0.2, Math.max(...xs) + 0.2];
  const [y0, y1] = [Math.min(-0.5, ...ys) - 0.3, Math.max(1, ...ys) + 0.5];
  const at = ({ context, ratio }: { context: number; ratio: number }) =>
    [
      box.left + (Math.log2(context) - x0) / (x1 - x0) * (box.right - box.left),
      box.bottom - (Math.log2(ratio) - y0) / (y1 - y0) * (box.bottom - box.top),
    ] as const;
  pen.strokeStyle = "#bdb8ac";
  pen.lineWidth = 2;
  const parity = at({ context: 2 ** x0, ratio: 1 })[1];
  pen.beginPath();
  pen.moveTo(box.left, parity);
  pen.lineTo(box.right, parity);
  pen.stroke();
  pen.font = `22px ${FONT}`;
  pen.fillStyle = "#5d5a54";
  pen.textAlign = "right";
  pen.fillText("1.00×", box.left - 12, parity + 7);
  pen.textAlign = "center";
  pen.strokeStyle = pen.fillStyle = "#0072b2";
  pen.lineWidth = 4;
  pen.beginPath();
  points.forEach((point, i) => i === 0 ? pen.moveTo(...at(point)) : pen.lineTo(...at(point)));
  pen.stroke();
  for (const point of points) {
    const [x, y] = at(point);
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.fill();
    pen.fillText(formatRatio(point.ratio), x, y - 18);
    pen.fillText(formatContext(point.context), x, box.bottom + 34);
  }
  pen.textAlign = "left";
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
