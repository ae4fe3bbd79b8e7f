/**
 * Writes the parts of README.md that come from committed baselines: the table of results between its
 * marks, and the picture of a report, which needs Chromium. `deno task readme` runs it.
 *
 * @module
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { speedupSeries } from "../reports/data/analysis.ts";
import { peerRows } from "../reports/data/peer_data.ts";
import { renderHtml } from "../reports/html/render_html.tsx";
import { chromium } from "../reports/site/_chromium.ts";
import {
  ABSENT,
  formatContext,
  formatInterval,
  formatRatio,
  formatSeconds,
} from "../reports/text/format.ts";
import { readResult } from "../suites/result/read_result.ts";
import type { Result } from "../suites/result/result_schema.ts";

const ROOT = new URL("..", import.meta.url);

/** Runs of the table: one card and driver, one stack, shapes of the paper. */
export const TABLE_RUNS = ["h100-dawn-peers.json", "h100-dawn-512k.json"] as const;

/** The run in the picture. */
export const PICTURE_RUN = "h200-default.json";

/** The picture, from the root. */
export const PICTURE = "docs/report.png";

/** Size of the picture in CSS pixels. */
const SIZE = { width: 1000, height: 820 };

/** Marks around the table. */
export const MARK = "<!-- results: deno task readme -->";

const read = (name: string) =>
  readResult(fileURLToPath(new URL(`fixtures/baselines/${name}`, ROOT)));

/**
 * The table of results: dense attention and Lighthouse (norm), forward, at each context. `n` is the
 * number of samples on the side that has fewer.
 */
export function resultsTable(results: readonly Result[]): string {
  const rows = results.flatMap((result) => {
    const peers = peerRows(result);
    const over = (peer: string, own: string) => {
      const found = peers.find((row) => row.peer === peer && row.ours?.id === own);
      if (found?.ratio == null) return ABSENT;
      // Without common rounds, a ratio of medians measured at different times is less reliable.
      return `${formatRatio(found.ratio.ratio)}${found.ratio.rounds ? "" : " †"}`;
    };
    // The first is the scorer of the paper's headline.
    const series = speedupSeries(result).find(({ direction }) => direction === "forward");
    return (series?.points ?? [])
      .map(({ context, ratio, low, high, numerator, denominator }) => ({
        context,
        cells: [
          formatContext(context),
          formatSeconds(numerator.statistic!.median),
          formatSeconds(denominator.statistic!.median),
          withEnds(formatRatio(ratio), formatInterval([low, high], formatRatio)),
          String(Math.min(numerator.statistic!.count, denominator.statistic!.count)),
          over("torch-fa2", numerator.id),
          over("lighthouse-cuda", denominator.id),
        ],
      }));
  });
  const head = [
    "context",
    "dense attention",
    "Lighthouse",
    "speed-up",
    "n",
    "FlashAttention-2 ÷ dense",
    "published CUDA ÷ Lighthouse",
  ];
  const lines = rows.toSorted((a, b) => a.context - b.context).map(({ cells }) => cells);
  return [head, head.map(() => "---:"), ...lines].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** A value with its interval, unless rounding makes the ends equal. */
function withEnds(value: string, ends: string): string {
  return value === ends ? value : `${value} (${ends})`;
}

/** The page with the table between its marks. */
export function withTable(page: string, table: string): string {
  const parts = page.split(MARK);
  if (parts.length !== 3) throw new Error(`README.md has ${parts.length - 1} result marks, not 2`);
  return [parts[0], `\n\n${table}\n\n`, parts[2]].join(MARK);
}

/** Takes the picture of the first screen of a report. */
async function takePicture(result: Result, path: string): Promise<void> {
  if (chromium === undefined) throw new Error("the picture needs Chromium; CHROMIUM names it");
  const folder = await Deno.makeTempDir();
  try {
    const page = `${folder}/report.html`;
    await Deno.writeTextFile(page, renderHtml([result]));
    const { success, stderr } = await new Deno.Command(chromium, {
      args: [
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        `--user-data-dir=${folder}/profile`,
        `--window-size=${SIZE.width},${SIZE.height}`,
        `--screenshot=${path}`,
        pathToFileURL(page).href,
      ],
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const readme = new URL("README.md", ROOT);
  const results = await Promise.all(TABLE_RUNS.map(read));
  const page = withTable(await Deno.readTextFile(readme), resultsTable(results));
  await Deno.writeTextFile(readme, page);
  const picture = fileURLToPath(new URL(PICTURE, ROOT));
  await takePicture(await read(PICTURE_RUN), picture);
  console.log(`Wrote README.md and ${PICTURE}, ${(await Deno.stat(picture)).size} bytes`);
}
