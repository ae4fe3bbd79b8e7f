/**
 * `site RESULT… --out DIR`: a static site of many runs.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { buildPage } from "../../live/build_page.ts";
import { formatBytes, formatPlural } from "../../reports/text/format.ts";
import { readResult } from "../result/read_result.ts";
import type { NamedResult } from "../../reports/data/twins.ts";
import { countDevices, MOST_RUNS, planSite } from "../../reports/site/runs.ts";
import { openPreviewRenderer } from "../../reports/site/preview.tsx";
import { readDocs } from "../../reports/site/doc_files.ts";
import { siteFiles } from "../../reports/site/site_files.tsx";
import { refuseFolder, writeSite } from "../../reports/site/write_site.ts";
import { EXIT, UsageError } from "../errors.ts";
import { claimFolder } from "../result/write_output.ts";
import { apiPages } from "./api_pages.ts";
import { runCommand } from "./errors.ts";
import { newCommand, quietOption } from "./command.ts";
import { parseCommand } from "./parse_command.ts";

/** Runs the command and returns its exit code. */
export async function site(
  args: readonly string[],
  say: (line: string) => void = console.log,
): Promise<number> {
  const command = siteCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const { out, force, url, api, live, quiet } = command.opts();
  const paths = command.processedArgs[0];
  if (paths.length > MOST_RUNS) {
    throw new UsageError(`${paths.length} results given, the limit is ${MOST_RUNS}`);
  }
  const claim = await claimFolder(out, { check: () => refuseFolder(out, force === true) });
  try {
    const results: NamedResult[] = [];
    // One after the other: the first bad file is the one that is named.
    for (const name of paths) results.push({ name, result: await readResult(name) });
    const plan = planSite(results);
    const documentation = api ? await apiPages() : [];
    const measured = results.map(({ result }) => result);
    const page = live
      ? [{
        path: "live/index.html",
        text: await buildPage({ published: measured, site: "../index.html" }),
      }]
      : [];
    const docs = await readDocs(new URL("../../", import.meta.url));
    // A picture needs an absolute address.
    const preview = url === undefined ? undefined : await openPreviewRenderer();
    const pages = chain(documentation, page, siteFiles(plan, { url, api, live, docs, preview }));
    const { files, bytes, removed } = await writeSite(pages, out);
    if (quiet) return EXIT.fine;
    say(
      `Wrote ${plainText(out)}/index.html: ${formatPlural(plan.runs.length, "run")}, ` +
        `${countDevices(plan.devices)}, ${formatPlural(files, "file")}, ` +
        formatBytes(bytes) +
        (api ? `, the package's documentation in ${out}/api/index.html` : "") +
        (removed > 0 ? `; removed ${formatPlural(removed, "page")} of an earlier build` : ""),
    );
    return EXIT.fine;
  } finally {
    await claim.release();
  }
}

function* chain<T>(...parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part;
}

/** The options of the command, unparsed. */
export function siteCommand() {
  return newCommand("site", {
    description: "Write a static site of many runs; it needs no server and makes no request.",
    examples: [
      ["site out/result.json --out site", "one run"],
      ["site fixtures/baselines/*.json --out site --force", "many, again"],
    ],
  })
    .argument("<result...>", "result files, as written by the bench")
    .optionsGroup("Output:")
    .requiredOption("-o, --out <dir>", "folder of the site; missing or empty")
    .option(
      "--force",
      "overwrite the site that is there, and remove its pages that are no longer needed",
    )
    .option(
      "--url <address>",
      "where the site will be published, for links in feed.json and pictures of link previews",
      parseUrl,
    )
    .option("--api", "also the documentation of the package, below api/")
    .option("--live", "also the page that measures in the visitor's browser, below live/")
    .addOption(quietOption());
}

function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError(`"${text}" is not an http or https address.`);
  }
  url.search = "";
  url.hash = "";
  return url.href;
}

if (import.meta.main) await runCommand("site", () => site(Deno.args));
