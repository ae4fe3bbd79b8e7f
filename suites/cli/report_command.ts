/**
 * `report RESULT… --out DIR`: renders result files again, as a page and as a markdown summary.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { EXIT } from "../errors.ts";
import type { Result } from "../result/result_schema.ts";
import { claimFolder, refuseOverwrite, replaceFile } from "../result/write_output.ts";
import { refuseTwins } from "../../reports/data/twins.ts";
import { renderHtml } from "../../reports/html/render_html.tsx";
import { renderMarkdown } from "../../reports/text/markdown.ts";
import { readResult } from "../result/read_result.ts";
import { newCommand, quietOption } from "./command.ts";
import { parseCommand } from "./parse_command.ts";

/** Folder for the report where `--out` names none. */
export const DEFAULT_OUT = "report";

/** Paths of the files that a report was written to. */
export interface WrittenReport {
  html: string;
  markdown: string;
}

/** The options of the command, unparsed. */
export function reportCommand() {
  return newCommand("report", {
    description: "Render result files again: one gives a report, several a comparison.",
    examples: [
      ["report out/result.json", "into the folder report"],
      ["report a.json b.json --out both", "two runs side by side"],
    ],
  })
    .argument("<result...>", "result files, as written by the bench; - is standard input")
    .optionsGroup("Output:")
    .option("-o, --out <dir>", "folder for report.html and summary.md", DEFAULT_OUT)
    .option("--force", "overwrite the files of an earlier report in that folder")
    .addOption(quietOption());
}

function reportPaths(folder: string): WrittenReport {
  return { html: `${folder}/report.html`, markdown: `${folder}/summary.md` };
}

/**
 * Writes `report.html` and `summary.md` for `results` into a folder that the caller has claimed,
 * each all or nothing. Files of these names are overwritten: a command asks before any work whether
 * it may.
 *
 * @throws {OutputError} when a file cannot be written.
 */
export async function writeReport(results: Result[], folder: string): Promise<WrittenReport> {
  const written = reportPaths(folder);
  const [html, markdown] = [renderHtml(results), renderMarkdown(results)];
  await replaceFile(written.html, html);
  await replaceFile(written.markdown, markdown);
  return written;
}

/**
 * Runs the command with the arguments after its name and returns the exit code.
 *
 * @throws errors with the exit code 2: bad usage, a file that is no result, two results of one run,
 * an output folder that cannot be written, or one that has a report without `--force`.
 */
export async function report(
  args: readonly string[],
  say: (line: string) => void = console.log,
): Promise<number> {
  const command = reportCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const { out, force, quiet } = command.opts();
  const check = () => refuseOverwrite(Object.values(reportPaths(out)), force === true);
  const claim = await claimFolder(out, { check });
  try {
    const results: { name: string; result: Result }[] = [];
    // One after the other: the first bad file is the one that is named.
    for (const name of command.processedArgs[0]) {
      results.push({ name, result: await readResult(name) });
    }
    refuseTwins(results);
    const { html, markdown } = await writeReport(results.map(({ result }) => result), out);
    if (!quiet) say(`Wrote ${plainText(html)}\nWrote ${plainText(markdown)}`);
    return EXIT.fine;
  } finally {
    await claim.release();
  }
}
