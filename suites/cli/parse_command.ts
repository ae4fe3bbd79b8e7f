/**
 * Reading a command line with Commander so that whatever is wrong comes out as one line.
 *
 * @module
 */
import { CommanderError } from "@commander-js/extra-typings";
import { UsageError } from "../errors.ts";
import { useColor } from "./color.ts";
import { completedOption } from "./command.ts";

/** The part of a Commander command that parsing needs. */
interface Parsable {
  exitOverride: () => unknown;
  configureOutput: (output: {
    writeOut?: (text: string) => void;
    writeErr?: (text: string) => void;
    getOutHasColors?: () => boolean;
    getErrHasColors?: () => boolean;
  }) => unknown;
  parse: (args: readonly string[], options: { from: "user" }) => unknown;
  readonly options?: readonly { long?: string; flags: string; attributeName(): string }[];
  opts?: () => object;
}

/**
 * Parses the arguments after the command's name.
 *
 * @returns false when help or the version was asked for and printed.
 * @throws {UsageError} one line, for anything that cannot be used.
 */
export function parseCommand(command: Parsable, args: readonly string[]): boolean {
  let complaint = "";
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => console.log(text.trimEnd()),
    writeErr: (text) => complaint += text,
    // Commander would read environment variables, for which there may be no permission.
    getOutHasColors: () => useColor(Deno.stdout),
    getErrHasColors: () => false,
  });
  try {
    command.parse([...args], { from: "user" });
    refuseEmptyPaths(command);
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    const text = (complaint || error.message).trim().replace(/^error: /, "");
    throw new UsageError(plainComplaint(text.replace(/\s*\n\s*/g, " ")), { cause: error });
  }
}

/** An empty name would be the current folder to some commands, and no file to others. */
function refuseEmptyPaths(command: Parsable): void {
  const given: Record<string, unknown> = { ...command.opts?.() };
  for (const option of command.options ?? []) {
    const { path } = completedOption(option);
    const value = given[option.attributeName()];
    if (!path || ![value].flat().includes("")) continue;
    const what = /<(folder|dir)/.test(option.flags) ? "folder" : "file";
    throw new UsageError(`${option.long} is empty: it takes the name of a ${what}`);
  }
}

/** A complaint of Commander in fewer words: the option, the value, and what it must be. */
function plainComplaint(text: string): string {
  const option = "option '(?:-\\w, )?(--[\\w-]+)[^']*'";
  const rules: readonly [string, string][] = [
    [
      `^${option} argument '(.*)' is invalid\\. Allowed choices are (.*)\\.$`,
      "$1 $2 is not one of $3",
    ],
    [`^${option} argument '.*?' is invalid\\. (.*?)\\.?$`, "$1: $2"],
    [`^${option} argument missing$`, "$1 needs a value"],
    [`^required ${option} not specified$`, "$1 is required"],
    [
      "^command-argument value '(.*)' is invalid for argument '(.*)'\\. Allowed choices are (.*)\\.$",
      "$2 $1 is not one of $3",
    ],
    [
      "^too many arguments\\. Expected (\\d+) arguments? but got \\d+: (.*)\\.$",
      "too many arguments: $2; expected $1",
    ],
    ["^missing required argument '(.*)'$", "argument $1 is required"],
  ];
  for (const [pattern, words] of rules) {
    const found = new RegExp(pattern);
    if (found.test(text)) return text.replace(found, words);
  }
  return text;
}
