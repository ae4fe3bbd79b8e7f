/**
 * The options of a resumed run: those that its result names, and what the command line adds.
 *
 * @module
 */
import { UsageError } from "../errors.ts";
import { plainText } from "../result/plain_text.ts";
import type { Result } from "../result/result_schema.ts";
import { fileFlags } from "../run/replay.ts";
import { attributeName } from "./suite_options.ts";

/** A parsed command line of the bench, as far as its options are read and set. */
interface Options {
  readonly options: readonly { readonly long?: string; attributeName(): string }[];
  readonly processedArgs: readonly unknown[];
  getOptionValue(name: string): unknown;
  getOptionValueSource(name: string): string | undefined;
  setOptionValue(name: string, value: unknown): unknown;
}

/** Options that do not change what is measured: they may differ from the first run's. */
const FREE = ["out", "resume", "force", "quiet", "install", "budget", "keepWarm"];

/** Options that name files: a result alone may not make the bench open or run one. */
const FILES = ["tuning", "peer", ...fileFlags().map(attributeName)];

/** A peer that is a file. */
const isFile = (peer: string) => peer.startsWith("python:");

/**
 * Adds to the command line of the first run what the resuming one gives.
 *
 * @param then the first run's command line; it is changed.
 * @throws {UsageError} one line that names both, where they contradict each other, or where a file
 * has to be named again.
 */
export function joinOptions(
  then: Options,
  { now, result, folder }: { now: Options; result: Result; folder: string },
): void {
  // What the first run chose by itself is its choice for good.
  const { dtype } = result.configuration;
  const chosen = {
    profile: result.profile,
    stack: result.stack,
    seed: result.seed,
    ...(dtype === "f16" || dtype === "f32" ? { dtype } : {}),
  };
  for (const [name, value] of Object.entries(chosen)) then.setOptionValue(name, value);
  refuseOther("suites", suitesOf(now), suitesOf(then), folder);
  for (const { long = "", name } of givenOptions(now)) {
    const [given, known] = [now, then].map((one) => one.getOptionValue(name));
    if (given === "auto") continue; // As the run chose.
    if (FREE.includes(name)) then.setOptionValue(name, given);
    else if (!FILES.includes(name)) refuseOther(long, given, known, folder);
  }
  joinFiles(then, { now, folder });
}

/** Files: as many as before, and named on this command line. */
function joinFiles(then: Options, { now, folder }: { now: Options; folder: string }): void {
  const again = (option: string, file: unknown) =>
    new UsageError(
      `resume ${folder}: the run has ${option} ${
        plainText(String(file))
      }; name it again: a result ` +
        "alone may not make the bench open a file",
    );
  for (const flag of fileFlags()) {
    const name = attributeName(flag);
    const [file, earlier] = [now, then].map((one) => one.getOptionValue(name));
    if (earlier !== undefined && file === undefined) throw again(flag, earlier);
    if (earlier === undefined) refuseOther(flag, file, earlier, folder);
    then.setOptionValue(name, file);
  }
  const [given, known] = [now, then].map((one) =>
    (one.getOptionValue("peer") ?? []) as readonly string[]
  );
  const file = known.find(isFile);
  if (given.length === 0 && file !== undefined) throw again("--peer", file);
  if (given.length === 0) return;
  const kinds = (peers: readonly string[]) => peers.map((name) => isFile(name) ? "python:" : name);
  if (!alike(kinds(given), kinds(known))) {
    refuseOther("--peer", given, known.length > 0 ? known : undefined, folder);
  }
  then.setOptionValue("peer", given);
}

function givenOptions(command: Options): { long?: string; name: string }[] {
  return command.options.map((option) => ({ long: option.long, name: option.attributeName() }))
    .filter(({ name }) => command.getOptionValueSource(name) === "cli");
}

function suitesOf({ processedArgs: [suites] }: Options): unknown {
  return Array.isArray(suites) && suites.length > 0 ? suites : undefined;
}

/** Refuses what was given and is not what the run has. What was not given is no contradiction. */
function refuseOther(option: string, given: unknown, known: unknown, folder: string): void {
  if (given === undefined || alike(given, known)) return;
  const has = known === undefined ? `was started without ${option}` : `has ${show(option, known)}`;
  throw new UsageError(
    `resume ${folder}: ${show(option, given)} was given, the run ${has}; leave it out, or start ` +
      "another run in another folder",
  );
}

function show(option: string, value: unknown): string {
  const shard = value as { index?: number; count?: number };
  const text = Array.isArray(value)
    ? value.join(",")
    : typeof value === "object" && value !== null
    ? `${shard.index}/${shard.count}`
    : String(value);
  return `${option} ${plainText(text)}`;
}

/** Whether two values are the same, lists in whatever order. */
function alike(one: unknown, other: unknown): boolean {
  const text = (value: unknown) =>
    JSON.stringify(Array.isArray(value) ? value.map(String).sort() : value);
  return text(one) === text(other);
}
