/**
 * `replay RESULT`: runs a result's command again and says what came out differently.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import type { GateReport } from "../../reports/gate/gate_report.ts";
import { type GateLook, renderGateText } from "../../reports/gate/render_gate.ts";
import { readResult } from "../result/read_result.ts";
import { EXIT, UsageError } from "../errors.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { compareEnvironments, replayArguments, withoutPeers } from "../run/replay.ts";
import type { CaseRecord, Result } from "../result/result_schema.ts";
import { type ProgressEvent, runCalibrated } from "../run/runner.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { parseBench } from "./bench.ts";
import { claimFolder, refuseOverwrite } from "../result/write_output.ts";
import { terminalWidth, useColor } from "./color.ts";
import { runCommand } from "./errors.ts";
import { newCommand, quietOption } from "./command.ts";
import { noInstallOption } from "./device_options.ts";
import { parseCommand } from "./parse_command.ts";
import { ProgressDisplay, stderrStream } from "./progress.ts";
import { untilStopped } from "./stop.ts";

/** Runs the command and returns its exit code. */
export async function replay(args: readonly string[]): Promise<number> {
  const command = replayCommand();
  if (!parseCommand(command, args)) return EXIT.fine;
  const [path] = command.processedArgs;
  const { out, force, install, quiet } = command.opts();
  const found = await readResult(path);
  const before = withoutPeers(found);
  if (before.cases.length < found.cases.length) {
    if (!quiet) console.error("replay: the cases of peers are left out");
  }
  if (before.cases.length === 0) {
    throw new UsageError(`replay ${plainText(path)}: it has no cases to compare with`);
  }
  if (before.stack === "browser") {
    const { browser = "a browser" } = before.environment.runtime;
    throw new UsageError(
      `replay ${plainText(path)}: it was measured in ${plainText(browser)}; a replay needs ` +
        `the live page there: deno task page`,
    );
  }
  const line = replayArguments(before);
  const parsed = parseBench(line);
  if (!parsed) throw new UsageError(`replay: the command only asks for help: ${line.join(" ")}`);
  // The tilings of the result itself, whatever this machine has in its cache by now.
  const tuning = before.tuning ?? "none";
  const again = {
    ...parsed.suite,
    out,
    force,
    resume: false,
    patient: true,
    ignoreUnused: true,
    tuning,
  };
  const claimed = out === undefined ? undefined : await claimFolder(out, {
    check: () => refuseOverwrite([`${out}/result.json`], force === true),
  });
  try {
    provideRuntimeDir();
    if (before.stack !== "dawn") {
      await ensureDriver({ install, say: (text) => quiet || console.error(text) });
    }
    if (!quiet) console.error(`replay: deno task bench ${plainText(line.join(" "))}`);
    const display = quiet ? undefined : new ProgressDisplay(stderrStream());
    const hooks = { onProgress: (event: ProgressEvent) => display?.show(event) };
    const { now, stopped } = await untilStopped(async (signal) => ({
      now: await runCalibrated(again as typeof parsed.suite, {
        hooks: { ...hooks, signal },
        claimed,
      }),
      stopped: signal.aborted,
    }), { say: () => console.error("\nstopping after the work in flight") });
    display?.finish();
    return showReplay({ before, now, stopped }, { path, out, quiet });
  } finally {
    await claimed?.release();
  }
}

/** The options of the command, unparsed. */
export function replayCommand() {
  return newCommand("replay", {
    description: "Run a result's command again with its seed and compare.",
    examples: [
      ["replay out/result.json", "does it reproduce?"],
      ["replay out/result.json --out again", "and keep the new result"],
    ],
  })
    .argument("<result>", "result file")
    .optionsGroup("Output:")
    .option("--out <folder>", "keep the new result there")
    .option("--force", "overwrite a result in that folder")
    .addOption(noInstallOption())
    .addOption(quietOption());
}

