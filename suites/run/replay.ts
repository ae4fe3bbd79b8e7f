/**
 * Runs a result again: same options, same seed. Pure parts: the options that a result was run with,
 * and the differences between two environments.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import { PEER_PREFIX } from "../plan/measurable.ts";
import type { Result } from "../result/result_schema.ts";
import type { SuiteEntry } from "../suite.ts";
import { SUITES } from "../suites.ts";

/** Options that a replay sets itself; the second list takes a value. */
const OWN_FLAGS = [
  "--resume",
  "--force",
  "--quiet",
  "--no-install",
  "--keep-warm",
  "--no-keep-warm",
];
// A result may name any file as its tuning or peer, or in an option of a suite: a replay opens or
// runs none of them.
const OWN_OPTIONS = [
  "--out",
  "--profile",
  "--seed",
  "--stack",
  "--dtype",
  "--peer",
  "--tuning",
];

/** Longest command line that is read from a result. */
const MOST_WORDS = 200;

/**
 * Arguments of the bench that run a result again. What the first run chose by default (profile,
 * element type) is written out, so that another machine does not choose differently. The words are
 * only parsed as options of the bench; none reaches a shell. Peers are left out: a result file
 * must not be able to name a program that is run.
 *
 * @throws {UsageError} when the command is not the bench's, or names a file that decides its cases.
 *
 * @example
 * ```ts
 * import { replayArguments } from "./replay.ts";
 * import assert from "node:assert/strict";
 * const args = replayArguments({
 *   command: ["deno", "task", "bench", "latency", "--out", "x"],
 *   profile: "smoke",
 *   seed: 7,
 *   stack: "deno",
 *   configuration: { dtype: "f32" },
 * });
 * assert.equal(args.join(" "), "latency --profile smoke --seed 7 --stack deno --dtype f32");
 * ```
 */
export function replayArguments(
  result: Pick<Result, "command" | "profile" | "seed" | "stack" | "configuration">,
  { suites = SUITES }: { suites?: readonly SuiteEntry[] } = {},
): string[] {
  const words = benchWords(result, "replay");
  for (const { flag } of suites.flatMap(({ flags = [] }) => flags.filter((one) => one.decides))) {
    if (!words.some((word) => word === `--${flag}` || word.startsWith(`--${flag}=`))) continue;
    throw new UsageError(
      `replay: the run took a file, --${flag}, which a result alone may not make the bench open; ` +
        "run it again with the file and compare the results with deno task gate",
    );
  }
  const own = [...OWN_OPTIONS, ...fileFlags(suites)];
  const kept = words.filter((word, i) => {
    if (OWN_FLAGS.includes(word) || own.includes(word)) return false;
    if (own.some((option) => word.startsWith(`${option}=`))) return false;
    return !own.includes(words[i - 1]);
  });
  const { dtype } = result.configuration;
  return [
    ...kept,
    "--profile",
    result.profile,
    "--seed",
    String(result.seed),
    "--stack",
    result.stack,
    ...(dtype === "f16" || dtype === "f32" ? ["--dtype", dtype] : []),
  ];
}

/** Options of suites that name files, with the dashes. */
export function fileFlags(suites: readonly SuiteEntry[] = SUITES): string[] {
  return suites.flatMap(({ flags = [] }) => flags)
    .filter(({ file }) => file).map(({ flag }) => `--${flag}`);
}

/**
 * The arguments of the bench that a result names, only to be parsed.
 *
 * @param verb the command that needs them; errors begin with it.
 * @throws {UsageError} when the command is not the bench's.
 */
export function benchWords({ command }: Pick<Result, "command">, verb: string): string[] {
  const [program, task, name, ...words] = command;
  if (program !== "deno" || task !== "task" || name !== "bench") {
    const shown = command.slice(0, 4).join(" ").slice(0, 100);
    throw new UsageError(`${verb}: the result's command "${shown}" is not deno task bench`);
  }
  if (words.length > MOST_WORDS) {
    throw new UsageError(
      `${verb}: the command has ${words.length} words, the limit is ${MOST_WORDS}`,
    );
  }
  return words;
}

/** A result without the cases of peers, which a replay does not run. */
export function withoutPeers(result: Result): Result {
  const isPeer = (implementation: string) => implementation.startsWith(PEER_PREFIX);
  const peers = new Set(
    result.cases.filter(({ implementation }) => isPeer(implementation)).map(({ id }) => id),
  );
  return {
    ...result,
    cases: result.cases.filter(({ id }) => !peers.has(id)),
    ratios: result.ratios.filter(({ numerator, denominator }) =>
      !peers.has(numerator) && !peers.has(denominator)
    ),
  };
}

/** One difference between the environments of two runs. */
export interface EnvironmentDifference {
  readonly name: string;
  readonly before: string;
  readonly now: string;
}

/** Differences in code, machine and software between two results. */
export function compareEnvironments(before: Result, now: Result): EnvironmentDifference[] {
  const describe = ({ environment, tool, hashes, stack, calibration, tuning, keepWarm }: Result) =>
    new Map<string, unknown>([
      ["version", tool.version],
      ["commit", tool.commit],
      ["uncommitted changes", tool.dirty],
      ["shader code", hashes.wgsl],
      ["configuration", hashes.configuration],
      ["plan", hashes.plan],
      ["stack", stack],
      ["clock", calibration?.clock],
      ["tuning", tuning?.digest ?? "none"],
      ["adapter", environment.adapter.description || environment.adapter.device],
      ["vendor", environment.adapter.vendor],
      ["driver", environment.driver],
      ["power limit in W", keepWarm?.powerWatts?.limit],
      ["device memory", environment.deviceMemoryBytes],
      ["features", [...environment.features].sort().join(" ")],
      ["operating system", environment.os],
      ["processor", environment.cpu],
      ["cores", environment.cores],
      ["memory", environment.memoryBytes],
      ["Deno", environment.runtime.deno],
      ["V8", environment.runtime.v8],
      ["browser", environment.runtime.browser],
      ...Object.entries(environment.packages).map(([name, version]) =>
        [`package ${name}`, version] as const
      ),
      ...Object.entries(environment.limits).map(([name, value]) =>
        [`limit ${name}`, value] as const
      ),
    ]);
  const [old, current] = [describe(before), describe(now)];
  return [...new Set([...old.keys(), ...current.keys()])].flatMap((name) => {
    const [was, is] = [old.get(name), current.get(name)].map((value) =>
      value === undefined || value === null ? "unknown" : String(value).slice(0, 200)
    );
    return was === is ? [] : [{ name, before: was, now: is }];
  });
}
