/**
 * `tune`: measures which tilings of dense attention are the fastest on this device, and keeps them.
 *
 * @module
 */
import { plainText } from "../result/plain_text.ts";
import { Option } from "@commander-js/extra-typings";
import { renderTable } from "../../reports/text/fit_table.ts";
import { tilingName } from "../../kernels/dense_attention/tilings.ts";
import {
  formatContext,
  formatFlopRate,
  formatInterval,
  formatPlural,
  formatRatio,
  formatSeconds,
} from "../../reports/text/format.ts";
import { describeEnvironment } from "../device/environment.ts";
import { EXIT, UsageError } from "../errors.ts";
import { ensureDriver } from "../device/install_driver.ts";
import { openStack } from "../device/open_stack.ts";
import { startKeepWarm } from "../device/keep_warm.ts";
import { provideRuntimeDir } from "../device/runtime_dir.ts";
import { summarize } from "../statistics/statistics.ts";
import { tune } from "../run/tune.ts";
import {
  cachedTuningPath,
  cacheFolder,
  describeKernel,
  describeTunedDevice,
  PASS_NAMES,
  readTuning,
  sealTuning,
  type TunedDevice,
  type TuningEntry,
  tuningText,
  writeTuning,
} from "../device/tuning_file.ts";
import { claimFile, type FileClaim } from "../result/write_output.ts";
import { terminalWidth } from "./color.ts";
import { runCommand } from "./errors.ts";
import { joined, parseCount, parseCounts, parseNames, parseSeconds } from "./layer_options.ts";
import { newCommand, quietOption, takesNames } from "./command.ts";
import { parseCommand } from "./parse_command.ts";
import {
  keepWarmOption,
  noInstallOption,
  noKeepWarmOption,
  stackOption,
} from "./device_options.ts";
import { untilStopped } from "./stop.ts";

/** Runs the command and returns its exit code. */
export async function tuneCommand(args: readonly string[]): Promise<number> {
  const command = tuneOptions();
  if (!parseCommand(command, args)) return EXIT.fine;
  const given = command.opts();
  const force = given.force === true;
  const cache = cacheFolder();
  if (given.out === undefined && cache === undefined) {
    throw new UsageError("no cache folder is known (HOME and the like): name a file with --out");
  }
  const out = given.out === undefined ? undefined : await claimFile(given.out, { force });
  try {
    return await untilStopped((signal) => tuneDevice(given, { cache, out, signal }));
  } finally {
    await out?.release();
  }
}

/** The options of the command, unparsed. */
export function tuneOptions() {
  return newCommand("tune", {
    description: "Measure which tilings of dense attention are the fastest on this device.",
    examples: [
      ["tune", "two minutes; bench takes the result"],
      ["tune --budget 600 --all", "longer, with the rate of every tiling"],
      ["tune --out tuning.json", "into a file for bench --tuning"],
    ],
  })
    .optionsGroup("What to tune:")
    .option("--context <list>", "context lengths N, powers of two", joined(parseCounts))
    .option("--heads <number>", "heads H", parseCount)
    .option("--head-dim <list>", "head dimensions d", joined(parseCounts))
    .addOption(names("--dtype", ["f16", "f32"], "f16 where the device has it"))
    .addOption(names("--direction", ["forward", "backward"], "both"))
    .addOption(names("--kernel", ["portable", "matrix"], "the one that runs"))
    .optionsGroup("How to measure:")
    .addOption(stackOption())
    .option("--budget <seconds>", "time for everything; default: 120", parseSeconds)
    .addOption(keepWarmOption())
    .addOption(noKeepWarmOption())
    .addOption(noInstallOption())
    .optionsGroup("Output:")
    .option("--all", "also print what every tiling reached, as Markdown")
    .option("--out <file>", "write there instead of into the cache that bench reads")
    .option("--force", "overwrite that file; measure again what the cache has")
    .addOption(quietOption());
}

/** An option that takes some of a few names. */
function names<Flag extends string, Name extends string>(
  flag: Flag,
  choices: readonly Name[],
  byDefault: string,
) {
  const option = new Option(
    `${flag} <list>` as const,
    `${choices.join(", ")}; default: ${byDefault}`,
  ).argParser(joined((text) => parseNames(text, choices)));
  return takesNames(option, choices);
}

