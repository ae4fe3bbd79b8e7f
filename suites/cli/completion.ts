/**
 * `completion SHELL`: prints a completion script for bash, zsh or fish.
 *
 * @module
 */
import { Argument } from "@commander-js/extra-typings";
import manifest from "../../deno.json" with { type: "json" };
import { EXIT } from "../errors.ts";
import { benchCommand } from "./bench.ts";
import { newCommand, quietOption } from "./command.ts";
import {
  type CompletedCommand,
  type CompletedCommands,
  completionScript,
  SHELLS,
} from "./completion_scripts.ts";
import { doctorOptions } from "./doctor.ts";
import { runCommand } from "./errors.ts";
import { gateCommand } from "./gate.ts";
import { mergeCommand } from "./merge.ts";
import { parseCommand } from "./parse_command.ts";
import { replayCommand } from "./replay.ts";
import { reportCommand } from "./report_command.ts";
import { pageCommand } from "./page.ts";
import { siteCommand } from "./site.ts";
import { trainCommand } from "./train.ts";
import { tuneOptions } from "./tune.ts";
import { verifyOptions } from "./verify.ts";

/** Commands of people, each by the name of its task; each call makes new ones. */
export const COMMANDS: Readonly<Record<string, () => CompletedCommand>> = {
  bench: benchCommand,
  verify: verifyOptions,
  doctor: doctorOptions,
  report: reportCommand,
  gate: gateCommand,
  site: siteCommand,
  page: pageCommand,
  replay: replayCommand,
  merge: mergeCommand,
  tune: tuneOptions,
  train: trainCommand,
  completion: completionCommand,
};

/** All commands with the description of their task. */
export function completedCommands(): CompletedCommands {
  const tasks: Readonly<Record<string, { description: string }>> = manifest.tasks;
  return Object.fromEntries(
    Object.entries(COMMANDS).map(([name, make]) =>
      [name, { description: tasks[name].description, command: make() }] as const
    ),
  );
}

/** The options of the command, unparsed. */
export function completionCommand() {
  return newCommand("completion", {
    description: "Print a script that lets a shell complete `deno task` in this project.",
    examples: [
      ["-q completion bash", 'bash: eval "$(…)" in ~/.bashrc'],
      ["-q completion zsh", 'zsh: eval "$(…)" in ~/.zshrc, after compinit'],
      ["-q completion fish", "fish: … | source in config.fish"],
    ],
  })
    .addArgument(new Argument("<shell>", "whose script").choices(SHELLS))
    .addOption(quietOption("print no hint on how to load the script"));
}

/** How a shell loads its script. */
const LOADED_BY = {
  bash: 'eval "$(deno task -q completion bash)"',
  zsh: 'eval "$(deno task -q completion zsh)"',
  fish: "deno task -q completion fish | source",
} as const;

/** Runs the command and returns its exit code. */
export function completion(
  args: readonly string[],
  say: (text: string) => void = console.log,
): number {
  const command = completionCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const [shell] = command.processedArgs;
  say(completionScript(shell, completedCommands()).trimEnd());
  if (Deno.stdout.isTerminal() && !command.opts().quiet) {
    console.error(`\nLoad it with: ${LOADED_BY[shell]}`);
  }
  return EXIT.fine;
}

if (import.meta.main) {
  await runCommand("completion", () => Promise.resolve().then(() => completion(Deno.args)));
}
