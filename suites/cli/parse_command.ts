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
  readonly options?: readonly CommandOption[];
  readonly registeredArguments?: readonly { name(): string; variadic: boolean }[];
  readonly args?: readonly string[];
  opts?: () => object;
  on?: (event: string, listener: (value?: string | null) => void) => unknown;
}

/** The part of a Commander option that parsing needs. */
interface CommandOption {
  readonly long?: string;
  readonly flags: string;
  readonly variadic: boolean;
  /** Whether it says no to what another option says yes to. */
  readonly negate: boolean;
  readonly parseArg?: object;
  name(): string;
  attributeName(): string;
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
  const given = watchOptions(command);
  try {
    command.parse([...args], { from: "user" });
    refuseEmpty(command);
    refuseRepeated(given);
    return true;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return false;
    const text = (complaint || error.message).trim().replace(/^error: /, "");
    throw new UsageError(plainComplaint(text.replace(/\s*\n\s*/g, " ")), { cause: error });
  }
}

/** Options in the order in which they are met, each with its value as it was typed. */
function watchOptions(command: Parsable): { option: CommandOption; value?: string }[] {
  const given: { option: CommandOption; value?: string }[] = [];
  for (const option of command.options ?? []) {
    command.on?.(`option:${option.name()}`, (value) => {
      given.push({ option, ...(typeof value === "string" && { value }) });
    });
  }
  return given;
}

/**
 * Of an option that is given twice the last value alone would count, and the first be lost without a
 * word. Those that may be given several times collect their values.
 */
function refuseRepeated(given: readonly { option: CommandOption; value?: string }[]): void {
  const first = new Map<string, { option: CommandOption; value?: string }>();
  for (const { option, value } of given) {
    if (option.variadic || option.parseArg && collecting.has(option.parseArg)) continue;
    const name = option.attributeName();
    const before = first.get(name);
    if (before === undefined) {
      first.set(name, { option, value });
      continue;
    }
    if (before.option.negate !== option.negate) {
      throw new UsageError(`${before.option.long} and ${option.long} exclude each other`);
    }
    if (before.value === value) continue;
    throw new UsageError(`${option.long} is given twice, as ${before.value} and as ${value}`);
  }
}

const collecting = new WeakSet<object>();

/** Says that an option with this parser may be given several times, each of which counts. */
export function takesSeveral<T extends object>(parser: T): T {
  collecting.add(parser);
  return parser;
}

/** An empty value names nothing: it would be the current folder to some commands, and no file to others. */
function refuseEmpty(command: Parsable): void {
  const given: Record<string, unknown> = { ...command.opts?.() };
  for (const option of command.options ?? []) {
    if (![given[option.attributeName()]].flat().includes("")) continue;
    const { path } = completedOption(option);
    const what = path
      ? `the name of a ${/<(folder|dir)/.test(option.flags) ? "folder" : "file"}`
      : /<.*>|\[.*\]/.exec(option.flags)?.[0] ?? "a value";
    throw new UsageError(`${option.long} is empty: it takes ${what}`);
  }
  const empty = command.args?.indexOf("") ?? -1;
  if (empty < 0) return;
  const all = command.registeredArguments ?? [];
  throw new UsageError(`argument ${(all[empty] ?? all.at(-1))?.name() ?? empty + 1} is empty`);
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
    if (found.test(text)) {
      return text.replace(found, words).replace(/^([\w-]+) {2}is not/, '$1 "" is not');
    }
  }
  return text;
}
