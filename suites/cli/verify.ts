/**
 * `verify`: correctness only, one line for each check.
 *
 * @module
 */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { paintVerdict } from "../../reports/text/verdict_color.ts";
import { EXIT } from "../errors.ts";
import { readGolden } from "../check/golden.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { openStack } from "../device/open_stack.ts";
import { applyTuning } from "../device/tuning_file.ts";
import { DEFAULT_VERIFY_SEED, formatCheck, verify } from "../correctness/verify.ts";
import { useColor } from "./color.ts";
import { runCommand } from "./errors.ts";
import { nameList, tuningOption } from "./layer_options.ts";
import { newCommand, quietOption } from "./command.ts";
import { parseCommand } from "./parse_command.ts";
import { noInstallOption, stackOption } from "./device_options.ts";
import { untilStopped } from "./stop.ts";

/** Largest seed: inputs and random shapes take seeds from there on. */
const MAX_SEED = 2 ** 31;

/** Runs the command and returns its exit code. */
export async function verifyCommand(args: readonly string[]): Promise<number> {
  const command = verifyOptions();
  if (!parseCommand(command, args)) return EXIT.fine;
  const given = command.opts();
  const named = given.implementation as string[] | undefined;
  const quiet = given.quiet === true;
  const color = useColor(Deno.stdout);
  const say = (line: string) => quiet || console.error(line);
  const print = (line: string) => quiet || console.log(line);
  // A folder that cannot be used is found out before anything is installed or opened.
  const golden = await readGolden(given.golden);
  provideRuntimeDir();
  if (given.stack !== "dawn") {
    await ensureDriver({ install: given.install, say });
  }
  const opened = await openStack({ stack: given.stack, say });
  const { gpu, lines } = await applyTuning(opened.gpu, given);
  print(
    `Verifying on ${gpu.adapter.description || gpu.adapter.vendor} (stack ${gpu.stack}, ` +
      `seed ${given.seed})`,
  );
  for (const line of [opened.line ?? [], lines].flat()) print(line);
  const started = performance.now();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const exitCode = await untilStopped(async (signal) => {
    try {
      const summary = await verify(gpu, {
        golden,
        quick: given.quick === true,
        seed: given.seed,
        registry: IMPLEMENTATIONS.filter(({ name }) => named?.includes(name) ?? true),
        onCheck: (check) => {
          counts[check.status]++;
          if (quiet && check.status !== "failed") return;
          const line = formatCheck(check);
          console.log(color ? line.replace(/^\S+/, paintVerdict) : line);
        },
        signal,
      });
      return summary.exitCode;
    } catch (error) {
      if (!signal.aborted) throw error;
      console.error("verify: stopped before its end");
      return counts.failed > 0 ? EXIT.failed : EXIT.inconclusive;
    }
  });
  const seconds = ((performance.now() - started) / 1e3).toFixed(1);
  const { passed, failed, skipped } = counts;
  print(`\n${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s`);
  return exitCode;
}

/** The options of the command, unparsed. */
export function verifyOptions() {
  return newCommand("verify", {
    description: "Check every kernel on this machine: golden vectors, float64, determinism.",
    examples: [
      ["verify --quick", "fewer shapes and golden cases"],
      ["verify --implementation nsa", "one implementation"],
      ["verify --stack dawn", "the kernels that use matrix units"],
      ["verify --quiet", "failed checks only"],
    ],
  })
    .optionsGroup("What to check:")
    .option("--quick", "fewer shapes and golden cases")
    .addOption(
      nameList(
        "--implementation <list>",
        "implementations to check; default: all",
        IMPLEMENTATIONS.map(({ name }) => name),
      ),
    )
    .option("--golden <dir>", "another folder of golden vectors; default: fixtures/golden")
    .option("--seed <number>", "seed of random shapes and inputs", parseSeed, DEFAULT_VERIFY_SEED)
    .optionsGroup("How to check:")
    .addOption(stackOption())
    .addOption(tuningOption())
    .addOption(noInstallOption())
    .addOption(quietOption("print failed checks and errors only"));
}

function parseSeed(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > MAX_SEED) {
    throw new InvalidArgumentError(`"${text}" is not a whole number from 0 to ${MAX_SEED}.`);
  }
  return value;
}

if (import.meta.main) await runCommand("verify", () => verifyCommand(Deno.args));
