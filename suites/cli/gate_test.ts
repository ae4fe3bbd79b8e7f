import assert from "node:assert/strict";
import { sampleResult } from "../result/_sample_result.ts";
import { GateInputError } from "../../reports/gate/gate_config.ts";
import { ResultFileError } from "../result/read_result.ts";
import { OutputError, UsageError } from "../errors.ts";
import { exitCodeFor } from "./errors.ts";
import { gate } from "./gate.ts";

async function run(...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const streams = { out: (text: string) => out.push(text), err: (text: string) => err.push(text) };
  const code = await gate(args, streams);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

async function inFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    const write = (name: string, value: unknown) =>
      Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(value));
    const base = sampleResult({ contexts: [8192, 16_384] });
    const other = structuredClone(base);
    other.startedAt = "2027-01-01T00:00:00Z";
    other.hashes.wgsl = "e".repeat(64);
    await write("a.json", base);
    await write("b.json", other);
    await write("empty.json", { ...base, cases: [] });
    await write("newer.json", { ...base, schemaVersion: 99 });
    await Deno.writeTextFile(`${folder}/cut.json`, JSON.stringify(base).slice(0, 5000));
    other.cases[0].samples.forEach((sample) => sample.seconds *= 2);
    await write("slow.json", other);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("gate passes, fails, and prints every format", () =>
  inFolder(async (folder) => {
    const files = [`${folder}/a.json`, `${folder}/b.json`];
    assert.equal((await run(...files)).code, 0);
    const text = await run(files[0], `${folder}/slow.json`);
    assert.deepEqual([text.code, text.out.split("\n")[0]], [1, "Failed: 1 case slower."]);
    const json = await run(...files, "--format", "json");
    assert.equal(JSON.parse(json.out).outcome, "passed");
    const github = await run(...files, "--format", "github");
    assert.match(github.out, /^### ✅/);
    assert.match(github.err, /^::notice/);
    const bmf = await run(...files, "--format", "bmf");
    assert.equal(Object.keys(JSON.parse(bmf.out)).length, 4);
    const quiet = await run(files[0], `${folder}/slow.json`, "--quiet");
    assert.deepEqual(quiet, { code: 1, out: "", err: "" });
    const data = await run(...files, "--quiet", "--format", "bmf");
    assert.deepEqual(data, { ...bmf, err: "" });
  }));

Deno.test("gate leaves out what a history holds twice, and says so", () =>
  inFolder(async (folder) => {
    const later = {
      ...sampleResult({ contexts: [8192, 16_384] }),
      startedAt: "2026-06-01T00:00:00Z",
    };
    for (const name of ["c", "d"]) {
      await Deno.writeTextFile(`${folder}/${name}.json`, JSON.stringify(later));
    }
    const line = ["a", "b"].map((name) => `${folder}/${name}.json`);
    const history = ["a", "c", "d", "b"].map((name) => `${folder}/${name}.json`);
    const { code, err } = await run(...line, "--history", ...history);
    assert.equal(code, 0);
    const said = (left: string, like: string) =>
      `gate: ${folder}/${left}.json of the history is left out: it is the same run as ` +
      `${folder}/${like}.json`;
    assert.deepEqual(err.split("\n"), [said("a", "a"), said("d", "c"), said("b", "b")]);
    assert.equal((await run(...line, "--history", `${folder}/c.json`)).err, "");
  }));

Deno.test("gate --out writes once, and again only with --force", () =>
  inFolder(async (folder) => {
    const line = [`${folder}/a.json`, `${folder}/b.json`, "--out", `${folder}/gate.md`];
    assert.deepEqual((await run(...line, "--format", "github")).out, "");
    const before = await Deno.readTextFile(`${folder}/gate.md`);
    await assert.rejects(run(...line), OutputError);
    assert.equal(await Deno.readTextFile(`${folder}/gate.md`), before);
    assert.equal((await run(...line, "--force")).code, 0);
    assert.notEqual(await Deno.readTextFile(`${folder}/gate.md`), before);
    await assert.rejects(run(...line.slice(0, 3), `${folder}/no/such.md`), /folder does not exist/);
    // Turns take minutes: what cannot be written is refused before them.
    const turns = ["--against", "no-such-revision", "--force", "--out"];
    await assert.rejects(run(...turns, `${folder}/no/such.md`), /folder does not exist/);
    await assert.rejects(run(...turns, folder), /a folder of that name is in the way/);
    const left = [...Deno.readDirSync(folder)].filter(({ name }) => name.includes("gate.md"));
    assert.equal(left.length, 1, "the probe is gone");
  }));

Deno.test("gate: each bad input is one line and exit code 2", () =>
  inFolder(async (folder) => {
    const huge = await Deno.open(`${folder}/huge.json`, { write: true, create: true });
    await huge.truncate(100 * 2 ** 20);
    huge.close();
    const good = `${folder}/a.json`;
    const cases: [string[], RegExp, new (...args: never[]) => Error][] = [
      [[good], /two result files are needed/, UsageError],
      [[good, good, "--budget", "5"], /--budget 5 is for --against/, UsageError],
      [["--against", "HEAD", "--history", good], /--history given beside --against/, UsageError],
      [[good, good], /are the same run/, GateInputError],
      [[`${folder}/empty.json`, good], /has no cases/, GateInputError],
      [[good, `${folder}/newer.json`], /newer version/, ResultFileError],
      [[good, `${folder}/cut.json`], /cut off after 5000/, ResultFileError],
      [[good, `${folder}/huge.json`], /100 MiB, the limit is 64/, ResultFileError],
      [[`${folder}/none.json`, good], /there is no such file/, ResultFileError],
      [
        [good, `${folder}/b.json`, "--config", good],
        /cannot use gate configuration/,
        GateInputError,
      ],
      [["--baseline-dir", `${folder}/none`], /is not a checkout of this project/, UsageError],
      [["--against", "HEAD", "--", "--tuning", "x"], /--tuning given beside --against/, UsageError],
      [[good, "--against", "HEAD"], /a\.json given beside --against/, UsageError],
      [["--against", "no-such-revision"], /not one that this repository knows/, UsageError],
      [
        [good, `${folder}/b.json`, "--format", "xml"],
        /^--format xml is not one of text, github, json, bmf$/,
        UsageError,
      ],
    ];
    for (const [args, message, kind] of cases) {
      await assert.rejects(run(...args), (error) => {
        assert.ok(error instanceof kind, `${args}: ${error}`);
        assert.match(error.message, message);
        assert.equal(exitCodeFor(error), 2);
        return !/\n/.test(error.message);
      });
    }
  }));
