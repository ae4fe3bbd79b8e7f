import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../.ci/run", import.meta.url));

/**
 * Runs `.ci/run` with a stand-in for Deno: a shell script that gets the task's name as `$2`.
 *
 * @returns the exit code, the last line and everything printed.
 */
async function runScript(deno: string) {
  const folder = await Deno.makeTempDir();
  try {
    const write = (name: string, text: string) =>
      Deno.writeTextFile(`${folder}/${name}`, `#!/bin/bash\n${text}\n`, { mode: 0o755 });
    await write("deno", `${deno}\ncase "$*" in --version) echo "deno 2.9.6"; exit;; esac\n${FINE}`);
    await write("npm", "exit 1");
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: [SCRIPT],
      clearEnv: true,
      env: { PATH: `${folder}:/usr/bin:/bin`, HOME: folder, CHROMIUM: "none", TMPDIR: folder },
    }).output();
    const text = new TextDecoder();
    const printed = text.decode(stdout) + text.decode(stderr);
    const left = [...Deno.readDirSync(folder)].filter(({ isDirectory }) => isDirectory);
    assert.deepEqual(left, [], "its files are removed");
    return { code, last: text.decode(stdout).trimEnd().split("\n").at(-1), printed };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Output of each part when everything passes; a bench leaves its files. */
const FINE = `
while [ $# -gt 0 ]; do
  case "$1" in
    check) echo "ok | 3 passed | 0 failed (1s)";;
    test:all) echo "ok | 12 passed (3 steps) | 0 failed (1s)";;
    verify) echo "45 passed, 0 failed, 4 skipped in 1.0 s";;
    --out) mkdir -p "$2"; for f in report.html summary.md index.html; do echo x >"$2/$f"; done;;
  esac
  shift
done`;

const ignore = Deno.build.os !== "linux";

Deno.test(".ci/run ends with a line that totals the tests of its parts", { ignore }, async () => {
  const { code, last, printed } = await runScript("");
  assert.deepEqual([code, last], [0, "60 passed, 0 failed"], printed);
});

const FAULTS: [fault: string, deno: string, closing: string, named: RegExp][] = [
  [
    "failed tests",
    `[ "$2" != test:all ] || { echo "FAILED | 10 passed | 2 failed (1s)"; exit 1; }`,
    "58 passed, 2 failed",
    /^failed: test$/m,
  ],
  [
    "tests that end without a summary",
    `[ "$2" != test:all ] || kill -SEGV $$`,
    "48 passed, 1 failed",
    /^failed: test$/m,
  ],
  ["a bench that fails", `[ "$2" != bench ] || exit 1`, "60 passed, 1 failed", /^failed: bench$/m],
  [
    "a Deno that cannot be installed",
    `[ "$1" != --version ] || exit 1`,
    "0 passed, 1 failed",
    /^failed: setup$/m,
  ],
];
for (const [fault, deno, closing, named] of FAULTS) {
  Deno.test(`.ci/run reports in its last line: ${fault}`, { ignore }, async () => {
    const { code, last, printed } = await runScript(deno);
    assert.deepEqual([code, last], [1, closing], printed);
    assert.match(printed, named);
  });
}
