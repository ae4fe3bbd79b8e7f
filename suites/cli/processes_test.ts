/**
 * The commands as people start them: as tasks, from any folder, into pipes that close, several at
 * once, and stopped half-way.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { chooseCases, slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { readResult } from "../result/read_result.ts";
import { STOPPED_NOTE } from "../run/resume.ts";

const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));

/** The smallest layer; checking it takes a second. */
const LAYER = "--profile smoke --head-dim 32 --levels 2 --pooling 2 --k 128 --scorer norm " +
  "--direction forward --stack deno --no-install";

interface Started {
  readonly cwd: string;
  readonly env?: Record<string, string>;
  /** A group of its own, which gets signals as that of a terminal does. */
  readonly detached?: boolean;
}

function start(line: string, { cwd, env = {}, detached = false }: Started): Deno.ChildProcess {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !/^(INIT_CWD|NO_COLOR|FORCE_COLOR)$/.test(name));
  return new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", `--config=${CONFIG}`, ...line.split(" ")],
    cwd,
    clearEnv: true,
    env: { ...Object.fromEntries(inherited), ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached,
  }).spawn();
}

/** Runs to the end; `input` goes to standard input. */
async function run(line: string, options: Started & { input?: string }) {
  const child = start(line, options);
  const writer = child.stdin.getWriter();
  if (options.input) await writer.write(new TextEncoder().encode(options.input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

async function inFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

async function hasGpu(t: Deno.TestContext): Promise<boolean> {
  const gpu = await testGpu(t);
  gpu?.destroy();
  return gpu !== undefined;
}

const AT_ONCE = chooseCases(range(8), (i) => i < 2);

/** The first one stops a new run, the others the one that was resumed. */
const SIGNALS = chooseCases(
  ["SIGINT", "SIGTERM", "SIGHUP"] as const,
  (signal) => signal === "SIGINT",
);

Deno.test({
  ...slow(
    `bench at once, many times, with nobody reading: each has its folder and ends well${AT_ONCE.note}`,
  ),
  fn: async (t) => {
    if (!await hasGpu(t)) return;
    const count = AT_ONCE.cases.length;
    await inFolder(async (folder) => {
      const children = Array.from(
        { length: count },
        () => start(`bench correctness --context 512 ${LAYER}`, { cwd: folder }),
      );
      const codes = await Promise.all(children.map(async (child) => {
        await Promise.all([child.stdin.close(), child.stdout.cancel(), child.stderr.cancel()]);
        return (await child.status).code;
      }));
      assert.deepEqual(codes, Array(count).fill(0));
      const files = ["report.html", "result.json", "summary.md"];
      const later = range(count - 1).map((i) => `run-${i + 2}`);
      assert.deepEqual(names(`${folder}/out`), [...files, ...later].sort());
      for (const name of [".", ...later]) {
        assert.deepEqual(
          names(`${folder}/out/${name}`).filter((one) => !later.includes(one)),
          files,
        );
        assert.notEqual((await readResult(`${folder}/out/${name}/result.json`)).finishedAt, null);
      }
    });
  },
});

Deno.test(`bench stopped by any signal keeps what it has, and --resume alone completes it${SIGNALS.note}`, async (t) => {
  if (Deno.build.os === "windows" || !await hasGpu(t)) return;
  await inFolder(async (folder) => {
    const command = `bench correctness latency --context 512,1024 --samples 2 ${LAYER}`;
    for (const signal of SIGNALS.cases) {
      const line = signal === "SIGINT" ? `${command} --out a/b` : "bench --resume --out a/b";
      const child = start(line, { cwd: folder, detached: true });
      await child.stdin.close();
      const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
      let said = "";
      while (!/^ *\d+\/\d+ ok/m.test(said)) {
        const { value, done } = await reader.read();
        assert.ok(!done, said);
        said += value;
      }
      // As a terminal does: to the task and to what it runs, which deno task tells once more.
      Deno.kill(-child.pid, signal);
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        said += part.value;
      }
      await child.stdout.cancel();
      assert.equal((await child.status).code, 3, said);
      assert.match(said, /stopped; continue it with deno task bench --resume --out a\/b$/m);
      assert.deepEqual(names(`${folder}/a/b`), ["report.html", "result.json", "summary.md"]);
      const partial = await readResult(`${folder}/a/b/result.json`);
      assert.equal(partial.finishedAt, null);
      assert.deepEqual(partial.notes.filter((note) => note === STOPPED_NOTE).length, 1);
    }
    const partial = await readResult(`${folder}/a/b/result.json`);
    const refused = await run("bench --resume --out a/b --context 512 --seed 7", { cwd: folder });
    assert.equal(refused.code, 2);
    assert.equal(
      refused.err,
      "bench: resume a/b: --context 512 was given, the run has --context 512,1024; leave it out, " +
        "or start another run in another folder\n",
    );
    const env = { FORCE_COLOR: "1" };
    const { code, out, err } = await run("bench --resume --out a/b", { cwd: folder, env });
    assert.equal(code, 0, err);
    // deno-lint-ignore no-control-regex
    assert.match(out, /\u001b\[1m/);
    const whole = await readResult(`${folder}/a/b/result.json`);
    assert.ok(whole.finishedAt !== null && !whole.notes.includes(STOPPED_NOTE));
    assert.deepEqual(whole.command, ["deno", "task", ...`${command} --out a/b`.split(" ")]);
    assert.equal(whole.startedAt, partial.startedAt);
    assert.equal(whole.calibration!.clock, partial.calibration?.clock ?? whole.calibration!.clock);
  });
});

Deno.test("verify stopped by a signal says what it found so far", async (t) => {
  if (Deno.build.os === "windows" || !await hasGpu(t)) return;
  await inFolder(async (folder) => {
    const child = start("verify --quick --stack deno --no-install", { cwd: folder });
    await child.stdin.close();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let said = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (!/^ok/m.test(said) && /^ok/m.test(said + part.value)) child.kill("SIGTERM");
      said += part.value;
    }
    const complaint = await new Response(child.stderr).text();
    assert.equal((await child.status).code, 3, said + complaint);
    assert.match(said, /\n\n[1-9]\d* passed, 0 failed, \d+ skipped in [\d.]+ s\n$/);
    assert.match(complaint, /verify: stopped before its end\n$/);
  });
});

Deno.test("commands take paths as typed, byte order marks, and standard input", () =>
  inFolder(async (folder) => {
    const one = JSON.stringify(sampleResult({ contexts: [8192] }));
    const other = JSON.stringify({
      ...sampleResult({ contexts: [8192] }),
      startedAt: "2026-01-01T00:00:00.000Z",
    });
    await Deno.mkdir(`${folder}/deep`);
    await Deno.writeTextFile(`${folder}/a.json`, `\ufeff${one}`);
    const cwd = `${folder}/deep`;
    const report = await run("report ../a.json -", { cwd, input: `\ufeff${other}` });
    assert.deepEqual([report.code, report.err], [0, ""]);
    assert.equal(report.out, "Wrote report/report.html\nWrote report/summary.md\n");
    assert.match(await Deno.readTextFile(`${cwd}/report/summary.md`), /2 runs/);
    const gate = await run("gate ../a.json - --format json --out gate.json", { cwd, input: other });
    assert.equal(gate.code, 0, gate.err);
    assert.deepEqual(names(cwd), ["gate.json", "report"]);
    const twice = await run("gate - -", { cwd, input: one });
    assert.equal(twice.code, 2);
    assert.equal(
      twice.err,
      "gate: cannot use result file on standard input: standard input can be given once\n",
    );
    const config = await run("gate ../a.json - --config ../c.json", { cwd, input: other });
    assert.match(
      config.err,
      /^gate: cannot use gate configuration \.\.\/c\.json: there is no such/,
    );
    await Deno.writeTextFile(`${folder}/c.json`, '\ufeff{"confidence":0.99}');
    const marked = await run("gate ../a.json - --config ../c.json", { cwd, input: other });
    assert.equal(marked.code, 0, marked.err);
  }));

Deno.test("a full standard output is one line and exit code 2, and files are written", async () => {
  if (Deno.build.os !== "linux") return;
  await inFolder(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/a.json`,
      JSON.stringify(sampleResult({ contexts: [8192] })),
    );
    const task = `"${Deno.execPath()}" task --quiet --config="${CONFIG}"`;
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", `unset INIT_CWD; ${task} report a.json >/dev/full`],
      cwd: folder,
    }).output();
    assert.equal(
      new TextDecoder().decode(stderr),
      "report: write to standard output: no space left on the device\n",
    );
    assert.equal(code, 2);
    assert.deepEqual(names(`${folder}/report`), ["report.html", "summary.md"]);
  });
});
