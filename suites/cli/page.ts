/**
 * `page`: the live page, which measures in a browser, as one file that any static host serves.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { buildPage } from "../../live/build_page.ts";
import { formatBytes } from "../../reports/text/format.ts";
import { EXIT } from "../errors.ts";
import { claimFolder, refuseOverwrite, replaceFile } from "../result/write_output.ts";
import { newCommand, quietOption } from "./command.ts";
import { runCommand } from "./errors.ts";
import { parseCommand } from "./parse_command.ts";

/** Folder for the page where `--out` names none. */
const DEFAULT_OUT = "out/page";

/** The options of the command, unparsed. */
export function pageCommand() {
  return newCommand("page", {
    description: "Bundle the live page: the benchmark in a browser, without a server.",
    examples: [
      ["page", "then open out/page/index.html"],
      ["page --out public --force", "into a folder that is published, again"],
    ],
  })
    .optionsGroup("Output:")
    .option("-o, --out <dir>", "folder for index.html", DEFAULT_OUT)
    .option("--force", "overwrite the page that is there")
    .addOption(quietOption());
}

/** Runs the command and returns its exit code. */
export async function page(
  args: readonly string[],
  say: (line: string) => void = console.log,
): Promise<number> {
  const command = pageCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const { out, force, quiet } = command.opts();
  const path = `${out}/index.html`;
  const check = () => refuseOverwrite([path], force === true);
  const claim = await claimFolder(out, { check });
  try {
    const html = await buildPage();
    await replaceFile(path, html);
    if (!quiet) {
      say(`Wrote ${plainText(path)}: ${formatBytes(new TextEncoder().encode(html).length)}`);
    }
    return EXIT.fine;
  } finally {
    await claim.release();
  }
}

if (import.meta.main) await runCommand("page", () => page(Deno.args));
