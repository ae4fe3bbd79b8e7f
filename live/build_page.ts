/**
 * Bundles the live page into one HTML file.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { describeTool, hashKernels } from "../suites/device/environment.ts";
import type { Result } from "../suites/result/result_schema.ts";
import { UsageError } from "../suites/errors.ts";
import { livePageHtml } from "./page_html.ts";
import { publishedDevices, readBaselines } from "./published.ts";

/** The page must stay below this, so that it opens on a phone's connection. */
export const PAGE_LIMIT_BYTES = 2.5e6;

/**
 * The whole page as HTML text.
 *
 * @param options.published results that a run in the page is set against. Default: the committed
 * baselines.
 * @param options.site the site that it lies in, as an address from it. Default: none.
 * @throws {UsageError} one line, when `deno bundle` fails; its first use downloads a bundler.
 */
export async function buildPage(
  { published, site = null }: { published?: readonly Result[]; site?: string | null } = {},
): Promise<string> {
  const { commit, dirty } = await describeTool();
  return livePageHtml({
    program: await bundle(),
    build: {
      version: manifest.version,
      commit,
      dirty,
      kernels: await hashKernels(),
      site,
      baselines: publishedDevices(published ?? await readBaselines()),
    },
  });
}

async function bundle(): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    const entry = new URL("./live.ts", import.meta.url);
    const { success, stderr } = await new Deno.Command("deno", {
      args: [
        ...["bundle", "--quiet", "--minify", "--platform", "browser", "--format", "iife"],
        ...["--output", file, entry.href],
      ],
      // Where the packages are named.
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { NO_COLOR: "1" },
      stderr: "piped",
    }).output();
    if (!success) {
      const [why] = new TextDecoder().decode(stderr).trim().split("\n");
      throw new UsageError(`bundle the page: ${why}`);
    }
    return await Deno.readTextFile(file);
  } finally {
    await Deno.remove(file);
  }
}
