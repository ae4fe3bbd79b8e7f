/**
 * `train EXPERIMENT`: trains the arms of an experiment with every seed and evaluates them.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { Argument, InvalidArgumentError } from "@commander-js/extra-typings";
import { formatPlural } from "../../reports/text/format.ts";
import { renderExperiment } from "../../reports/text/experiment_text.ts";
import { describeEnvironment, describeTool, hashKernels } from "../device/environment.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { openStack } from "../device/open_stack.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { EXIT, UsageError } from "../errors.ts";
import { readCorpus } from "../experiments/corpus.ts";
import { EXPERIMENT_NAMES, loadExperiment } from "../experiments/experiment.ts";
import {
  type ExperimentHost,
  type ExperimentRunOptions,
  planExperiment,
  runExperiment,
} from "../experiments/run_experiment.ts";
import { keptWeights } from "../experiments/kept_weights.ts";
import { chooseUnits } from "../experiments/units.ts";
import { asOutputError } from "../result/file_errors.ts";
import { parseShard } from "../plan/shard.ts";
import { readPartial, RESULT_FILE, ResultStore } from "../result/result_store.ts";
import type { Result } from "../result/result_schema.ts";
import type { FolderClaim } from "../result/write_output.ts";
import { exitCodeOf } from "../run/exit_code.ts";
import { checkpointFile } from "./checkpoint_file.ts";
import { terminalWidth } from "./color.ts";
import { newCommand, quietOption, takesNames } from "./command.ts";
import { noInstallOption, stackOption } from "./device_options.ts";
import { runCommand } from "./errors.ts";
import { joined, parseCounts, parseSeconds } from "./layer_options.ts";
import { parseCommand } from "./parse_command.ts";
import { writeReport } from "./report_command.ts";
import { chooseFolder, DEFAULT_OUT } from "./run_folder.ts";
import { stderrStream } from "./progress.ts";
import { untilStopped } from "./stop.ts";
import { TrainingDisplay } from "./training_display.ts";

type ParsedTrain = ReturnType<typeof trainCommand>;

/** What a command line asks for. */
interface TrainOptions extends ExperimentRunOptions {
  readonly stack: ReturnType<ParsedTrain["opts"]>["stack"];
  /** Arms whose weights are kept. */
  readonly weights: readonly string[];
}

/** Runs the command and returns its exit code. */
export async function train(args: readonly string[]): Promise<number> {
  const asked = trainCommand();
  if (!parseCommand(asked, args)) return EXIT.fine;
  const given = asked.opts();
  const resume = given.resume === true;
  const [named] = asked.processedArgs;
  if (named === undefined && !resume) {
    throw new UsageError(`name an experiment: ${EXPERIMENT_NAMES.join(", ")}, or a file`);
  }
  const claimed = await chooseFolder({ out: given.out, force: given.force, resume });
  try {
    const words = named === undefined ? await recordedWords(claimed.folder, given.corpus) : args;
    const command = trainCommand();
    if (!parseCommand(command, words)) return EXIT.fine;
    const options = await describeRun(command, ["deno", "task", "train", ...words]);
    return await untilStopped((signal) => trainInto(claimed, { given, options, signal }), {
      say: () => {
        if (!given.quiet) {
          console.error("\nstopping after the step in flight; a checkpoint is kept");
        }
      },
    });
  } finally {
    await claimed.release();
  }
}

/** The options of the command, unparsed. */
export function trainCommand() {
  return newCommand("train", {
    description: "Train small models with dense and Lighthouse attention, and compare them.",
    notes: "Experiments say beforehand what they ask and how they\nconclude: fixtures/experiments.",
    examples: [
      ["train smoke", "everything once, in a minute"],
      ["train needle --seeds 1-2", "all primary arms, two seeds"],
      ["train two-stage --corpus books.txt", "on text of your own"],
      ["train --resume", "continue the newest run"],
    ],
  })
    .addArgument(
      takesNames(
        new Argument("[experiment]", `${EXPERIMENT_NAMES.join(", ")}, or a file of the same form`),
        EXPERIMENT_NAMES,
        { list: false },
      ),
    )
    .optionsGroup("What to train:")
    .option("--arms <list>", "arms by name; default: the primary ones", joined(parseNameList))
    .option("--seeds <list>", "seeds, such as 1,2 or 1-3; default: all", joined(parseSeeds))
    .option("--corpus <path>", "text of a file or folder instead of the synthetic language")
    .optionsGroup("How to train:")
    .addOption(stackOption())
    .option("--budget <seconds>", "start no arm that would not end within this time", parseSeconds)
    .option("--shard <i/n>", "train part i of n; merge joins the parts", parseShard)
    .option("--resume", "continue the run in the output folder, or the newest one")
    .addOption(noInstallOption())
    .optionsGroup("Output:")
    .option(
      "--out <folder>",
      `folder for result.json, report.html, summary.md; default: ${DEFAULT_OUT}, then ` +
        `${DEFAULT_OUT}/run-2, …`,
    )
    .option(
      "--weights <list>",
      "arms whose model of the first seed is kept, for bench retrieval --checkpoint",
      joined(parseNameList),
    )
    .option("--force", "overwrite the files of an earlier run in that folder")
    .addOption(quietOption());
}

/**
 * The words after `deno task train` of the run in a folder. A result alone does not make this open
 * a file.
 */
async function recordedWords(folder: string, corpus: string | undefined): Promise<string[]> {
  const { command } = await readPartial(`${folder}/${RESULT_FILE}`);
  if (command.slice(0, 3).join(" ") !== "deno task train") {
    throw new UsageError(`resume ${folder}: the run there is not one of train`);
  }
  const words = command.slice(3);
  const then = trainCommand();
  if (!parseCommand(then, words)) {
    throw new UsageError(`resume ${folder}: its command asks for help`);
  }
  if (then.opts().corpus === corpus) return words;
  throw new UsageError(
    `resume ${folder}: the run took ${
      then.opts().corpus === undefined ? "no corpus" : `--corpus ${then.opts().corpus}`
    }; name the same`,
  );
}