/** Measures, writes and prints; returns the exit code. */
async function tuneDevice(
  given: ReturnType<ReturnType<typeof tuneOptions>["opts"]>,
  { cache, out, signal }: { cache?: string; out?: FileClaim; signal: AbortSignal },
): Promise<number> {
  const force = given.force === true;
  const say = (line: string) => given.quiet || console.error(line);
  provideRuntimeDir();
  if (given.stack !== "dawn") await ensureDriver({ install: given.install, say });
  const { gpu, line } = await openStack({ stack: given.stack, say });
  if (line) say(line);
  try {
    const { driver } = await describeEnvironment(gpu);
    const device = describeTunedDevice(gpu, driver);
    const path = given.out ?? await cachedTuningPath(device, cache!);
    const earlier = given.out === undefined ? await readEarlier(path, { device, say }) : [];
    const warm = await startKeepWarm(gpu.adapter, { asked: given.keepWarm });
    const found: TuningEntry[] = [];
    let failure: unknown;
    try {
      warm?.lines.forEach(say);
      await tune(gpu, {
        contexts: given.context,
        headDims: given.headDim,
        dtypes: given.dtype,
        directions: given.direction,
        kernels: given.kernel,
        heads: given.heads,
        budgetSeconds: given.budget,
        known: force ? [] : earlier,
      }, {
        signal,
        onNote: say,
        onStep: ({ text, done, total }) => say(`[${done}/${total}] ${text}`),
        onEntry: (entry) => found.push(entry),
      });
    } catch (error) {
      // A device that is lost over one tiling does not take with it what others took minutes to
      // find.
      if (found.length === 0) throw error;
      failure = error;
    } finally {
      await warm?.stop();
    }
    let entries = joinEntries(earlier, found);
    if (entries.length === 0) {
      if (!signal.aborted) console.error("tune: nothing was measured");
      return signal.aborted ? EXIT.inconclusive : EXIT.nothingMeasured;
    }
    if (found.length > 0 && out) await out.write(tuningText(await sealTuning({ device, entries })));
    else if (found.length > 0) {
      await writeTuning(path, async () => {
        // Another run may have measured other kernels meanwhile.
        entries = joinEntries(await readEarlier(path, { device, say }), found);
        return await sealTuning({ device, entries });
      });
    }
    if (!given.quiet) console.log(describeTuning(entries, terminalWidth(Deno.stdout)));
    if (given.all) console.log(describeTilings(entries));
    if (!given.quiet) {
      console.log(
        found.length > 0
          ? `Wrote ${plainText(path)}: ${
            formatPlural(entries.length, "kernel")
          }, ${found.length} measured now`
          : `Nothing was measured now; ${path} has ${formatPlural(entries.length, "kernel")}, ` +
            "which --force measures again",
      );
    }
    if (failure !== undefined) throw failure;
    return signal.aborted ? EXIT.inconclusive : EXIT.fine;
  } finally {
    gpu.destroy();
  }
}

/** What was measured before and was not measured again, and what was. */
function joinEntries(
  earlier: readonly TuningEntry[],
  found: readonly TuningEntry[],
): TuningEntry[] {
  const again = new Set(found.map(describeKernel));
  return [...earlier.filter((entry) => !again.has(describeKernel(entry))), ...found];
}

/** What the cache has of this device; a file that cannot be used is measured anew. */
async function readEarlier(
  path: string,
  { device, say }: { device: TunedDevice; say: (line: string) => void },
): Promise<TuningEntry[]> {
  try {
    const file = await readTuning(path);
    const same = JSON.stringify(Object.entries(file.device).sort()) ===
      JSON.stringify(Object.entries(device).sort());
    return same ? file.entries : [];
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (!(error.cause instanceof Deno.errors.NotFound)) say(`${error.message}; written anew`);
    return [];
  }
}

/**
 * One table: what each kernel takes by itself, what is the fastest, and which one it gets. The rate
 * is that of the fastest, of the products that the pass really does.
 */
