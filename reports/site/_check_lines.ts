/**
 * Checks in a browser. Playwright asks for everything that a program may have, which the tests do not
 * give, so that checks are a program of their own: it prints a line of JSON for each, and a test
 * makes a step of each line.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { chromium, firefox } from "./_chromium.ts";

/** What a program of checks prints; lines without a name are data for its test. */
type CheckLine = Readonly<Record<string, unknown>> & {
  readonly name?: string;
  readonly ok?: boolean;
  readonly detail?: string;
};

/** In the program: runs a check and prints its line. */
export async function check(name: string, run: () => Promise<void>): Promise<void> {
  const started = performance.now();
  let detail = "";
  let ok = true;
  try {
    await run();
  } catch (error) {
    ok = false;
    detail = error instanceof Error ? error.message : String(error);
  }
  const seconds = Math.round(performance.now() - started) / 1000;
  console.log(JSON.stringify({ name, ok, detail, seconds } satisfies CheckLine));
}

const BROWSERS = {
  chromium: { path: chromium, missing: "no Chromium; apt-get install chromium" },
  firefox: { path: firefox, missing: "no Firefox; apt-get install firefox-esr" },
} as const;

/** Name and switch of a test that needs a browser. */
export function inBrowser(
  name: string,
  browser: keyof typeof BROWSERS = "chromium",
): { name: string; ignore: boolean } {
  const { path, missing } = BROWSERS[browser];
  return path === undefined
    ? { name: `${name} (skipped: ${missing})`, ignore: true }
    : { name, ignore: false };
}

/**
 * In the test: runs the program with the browser's path and `args`, with a step for each check.
 *
 * @param options.browser Default: Chromium.
 * @param options.least Checks that must have run.
 * @returns all lines.
 */
export async function runChecks(
  test: Deno.TestContext,
  program: URL,
  { args = [], browser = "chromium", least }: {
    args?: readonly string[];
    browser?: keyof typeof BROWSERS;
    least: number;
  },
): Promise<CheckLine[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--no-check", "--allow-all"],
      ...[fileURLToPath(program), BROWSERS[browser].path!, ...args],
    ],
  }).output();
  const lines: CheckLine[] = new TextDecoder().decode(stdout).split("\n")
    .filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  const checks = lines.filter(({ name }) => name !== undefined);
  for (const { name, ok, detail } of checks) {
    await test.step(name!, () => assert.ok(ok, detail));
  }
  assert.ok(success, new TextDecoder().decode(stderr));
  assert.ok(checks.length >= least, `${checks.length} checks ran`);
  return lines;
}
