/**
 * What all commands share: name, version, help, `--quiet`, and the values that a shell may
 * complete.
 *
 * @module
 */
import { Command, Help, Option } from "@commander-js/extra-typings";
import manifest from "../../deno.json" with { type: "json" };

/** Heading of the options that every command has. */
const COMMON_GROUP = "Other:";

/** What `--version` prints. */
export const VERSION = `Lighthouse Attention Bench ${manifest.version}`;

/**
 * A command that is run as `deno task NAME`.
 *
 * @param options.notes text of the help between options and examples.
 * @param options.examples command lines after `deno task`, each with a word on what it does.
 */
export function newCommand(
  name: string,
  { description, examples, notes = "" }: {
    description: string;
    notes?: string;
    examples: readonly (readonly [line: string, does: string])[];
  },
) {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, does]) => `  deno task ${line.padEnd(width)}  # ${does}`);
  // Commander takes it out again where there are no colours.
  const bold = (text: string) => `\u001b[1m${text}\u001b[0m`;
  const command = new Command(`deno task ${name}`)
    .description(description)
    .version(VERSION, "-V, --version", "print the version")
    .addHelpOption(new Option("-h, --help", "print this help").helpGroup(COMMON_GROUP))
    .addHelpText("after", `${notes && `${notes}\n`}\n${bold("Examples:")}\n${lines.join("\n")}`)
    .configureHelp({
      styleTitle: bold,
      helpWidth: helpWidth(),
      groupItems: (all, visible, groupOf) => {
        const groups = new Help().groupItems(all, visible, groupOf);
        const common = groups.get(COMMON_GROUP) ?? [];
        groups.delete(COMMON_GROUP);
        return groups.set(COMMON_GROUP, common);
      },
    });
  command.options[0].helpGroup(COMMON_GROUP);
  return command;
}

/** `-q`: `what` is what the command then leaves out. */
export function quietOption(what = "print errors only") {
  return new Option("-q, --quiet", what).helpGroup(COMMON_GROUP);
}

/** Columns for help: those of the terminal, within what reads well. */
function helpWidth(): number {
  try {
    return Math.min(100, Math.max(60, Deno.consoleSize().columns));
  } catch {
    return 80; // no terminal
  }
}

const known = new WeakMap<object, { names: readonly string[]; list: boolean }>();

/**
 * Says which names an option or an argument takes, for shells to complete; nothing else is refused.
 *
 * @param options.list whether several may be given, separated by commas.
 */
export function takesNames<T extends object>(
  option: T,
  names: readonly string[],
  { list = true }: { list?: boolean } = {},
): T {
  known.set(option, { names, list });
  return option;
}

/** What a shell completes after an option or as an argument. */
export interface Completed {
  readonly names: readonly string[];
  /** Whether several may be given, separated by commas. */
  readonly list: boolean;
  /** Whether it is a path. */
  readonly path: boolean;
}

/** What stands in angle or square brackets decides whether it is a path. */
const PATH = /<(file|folder|dir|result)(\.{3})?>|^(files|result|baseline|candidate)$/;

/** What a shell completes after an option. */
export function completedOption(
  option: { flags: string; argChoices?: readonly string[] },
): Completed {
  const { names, list } = known.get(option) ?? { names: option.argChoices ?? [], list: false };
  return { names, list, path: PATH.test(option.flags) };
}

/** What a shell completes as an argument. */
export function completedArgument(
  argument: { name(): string; argChoices?: readonly string[] },
): Completed {
  const names = argument.argChoices ?? known.get(argument)?.names ?? [];
  return { names, list: false, path: PATH.test(argument.name()) };
}