export function describeTuning(entries: readonly TuningEntry[], width?: number): string {
  const columns = [
    { title: "Kernel", least: 16 },
    { title: "Context", numeric: true },
    { title: "Its own tiling", drop: 3 },
    { title: "Time (95 %)", numeric: true, drop: 4 },
    { title: "Fastest of all", drop: 6 },
    { title: "Time (95 %)", numeric: true, drop: 2 },
    { title: "Over its own (95 %)", numeric: true, drop: 5 },
    { title: "Rate", numeric: true, drop: 1 },
    { title: "Taken" },
  ];
  const lines: string[][] = [];
  for (const entry of sortEntries(entries)) {
    const { kernel, pass, headDim, dtype, heads, rows, tiling, measured, ratio } = entry;
    const timed = measured.filter(({ seconds }) => seconds.length > 0)
      .map(({ tiling, seconds }) => ({ tiling, time: summarize(seconds) }));
    const [own] = timed;
    const fastest = timed.reduce((a, b) => b.time.median < a.time.median ? b : a);
    const time = ({ median, low, high }: typeof own.time) =>
      `${formatSeconds(median)} (${formatInterval([low, high], formatSeconds)})`;
    const same = fastest === own;
    lines.push([
      `${kernel} ${PASS_NAMES[pass]}, d = ${headDim}, ${dtype}, H = ${heads}`,
      formatContext(rows),
      tilingName(own.tiling),
      time(own.time),
      same ? "the same" : tilingName(fastest.tiling),
      same ? "" : time(fastest.time),
      same
        ? ""
        : `${formatRatio(ratio.estimate)} (${
          formatInterval([ratio.low, ratio.high], formatRatio)
        })`,
      formatRate(entry, fastest.time.median),
      tilingName(tiling) === tilingName(own.tiling) ? "its own" : "the fastest",
    ]);
  }
  return renderTable({ columns, rows: lines }, { width });
}

/**
 * Tables in Markdown, one for each kernel, pass, head dimension and element type: the rate of every
 * declared tiling at each context, the one taken in bold, as `TUNING.md` has them.
 */
export function describeTilings(entries: readonly TuningEntry[]): string {
  const titleOf = ({ kernel, pass, headDim, dtype, heads }: TuningEntry) =>
    `${kernel} ${PASS_NAMES[pass]}, d = ${headDim}, ${dtype}, H = ${heads}`;
  const sorted = sortEntries(entries);
  const titles = [...new Set(sorted.map(titleOf))];
  return titles.map((title) => {
    const columns = sorted.filter((entry) => titleOf(entry) === title);
    const names = new Set(
      columns.flatMap(({ measured }) => measured.map(({ tiling }) => tilingName(tiling))),
    );
    const rows = [...names].map((name) => {
      const cells = columns.map((entry) => {
        const found = entry.measured.find(({ tiling }) => tilingName(tiling) === name);
        if (!found) return "–";
        if (found.refused !== undefined || found.seconds.length === 0) return "out";
        const rate = formatRate(entry, summarize(found.seconds).median);
        return tilingName(entry.tiling) === name ? `**${rate}**` : rate;
      });
      return `| ${[name, ...cells].join(" | ")} |`;
    });
    const head = columns.map(({ rows }) => `N = ${rows.toLocaleString("en")}`);
    return [
      `${title}:`,
      "",
      `| ${["tiling", ...head].join(" | ")} |`,
      `| ${["tiling", ...head].map(() => "---").join(" | ")} |`,
      ...rows,
      "",
    ].join("\n");
  }).join("\n");
}

function sortEntries(entries: readonly TuningEntry[]): TuningEntry[] {
  return entries.toSorted((a, b) =>
    a.kernel.localeCompare(b.kernel) || a.pass.localeCompare(b.pass) || a.headDim - b.headDim ||
    a.dtype.localeCompare(b.dtype) || a.heads - b.heads || a.rows - b.rows
  );
}

function formatRate(entry: TuningEntry, seconds: number): string {
  const { kernel, pass, rows, headDim, heads } = entry;
  return formatFlopRate(PRODUCTS[kernel][pass] * rows ** 2 * headDim * heads / seconds);
}

/**
 * Products of N × N by d that a pass does; half of each, N²·d FLOP a head, is below the diagonal.
 */
const PRODUCTS = {
  portable: { forward: 2, query: 3, "key-value": 4 },
  // The other pass leaves the gradients of scores.
  matrix: { forward: 2, query: 1, "key-value": 4 },
} as const;

if (import.meta.main) await runCommand("tune", () => tuneCommand(Deno.args));
