import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { closingLines, jobsFor, readJunit, skipLines } from "./run_tests.ts";

/** Runs `deno test` through run_tests.ts on one file, as the task does. */
async function runTests(file: string, env: Record<string, string> = {}) {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/x_test.ts`, file);
    const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-config", "--allow-all", path("run_tests.ts")],
        ...[Deno.execPath(), "test", "--quiet", "--no-check", "--no-config", "--allow-env"],
        ...["--allow-read", "--allow-write", "--", "x_test.ts"],
      ],
      cwd: folder,
      env: { NO_COLOR: "1", LIGHTHOUSE_TEST_ALL: "", ...env },
    }).output();
    return { code, text: new TextDecoder().decode(stdout) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CASES = `
import { chooseCases, long, slow } from ${
  JSON.stringify(new URL("_cases.ts", import.meta.url).href)
};
const { cases, note } = chooseCases([1, 2, 3], (n) => n > 1);
Deno.test("some" + note, () => {});
Deno.test("takes " + cases.join(), () => console.warn("skipped: for a reason"));
Deno.test({ ...slow("slow"), fn: () => {} });
Deno.test({ ...long("long"), fn: () => {} });
`;

Deno.test("run_tests: slow cases are left out and named, and LIGHTHOUSE_TEST_ALL runs them", async () => {
  const some = await runTests(CASES);
  assert.equal(some.code, 0, some.text);
  assert.match(some.text, /^\.\/x_test\.ts => takes 2,3 \.\.\. ok/m);
  assert.match(some.text, /^ok \| 2 passed \| 0 failed \| 2 ignored/m);
  assert.match(some.text, /^skipped: for a reason\n/m);
  const end = some.text.slice(
    some.text.indexOf("deno task test:all or test:long also runs what these 3"),
  );
  assert.match(end, /x_test\.ts: some \(2 of 3 cases; deno task test:all takes all\)\n/);
  assert.match(end, /x_test\.ts: slow \(deno task test:all\)\n/);
  assert.match(end, /x_test\.ts: long \(deno task test:long\)\n/);
  const all = await runTests(CASES, { LIGHTHOUSE_TEST_ALL: "1" });
  assert.equal(all.code, 0, all.text);
  assert.match(all.text, /=> takes 1,2,3 \.\.\. ok/);
  assert.match(all.text, /=> slow \.\.\. ok/);
  assert.match(all.text, /^ok \| 3 passed \| 0 failed/m);
  assert.match(all.text, /x_test\.ts: long \(deno task test:long\)\n/);
  const long = await runTests(CASES, { LIGHTHOUSE_TEST_ALL: "2" });
  assert.match(long.text, /^ok \| 4 passed \| 0 failed/m);
  assert.doesNotMatch(long.text, /test:(all|long)/);
  assert.match(
    manifest.tasks["test:all"].command,
    /^LIGHTHOUSE_TEST_ALL=1 deno task --quiet test$/,
  );
});

Deno.test("run_tests: a failed test is exit code 1", async () => {
  const { code, text } = await runTests(`Deno.test("x", () => { throw new Error("no"); });`);
  assert.equal(code, 1);
  assert.match(text, /^FAILED \| 0 passed \| 1 failed/m);
});

const LARGE = `
import assert from "node:assert/strict";
const made = (change) => Object.assign(new Uint32Array(20_000), change);
Deno.test("equal", () => assert.deepEqual({ a: made() }, { a: made() }));
Deno.test("all", () => assert.deepEqual(made().map((_, i) => i + 1), made()));
Deno.test("nested", () => assert.deepEqual({ a: [made({ 7: 1 })] }, { a: [made()] }, "sums"));
Deno.test("types", () => assert.deepEqual(Float32Array.from(made()), made()));
Deno.test("signs", () => assert.deepEqual(Array(9000).fill(-0), Array(9000).fill(0)));
Deno.test("lengths", () => assert.deepEqual(Array(9000).fill(1), Array(9001).fill(1)));
Deno.test("small", () => assert.deepEqual([1, 2], [1, 3]));
`;

Deno.test("run_tests: large values that differ fail soon, with the first difference", async () => {
  const { code, text } = await runTests(LARGE);
  assert.equal(code, 1);
  assert.match(text, /^FAILED \| 1 passed \| 6 failed/m);
  assert.match(text, /AssertionError: \[0\]: 1, expected 0 \(20000 of 20000 differ\)\n/);
  assert.match(text, /AssertionError: sums\n\[a\]\[0\]\[7\]: 1, expected 0\n/);
  assert.match(text, /: the values: a Float32Array, expected a Uint32Array\n/);
  assert.match(text, /: \[0\]: -0, expected 0 \(9000 of 9000 differ\)\n/);
  assert.match(text, /: the values: 9000 entries, 9001 were expected\n/);
  // Of small ones Node's own description.
  assert.match(text, /\+ {3}2\n- {3}3\n/);
});

Deno.test("skipLines: the first reasons in full", () => {
  const notes = Array.from({ length: 12 }, (_, i) => `skipped: ${i}`);
  assert.deepEqual(skipLines(notes.slice(0, 10).join("\n") + "\n"), notes.slice(0, 10));
  assert.deepEqual(skipLines(notes.join("\n")).slice(9), [notes[9], "… and 2 more were skipped"]);
  assert.deepEqual(skipLines(""), []);
});

Deno.test("jobsFor: one more than processors, with a limit since all share one adapter", () => {
  assert.deepEqual([1, 2, 4, 128].map(jobsFor), [2, 3, 5, 6]);
});

Deno.test("closingLines: files that took long, steps counted once", () => {
  const tests = readJunit(`
    <testcase name="a &lt; b" classname="./x_test.ts" time="6.000" line="1" col="6">
    <testcase name="a &lt; b &gt; step" classname="./x_test.ts" time="5.000" line="1" col="6">
    <testcase name="c" classname="./x_test.ts" time="4.500" line="1" col="6">
    <testcase name="d" classname="./y_test.ts" time="9.000" line="1" col="6">
    <testcase name="e" classname="./z_test.ts" time="20.000" line="1" col="6">`);
  assert.equal(tests[0].name, "a < b");
  assert.deepEqual(closingLines(tests), [
    "files that took over 10 s: z_test.ts 20 s, x_test.ts 11 s",
  ]);
  assert.deepEqual(closingLines(tests.slice(1, 2)), []);
});

/** Test files below a folder. */
function* testFiles(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory && !/^\.|^node_modules$/.test(name)) yield* testFiles(path);
    else if (name.endsWith("_test.ts")) yield path;
  }
}

Deno.test("no test changes state that concurrently running files share", async () => {
  const root = fileURLToPath(new URL("..", import.meta.url)).slice(0, -1);
  const shared = /\bDeno\.(chdir|umask)\(|\bDeno\.env\.(set|delete)\(|\bprocess\.chdir\(/;
  const found: string[] = [];
  let files = 0;
  for (const path of testFiles(root)) {
    files++;
    for (const [i, line] of (await Deno.readTextFile(path)).split("\n").entries()) {
      if (shared.test(line.replace(/^ *const shared = .*/, ""))) {
        found.push(`${path}:${i + 1}: ${line}`);
      }
    }
  }
  assert.ok(files > 50);
  assert.deepEqual(found, []);
});
