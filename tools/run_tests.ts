/**
 * Runs `deno test` for `deno task test`, `test:all` and `test:long`: several files at a time. Reports at
 * the end which files took long, which tests were skipped and why, and what only the longer ones run.
 * `DENO_JOBS` sets how many files run at a time.
 *
 * Arguments: a command line of `deno test`, then `--`, then the arguments after the task's name.
 * Without a command line the tests run with the permission set `test` of `deno.json`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { deviceEnvironment, permissionFlags } from "../suites/cli/start.ts";

/**
 * Most files at a time, on any number of processors: all of them share one adapter, and tests
 * that time its work should not wait in a queue.
 */
const MOST_JOBS = 6;

/** Files that took longer are named, in seconds. */
const LONG_SECONDS = 10;

/** Reasons for skips that are printed in full; the others are counted. */
const REASONS = 10;

/** A test of a JUnit report. Names of steps start with their test's name and ` > `. */
interface Testcase {
  readonly name: string;
  readonly file: string;
  readonly seconds: number;
}

/** Files at a time on a machine: one more than its processors, since tests wait for the adapter. */
export function jobsFor(processors: number): number {
  return Math.min(processors + 1, MOST_JOBS);
}

/** Tests of Deno's JUnit report, in its order. */
export function readJunit(xml: string): Testcase[] {
  const found = xml.matchAll(
    /<testcase name="([^"]*)" classname="(?:\.\/)?([^"]*)" time="([\d.]+)"/g,
  );
  return [...found].map(([, name, file, seconds]) => ({
    name: name.replaceAll("&gt;", ">").replaceAll("&lt;", "<").replaceAll("&quot;", '"')
      .replaceAll("&apos;", "'").replaceAll("&amp;", "&"),
    file,
    seconds: Number(seconds),
  }));
}

/** Lines for the end of a run on what took long and what was left out. */
export function closingLines(tests: readonly Testcase[]): string[] {
  const files = new Map<string, number>();
  const leftOut: string[] = [];
  for (const { name, file, seconds } of tests) {
    // The time of a step is included in its test's.
    if (name.includes(" > ")) continue;
    files.set(file, (files.get(file) ?? 0) + seconds);
    if (/deno task test:(all|long)/.test(name)) leftOut.push(`  ${file}: ${name}`);
  }
  const long = [...files].filter(([, seconds]) => seconds > LONG_SECONDS)
    .sort(([, a], [, b]) => b - a)
    .map(([file, seconds]) => `${file} ${seconds.toFixed(0)} s`);
  return [
    ...(long.length > 0 ? [`files that took over ${LONG_SECONDS} s: ${long.join(", ")}`] : []),
    ...(leftOut.length > 0
      ? [
        `deno task test:all or test:long also runs what these ${leftOut.length} left out:`,
        ...leftOut,
      ]
      : []),
  ];
}

/** Lines on skipped tests, from lines of `_note_skips.ts`. */
export function skipLines(notes: string): string[] {
  const lines = notes.split("\n").filter((line) => line !== "");
  const more = lines.length - REASONS;
  return [
    ...lines.slice(0, REASONS),
    ...(more > 0 ? [`… and ${more} more were skipped`] : []),
  ];
}

async function main(): Promise<number> {
  const end = Deno.args.indexOf("--");
  const own = [Deno.execPath(), "test", "--quiet", "--no-check", ...permissionFlags("test")];
  const [command, ...flags] = end > 0 ? Deno.args.slice(0, end) : own;
  const folder = await Deno.makeTempDir({ prefix: "lighthouse-tests-" });
  const [report, skips] = [`${folder}/junit.xml`, `${folder}/skips.txt`];
  await Deno.writeTextFile(report, "");
  await Deno.writeTextFile(skips, "");
  const preload = ["_note_skips.ts", "_short_diffs.ts"].map((name) =>
    `--preload=${fileURLToPath(new URL(name, import.meta.url))}`
  );
  try {
    const { code, signal } = await new Deno.Command(command, {
      args: [
        ...[...flags, "--parallel", `--junit-path=${report}`, ...preload],
        ...Deno.args.slice(end + 1),
      ],
      env: {
        DENO_JOBS: Deno.env.get("DENO_JOBS") ?? String(jobsFor(navigator.hardwareConcurrency)),
        LIGHTHOUSE_TEST_SKIPS: skips,
        // Without it the driver warns on stderr on systems without windows.
        XDG_RUNTIME_DIR: "/tmp",
        ...deviceEnvironment(),
      },
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn().status;
    if (signal) {
      console.error(`${signal} ended the tests; with DENO_JOBS=1 the last line names one`);
    }
    const lines = [
      ...skipLines(await Deno.readTextFile(skips)),
      ...closingLines(readJunit(await Deno.readTextFile(report))),
    ];
    lines.forEach((line) => console.log(line));
    return code;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await main());
