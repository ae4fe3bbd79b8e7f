/**
 * The options of single suites, as each of them declares its own.
 *
 * @module
 */
import { joined } from "./layer_options.ts";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { UsageError } from "../errors.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import type { SuiteEntry, SuiteFlag } from "../suite.ts";

/** Names of suites, in the order in which a run measures them. */
export function suiteNames(suites: readonly SuiteEntry[]): string[] {
  return suites.map(({ record }) => record.name);
}

/**
 * Suites that a command line names; undefined where it names none.
 *
 * @throws {UsageError} one line, for a name that no suite has.
 */
export function chosenSuites(
  names: readonly string[],
  suites: readonly SuiteEntry[],
): string[] | undefined {
  const known = suiteNames(suites);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new UsageError(`suite ${name} is not one of ${known.join(", ")}`);
    }
  }
  return names.length > 0 ? [...new Set(names)] : undefined;
}

function flagsOf(suites: readonly SuiteEntry[]): (SuiteFlag & { readonly suite: string })[] {
  return suites.flatMap(({ record, flags = [] }) =>
    flags.map((flag) => ({ ...flag, suite: record.name }))
  );
}

/** What each suite measures, for the end of a command's help. */
export function describeSuites(suites: readonly SuiteEntry[]): string {
  const width = Math.max(...suiteNames(suites).map((name) => name.length));
  const lines = suites.map(({ record: { name, title } }) => `  ${name.padEnd(width)}  ${title}`);
  return `\nSuites:\n${lines.join("\n")}`;
}

/** Adds the options to a command, those of each suite in a group of its help. */
export function addSuiteOptions(command: unknown, suites: readonly SuiteEntry[]): void {
  const takes = command as {
    optionsGroup(heading: string): unknown;
    option(
      flags: string,
      description: string,
      parse: (text: string, before: unknown) => unknown,
    ): unknown;
  };
  for (const { suite, flag, value, help, parse } of flagsOf(suites)) {
    takes.optionsGroup(`Suite ${suite}:`);
    const parseValue = (text: string): unknown => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new InvalidArgumentError(error.message);
      }
    };
    const parser = value === "<list>"
      ? joined((text) => parseValue(text) as unknown[])
      : parseValue;
    takes.option(`--${flag} ${value}`, help, parser);
  }
}

/** What the options of a parsed command chose, as a plan takes it. */
export function chosenSettings(
  command: { opts: () => unknown },
  suites: readonly SuiteEntry[],
): Pick<PlanOptions, "settings"> {
  const given = command.opts() as Readonly<Record<string, unknown>>;
  const settings: Record<string, Record<string, unknown>> = {};
  for (const { suite, name, flag } of flagsOf(suites)) {
    const value = given[attributeName(flag)];
    if (value !== undefined) (settings[suite] ??= {})[name] = value;
  }
  return Object.keys(settings).length > 0 ? { settings } : {};
}

/** What commander calls an option. */
export function attributeName(flag: string): string {
  return flag.replace(/^--/, "").replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
