import assert from "node:assert/strict";
import { sampleResult } from "../result/_sample_result.ts";
import { errorLine } from "../errors.ts";
import { exitCodeFor } from "./errors.ts";
import { claimFolder } from "../result/write_output.ts";
import { report } from "./report_command.ts";
import { site } from "./site.ts";

async function run(...args: string[]) {
  const out: string[] = [];
  try {
    const code = await report(args, (text) => out.push(text));
    return { code, out: out.join("\n"), err: "" };
  } catch (error) {
    return { code: exitCodeFor(error), out: out.join("\n"), err: errorLine(error) };
  }
}

async function inFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/a.json`,
      JSON.stringify(sampleResult({ contexts: [8192] })),
    );
    await Deno.writeTextFile(
      `${folder}/b.json`,
      JSON.stringify(sampleResult({ contexts: [8192], software: true, description: "other" })),
    );
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("report writes the page and the summary and says where", () =>
  inFolder(async (folder) => {
    const { code, out, err } = await run(`${folder}/a.json`, "--out", `${folder}/new/deep`);
    assert.deepEqual({ code, err }, { code: 0, err: "" });
    assert.equal(out, `Wrote ${folder}/new/deep/report.html\nWrote ${folder}/new/deep/summary.md`);
    assert.match(await Deno.readTextFile(`${folder}/new/deep/report.html`), /^<!doctype html>/);
    assert.match(
      await Deno.readTextFile(`${folder}/new/deep/summary.md`),
      /^# The 21× at 512K was not run/,
    );
  }));

Deno.test("report of several files is a comparison, and overwrites a report only with --force", () =>
  inFolder(async (folder) => {
    await run(`${folder}/a.json`, "-o", `${folder}/out`);
    const line = [`${folder}/a.json`, `${folder}/b.json`, "-o", `${folder}/out`];
    const before = await Deno.readTextFile(`${folder}/out/report.html`);
    for (const name of ["report.html", "summary.md"]) {
      const { code, out, err } = await run(...line);
      assert.deepEqual({ code, out }, { code: 2, out: "" });
      assert.equal(err, `write ${folder}/out/${name}: it exists; --force overwrites it`);
      if (name === "report.html") {
        assert.equal(await Deno.readTextFile(`${folder}/out/report.html`), before);
        await Deno.remove(`${folder}/out/report.html`);
      }
    }
    assert.equal((await run(...line, "--force")).code, 0);
    assert.match(await Deno.readTextFile(`${folder}/out/report.html`), /id="comparison"/);
    assert.match(await Deno.readTextFile(`${folder}/out/summary.md`), /^# .*2 runs/);
  }));

Deno.test("report refuses a bad file with one line and writes nothing", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/bad.json`, '{"schemaVersion": 7}');
    const { code, out, err } = await run(
      `${folder}/a.json`,
      `${folder}/bad.json`,
      "-o",
      `${folder}/out`,
    );
    assert.deepEqual({ code, out }, { code: 2, out: "" });
    assert.match(
      err,
      /^cannot use result file .*bad\.json: written by a newer version[^\n]*$/,
    );
    await assert.rejects(Deno.stat(`${folder}/out`));
  }));

Deno.test("report refuses an output folder that is a file, or lies under one", () =>
  inFolder(async (folder) => {
    for (const out of [`${folder}/a.json`, `${folder}/a.json/x`]) {
      const { code, err } = await run(`${folder}/b.json`, "-o", out);
      assert.equal(code, 2);
      assert.match(err, /^write to .*a\.json(\/x)?: [^\n]+$/);
    }
    await Deno.mkdir(`${folder}/out/report.html`, { recursive: true });
    assert.match(
      (await run(`${folder}/b.json`, "-o", `${folder}/out`, "--force")).err,
      /write .*report\.html: a folder of that name/,
    );
  }));

Deno.test("report and site refuse a folder that another process writes to", () =>
  inFolder(async (folder) => {
    const claim = await claimFolder(`${folder}/out`);
    const { code, err } = await run(`${folder}/a.json`, "-o", `${folder}/out`, "--force");
    assert.equal(code, 2);
    assert.match(err, /^write to .*\/out: another process is writing there/);
    await assert.rejects(
      site([`${folder}/a.json`, "-o", `${folder}/out`], () => {}),
      /^OutputError: write to .*\/out: another process is writing there/,
    );
    await claim.release();
    assert.equal(await site([`${folder}/a.json`, "-o", `${folder}/out`], () => {}), 0);
    assert.equal((await run(`${folder}/a.json`, "-o", `${folder}/out`)).code, 0);
  }));

Deno.test("report explains bad usage and exits with 2", async () => {
  const none = await run();
  assert.equal(none.code, 2);
  assert.match(none.err, /^argument result is required$/);
  const unknown = await run("a.json", "--ouch", "x");
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /unknown option '--ouch'/);
  assert.equal((await run("--help")).code, 0);
});

Deno.test("report compares no run with itself", () =>
  inFolder(async (folder) => {
    await Deno.copyFile(`${folder}/a.json`, `${folder}/again.json`);
    const line = [`${folder}/a.json`, `${folder}/b.json`, `${folder}/again.json`];
    const { code, err } = await run(...line, "-o", `${folder}/out`);
    assert.equal(code, 2);
    assert.equal(
      err,
      `${folder}/a.json and ${folder}/again.json are results of one run, started ` +
        "2000-01-01T00:00:00.000Z: give one of them",
    );
    await assert.rejects(Deno.stat(`${folder}/out`));
  }));

Deno.test("report says in one line what another kind of file is", () =>
  inFolder(async (folder) => {
    const gzip = new Blob([JSON.stringify({ schemaVersion: 2 })]).stream()
      .pipeThrough(new CompressionStream("gzip"));
    const files: [string, Uint8Array, RegExp][] = [
      [
        "a.gz",
        new Uint8Array(await new Response(gzip).arrayBuffer()),
        /compressed by gzip; "gzip -dc"/,
      ],
      ["a.zip", new TextEncoder().encode("PK\u0003\u0004rest"), /it is a zip archive/],
      ["a.bin", Uint8Array.of(0x7b, 0, 0x7d), /it is no text: it has zero bytes$/],
    ];
    for (const [name, bytes, reason] of files) {
      await Deno.writeFile(`${folder}/${name}`, bytes);
      const { code, out, err } = await run(`${folder}/${name}`, "-o", `${folder}/out`);
      assert.deepEqual({ code, out, lines: err.split("\n").length }, {
        code: 2,
        out: "",
        lines: 1,
      });
      assert.match(err, reason);
    }
    assert.ok(!(await Deno.stat(`${folder}/out`).catch(() => null)));
  }));

Deno.test("report lets no name of a folder control the terminal", () =>
  inFolder(async (folder) => {
    const { code, out } = await run(`${folder}/a.json`, "-o", `${folder}/\u001b[31mred\n`);
    assert.equal(code, 0);
    assert.equal(out.split("\n").length, 2);
    assert.ok(!out.includes("\u001b"));
  }));