/** Prints what came out; of a replay that was stopped, of the cases that it finished. */
function showReplay(
  { before: whole, now, stopped }: { before: Result; now: Result; stopped: boolean },
  { path, out, quiet }: { path: string; out?: string; quiet?: true },
): number {
  const before = stopped ? onlyCasesOf(whole, now) : whole;
  const { then: ran } = countRuns(before, before);
  let code: number = EXIT.inconclusive;
  if (ran > 0 || !stopped) {
    const report = compareResults(before, now, { names: { baseline: path, candidate: "replay" } });
    code = replayExit(report, countRuns(before, now));
    if (!quiet) {
      const look = { color: useColor(Deno.stdout), width: terminalWidth(Deno.stdout) };
      console.log(describeReplay(before, now, { report, look }));
    }
  }
  if (out !== undefined && !quiet) console.log(`\nWrote ${plainText(out)}/result.json`);
  if (!stopped) return code;
  console.error(`replay: stopped after ${before.cases.length} of ${whole.cases.length} cases`);
  return code === EXIT.failed ? code : EXIT.inconclusive;
}

/** A result without the cases that another one has not. */
export function onlyCasesOf(result: Result, other: Result): Result {
  const there = new Set(other.cases.map(({ id }) => id));
  return {
    ...result,
    cases: result.cases.filter(({ id }) => there.has(id)),
    ratios: result.ratios.filter(({ numerator, denominator }) =>
      there.has(numerator) && there.has(denominator)
    ),
  };
}

/**
 * 0 when everything that must be equal is, whatever the times; 1 when something differs; 5 when no
 * case that ran then ran now. A slower time is shown and is no failure: another day is another day.
 */
export function replayExit({ cases }: GateReport, ran: { then: number; now: number }): number {
  const differs = cases.some(({ verdict, differences }) =>
    verdict === "missing" || differences.some(({ severity }) => severity === "failure")
  );
  if (differs) return EXIT.failed;
  return ran.then > 0 && ran.now === 0 ? EXIT.nothingMeasured : EXIT.fine;
}

/** Cases that ran in a result, and that ran in another one as well. */
export function countRuns(before: Result, now: Result): { then: number; now: number } {
  const ran = ({ status }: CaseRecord) => status === "ok" || status === "inconclusive";
  const then = before.cases.filter(ran);
  const again = new Set(now.cases.filter(ran).map(({ id }) => id));
  return { then: then.length, now: then.filter(({ id }) => again.has(id)).length };
}

/** What a replay found, as text. */
export function describeReplay(
  before: Result,
  now: Result,
  { report, look = {} }: { report: GateReport; look?: GateLook },
): string {
  const differences = compareEnvironments(before, now);
  const ran = countRuns(before, now);
  const code = replayExit(report, ran);
  const exact = code === EXIT.fine
    ? `Reproduced: ${report.exactFields} exact fields equal.`
    : code === EXIT.nothingMeasured
    ? "Nothing to compare: none of the cases that ran then could run now."
    : "Not reproduced: something that must be equal differs.";
  const left = ran.then - ran.now;
  return [
    exact,
    ...(left > 0 && ran.now > 0
      ? [`${left} of the ${ran.then} cases that ran then did not run now; below is why.`]
      : []),
    ...describeSelections(before, now),
    "",
    differences.length === 0 ? "Environment: the same." : "Environment, then and now:",
    ...differences.map(({ name, before, now }) =>
      `  ${plainText(name)}: ${plainText(before)} → ${plainText(now)}`
    ),
    "",
    renderGateText(report, look).trimEnd(),
  ].join("\n");
}

/** How many selections are the same, from the devices' own scores and from seeded ones. */
function describeSelections(before: Result, now: Result): string[] {
  if (before.seed !== now.seed) return [];
  const current = new Map(now.cases.map(({ id, digest }) => [id, digest]));
  return [["selection", "from the device's scores"], ["seededSelection", "from seeded scores"]]
    .flatMap(([name, scores]) => {
      const pairs = before.cases.flatMap(({ id, digest }) => {
        const [was, is] = [digest?.[name], current.get(id)?.[name]];
        return was !== undefined && is !== undefined ? [was === is] : [];
      });
      const same = pairs.filter(Boolean).length;
      return pairs.length > 0
        ? [`Selections ${scores}: ${same} of ${pairs.length} have the same digest.`]
        : [];
    });
}

if (import.meta.main) await runCommand("replay", () => replay(Deno.args));
