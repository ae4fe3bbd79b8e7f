/**
 * `report RESULT… --out DIR`: renders result files again, as a page and as a markdown summary.
 *
 * @module
 */
import { Command, CommanderError } from "@commander-js/extra-typings";
import { OutputError } from "../errors.ts";
import type { Result } from "../result/result_schema.ts";
import { refuseOverwrite } from "../result/write_output.ts";
import { plainText } from "../../reports/text/format.ts";
import { renderHtml } from "../../reports/html/render_html.tsx";
import { renderMarkdown } from "../../reports/text/markdown.ts";
import { readResult, ResultFileError } from "../result/read_result.ts";

/** Folder for the report where `--out` names none. */
export const DEFAULT_OUT = "report";

/** Paths of the files that a report was written to. */
export interface WrittenReport {
  html: string;
  markdown: string;
}

/** Output of a command, so that tests can read it. */
export interface CommandStreams {
  out: (text: string) => void;
  err: (text: string) => void;
}

/** A folder or file that cannot be written, in one line. */
export class ReportWriteError extends Error {
  override name = "ReportWriteError";
  /** What a command line tool exits with: bad usage or bad file. */
  readonly exitCode = 2;

  constructor(path: string, error: unknown) {
    super(`cannot write ${plainText(path)}: ${writeFailure(error)}`, { cause: error });
  }
}

function reportPaths(folder: string): WrittenReport {
  return { html: `${folder}/report.html`, markdown: `${folder}/summary.md` };
}

/**
 * Writes `report.html` and `summary.md` for `results` into `folder`, which is made where missing.
 * Files of these names are overwritten: a command asks before any work whether it may.
 *
 * @throws {ReportWriteError} when the folder or a file cannot be written.
 */
export async function writeReport(results: Result[], folder: string): Promise<WrittenReport> {
  const written = reportPaths(folder);
  const files: [string, string][] = [
    [written.html, renderHtml(results)],
    [written.markdown, renderMarkdown(results)],
  ];
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw new ReportWriteError(folder, error);
  }
  for (const [path, text] of files) {
    try {
      await Deno.writeTextFile(path, text);
    } catch (error) {
      throw new ReportWriteError(path, error);
    }
  }
  return written;
}

/**
 * Runs the command with the arguments after its name and returns the exit code: 0, or 2 for bad
 * usage, a file that is no result, an output folder that cannot be written, or one that has a report
 * without `--force`.
 */
export async function runReportCommand(
  args: readonly string[],
  streams: CommandStreams = CONSOLE,
): Promise<number> {
  const command = new Command("report")
    .description("Render result files again: one gives a report, several a comparison.")
    .argument("<result...>", "result files, as written by the bench")
    .option("-o, --out <dir>", "folder for report.html and summary.md", DEFAULT_OUT)
    .option("--force", "overwrite the files of an earlier report in that folder")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.out(text.trimEnd()),
      writeErr: (text) => streams.err(text.trimEnd()),
      // Commander would read environment variables, for which this command has no permission.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  try {
    command.parse([...args], { from: "user" });
    const { out, force } = command.opts();
    await refuseOverwrite(Object.values(reportPaths(out)), force === true);
    const results: Result[] = [];
    // One after the other: the first bad file is the one that is named.
    for (const path of command.processedArgs[0]) results.push(await readResult(path));
    const { html, markdown } = await writeReport(results, out);
    streams.out(`Wrote ${html}\nWrote ${markdown}`);
    return 0;
  } catch (error) {
    // Commander has said what is wrong by itself; help and version exit with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (
      error instanceof ResultFileError || error instanceof ReportWriteError ||
      error instanceof OutputError
    ) {
      streams.err(`error: ${error.message}`);
      return error.exitCode;
    }
    throw error;
  }
}

const CONSOLE: CommandStreams = {
  out: (text) => console.log(text),
  err: (text) => console.error(text),
};

function writeFailure(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return "no permission to write there";
  }
  if (error instanceof Deno.errors.AlreadyExists) return "a file of that name is in the way";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is a file";
  if (error instanceof Deno.errors.IsADirectory) return "a folder of that name is in the way";
  return plainText(error instanceof Error ? error.message : String(error));
}