/** Reads the experiment and the corpus, before anything is opened. */
async function describeRun(
  command: ParsedTrain,
  line: readonly string[],
): Promise<TrainOptions> {
  const { arms, seeds, corpus: path, shard, budget, stack, weights = [] } = command.opts();
  const [named] = command.processedArgs;
  const loaded = await loadExperiment(named ?? "");
  const { experiment } = loaded;
  const trained = chooseUnits(experiment, { arms, seeds }).map(({ arm }) => arm.name);
  for (const name of weights) {
    if (!trained.includes(name)) {
      throw new UsageError(
        `--weights ${name} is not one of the arms ${[...new Set(trained)].join(", ")}`,
      );
    }
  }
  const corpus = path === undefined
    ? undefined
    : await readCorpus(path, { context: experiment.model.context });
  return {
    loaded,
    ...(arms && { arms }),
    ...(seeds && { seeds }),
    ...(corpus && { corpus }),
    ...(shard && { shard }),
    ...(budget !== undefined && { budgetSeconds: budget }),
    command: line,
    stack,
    weights,
  };
}

/** Trains, writes the result and its report, prints, and returns the exit code. */
async function trainInto(
  claimed: FolderClaim,
  { given, options, signal }: {
    given: ReturnType<ParsedTrain["opts"]>;
    options: TrainOptions;
    signal: AbortSignal;
  },
): Promise<number> {
  const { folder } = claimed;
  const say = (line: string) => given.quiet || console.error(line);
  provideRuntimeDir();
  if (options.stack !== "dawn") await ensureDriver({ install: given.install, say });
  const store = await ResultStore.open(folder, { claimed });
  const { gpu, choice, line } = await openStack({ stack: options.stack, say });
  if (line) say(line);
  const display = given.quiet ? undefined : new TrainingDisplay(stderrStream());
  const checkpoints = checkpointFile(folder);
  const kept: string[] = [];
  let result: Result;
  try {
    const host: ExperimentHost = {
      gpu,
      stackChoice: choice,
      tool: await describeTool(),
      environment: await describeEnvironment(gpu),
      wgsl: await hashKernels() ?? "unknown",
    };
    let planned = await planExperiment(options, host);
    for (const deviation of planned.result.experiment!.registration.deviations) {
      say(`differs from what was registered: ${deviation}`);
    }
    if (given.resume) {
      const { hashes, environment, seed } = planned.result;
      const { plan, wgsl } = hashes;
      const { fingerprint } = environment;
      const earlier = await store.resume({ plan, wgsl, fingerprint, seed });
      planned = { ...planned, result: { ...earlier, finishedAt: null } };
    } else await checkpoints.remove();
    result = await runExperiment(planned, options, {
      host,
      hooks: {
        signal,
        checkpoints,
        onTrained: async (unit, model) => {
          const file = await keptWeights(unit, { model, options });
          if (!file) return;
          const path = `${folder}/${unit.arm.name}-seed-${unit.seed}.safetensors`;
          await writeKept(path, file);
          kept.push(path);
        },
        onProgress: (progress) => display?.show(progress),
        onResult: async (now, record) => {
          if (record) display?.finished(record, now);
          await store.save(now);
        },
      },
    });
  } finally {
    display?.end();
    gpu.destroy();
  }
  const written = await writeReport([result], folder);
  if (!given.quiet) {
    console.log(renderExperiment(result, { width: terminalWidth(Deno.stdout) }));
    console.log(
      plainText(`Wrote ${[store.path, written.html, written.markdown, ...kept].join(", ")}`),
    );
    for (const path of kept) {
      console.log(`Test its answers: deno task bench retrieval --checkpoint ${path}`);
    }
  }
  return explain(result, folder);
}

async function writeKept(path: string, file: Uint8Array): Promise<void> {
  try {
    await Deno.writeFile(path, file);
  } catch (error) {
    throw asOutputError(path, error);
  }
}

/** The exit code, with one line on stderr where it is not 0. */
function explain(result: Result, folder: string): number {
  const { check, units } = result.experiment!;
  if (check && !check.passed) {
    console.error(
      `train: the evaluation differs from float64 by ${check.maxError.toPrecision(3)} nats, ` +
        `rounding explains ${check.tolerance.toPrecision(3)}`,
    );
    return EXIT.failed;
  }
  const code = exitCodeOf(result);
  const failed = result.cases.find(({ status }) => status === "failed");
  if (failed) console.error(`train: failed: ${failed.id}: ${failed.reason}`);
  else if (code === EXIT.inconclusive) {
    console.error(
      `train: stopped with ${formatPlural(units.length, "unit")} finished; continue with ` +
        `deno task train --resume --out ${folder}`,
    );
  }
  return code;
}

function parseNameList(text: string): string[] {
  return text.split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/** `1,3` or `1-3`. */
function parseSeeds(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const range = /^\s*(\d+)\s*-\s*(\d+)\s*$/.exec(part);
    if (!range) return parseCounts(part);
    const [from, to] = [Number(range[1]), Number(range[2])];
    if (from > to) {
      throw new InvalidArgumentError(
        `"${part.trim()}" is not from a seed to a later one, like 1-3.`,
      );
    }
    // No experiment has as many: the first that it does not have is named.
    return Array.from({ length: Math.min(1000, to - from + 1) }, (_, i) => from + i);
  });
}

if (import.meta.main) await runCommand("train", () => train(Deno.args));
