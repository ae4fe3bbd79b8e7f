import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { site } from "../../suites/cli/site.ts";
import { sampleRuns } from "./_sample_site.ts";

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const runs = sampleRuns(2);
    for (const { name, result } of runs) {
      await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(result));
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("deno task site writes pages, and overwrites existing files only with --force", () =>
  inFolder(async (folder) => {
    const files = [`${folder}/gpu-0.json`, `${folder}/gpu-1.json`];
    const said: string[] = [];
    const run = (...more: string[]) => site([...files, ...more], (line) => said.push(line));
    assert.equal(await run("--out", `${folder}/a/b`), 0);
    assert.match(said[0], /^Wrote .*\/a\/b\/index\.html: 2 runs, 1 device, \d+ files, [\d.]+ MiB$/);
    await Deno.writeTextFile(`${folder}/a/b/index.html`, "mine");
    await Deno.writeTextFile(`${folder}/a/b/notes.txt`, "mine");
    await assert.rejects(
      run("--out", `${folder}/a/b`),
      /^OutputError: write .*: the folder is not empty; --force overwrites what is there$/,
    );
    assert.equal(await Deno.readTextFile(`${folder}/a/b/index.html`), "mine");
    assert.equal(await run("--out", `${folder}/a/b`, "--force"), 0);
    assert.match(await Deno.readTextFile(`${folder}/a/b/index.html`), /^<!doctype html>/);
    assert.equal(await Deno.readTextFile(`${folder}/a/b/notes.txt`), "mine");
    // A build of fewer runs removes what the previous one wrote, and nothing else.
    const target = `${folder}/a/b`;
    const names = (part: string) =>
      [...Deno.readDirSync(`${target}/${part}`)].map(({ name }) => name).sort();
    const [page, data, changed, stale, ...none] = names("runs");
    assert.deepEqual(none, []);
    const pair = names("compare").filter((name) => name !== "index.html");
    assert.equal(pair.length, 1);
    await Deno.writeTextFile(`${target}/runs/mine.html`, "mine");
    await Deno.writeTextFile(`${target}/runs/${changed}`, "mine");
    const one = [files[0], "--out", target, "--force"];
    assert.equal(await site(one, (line) => said.push(line)), 0);
    assert.match(said.at(-1)!, /; removed \d+ pages of an earlier build$/);
    assert.deepEqual(names("runs"), [page, data, changed, "mine.html"].sort());
    assert.ok(stale.endsWith(".json"));
    assert.deepEqual(names("compare"), ["index.html"]);
    for (const kept of [`runs/${changed}`, "runs/mine.html", "notes.txt"]) {
      assert.equal(await Deno.readTextFile(`${target}/${kept}`), "mine", kept);
    }
    // A manifest that names files that no site has is not ours.
    const digest = createHash("sha256").update("mine").digest("hex");
    await Deno.writeTextFile(`${folder}/a/notes.txt`, "mine");
    for (const name of ["../notes.txt", `${folder}/a/notes.txt`]) {
      const manifest = { kind: "lighthouse-attention-bench site", files: { [name]: digest } };
      await Deno.writeTextFile(`${target}/site-files.json`, JSON.stringify(manifest));
      assert.equal(await site(one, () => {}), 0);
      assert.equal(await Deno.readTextFile(`${folder}/a/notes.txt`), "mine");
    }
    await assert.rejects(run("--out", files[0]), /write .*gpu-0\.json: it is not a folder$/);
    await assert.rejects(run("--out", `${files[0]}/x`), /write .*: a part of the path is a file$/);
  }));

Deno.test("deno task site refuses bad input with one line and writes nothing", () =>
  inFolder(async (folder) => {
    const good = await Deno.readTextFile(`${folder}/gpu-0.json`);
    const bad: Record<string, [string, RegExp]> = {
      cut: [good.slice(0, good.length / 2), /the JSON is cut off after \d+ characters$/],
      future: [
        good.replace('"schemaVersion":2', '"schemaVersion":9'),
        /written by a newer version/,
      ],
      html: ["<script>alert(1)</script>", /not JSON/],
      empty: ["", /it is empty/],
    };
    for (const [name, [text, reason]] of Object.entries(bad)) {
      const path = `${folder}/${name}.json`;
      await Deno.writeTextFile(path, text);
      const error = await site([`${folder}/gpu-0.json`, path, "--out", `${folder}/out`])
        .then(() => null, (error) => error);
      assert.match(error?.message ?? "accepted", reason);
      assert.ok(error.message.includes(`${name}.json`) && !error.message.includes("\n"));
      assert.equal(error.exitCode, 2);
    }
    // A hundred empty megabytes: refused by size, before it is read.
    const huge = await Deno.open(`${folder}/huge.json`, { write: true, create: true });
    await huge.truncate(100 * 2 ** 20);
    huge.close();
    await assert.rejects(
      site([`${folder}/huge.json`, "--out", `${folder}/out`]),
      /it has 100 MiB, the limit is 64 MiB$/,
    );
    await assert.rejects(
      site([`${folder}/gpu-0.json`, `${folder}/gpu-0.json`, "--out", `${folder}/out`]),
      /are results of one run/,
    );
    for (const url of ["javascript:alert(1)", "nowhere"]) {
      await assert.rejects(
        site([`${folder}/gpu-0.json`, "--out", `${folder}/out`, "--url", url]),
        /^UsageError: .*is not an http or https address/,
      );
    }
    await assert.rejects(site(["--out", "x"]), /argument result is required/);
    await assert.rejects(site([`${folder}/gpu-0.json`]), /--out is required/);
    await assert.rejects(Deno.stat(`${folder}/out`), Deno.errors.NotFound);
  }));

Deno.test("deno task site --live puts the page that measures beside the results, linked both ways", () =>
  inFolder(async (folder) => {
    const files = [`${folder}/gpu-0.json`, `${folder}/gpu-1.json`];
    assert.equal(await site([...files, "--live", "--out", `${folder}/site`, "--quiet"]), 0);
    const [index, page] = await Promise.all(
      ["index.html", "live/index.html"].map((path) => Deno.readTextFile(`${folder}/site/${path}`)),
    );
    assert.match(index, /<a href="live\/index\.html">/);
    assert.match(page, /<a href="\.\.\/index\.html">/);
    // A visitor's run stands beside the site's devices, not the repository's.
    const [build] = /<script type="application\/json" id="build">[^<]*/.exec(page)!;
    const { baselines } = JSON.parse(build.slice(build.indexOf("{")));
    assert.equal(baselines.length, 1);
  }));
