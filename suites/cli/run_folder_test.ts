import assert from "node:assert/strict";
import { OutputError } from "../errors.ts";
import { bench } from "./bench.ts";
import { chooseFolder } from "./run_folder.ts";

async function inFolder(test: (home: string) => Promise<void>) {
  const home = await Deno.makeTempDir();
  try {
    await test(home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function leave(folder: string, ...names: string[]) {
  await Deno.mkdir(folder, { recursive: true });
  for (const name of names) await Deno.writeTextFile(`${folder}/${name}`, "earlier");
}

Deno.test("chooseFolder: the same command again gets a fresh folder, resume the newest", () =>
  inFolder(async (home) => {
    const choose = async (options = {}) => {
      const claim = await chooseFolder(options, { home });
      await claim.release();
      return claim.folder;
    };
    // What other commands keep there is no run.
    await leave(`${home}/out`, "notes.txt");
    assert.equal(await choose(), `${home}/out`);
    assert.equal(await choose({ resume: true }), `${home}/out`);
    await leave(`${home}/out`, "result.json");
    assert.equal(await choose(), `${home}/out/run-2`);
    assert.equal(await choose({ resume: true }), `${home}/out`);
    assert.equal(await choose({ force: true }), `${home}/out`);
    await leave(`${home}/out/run-2`, "report.html");
    assert.equal(await choose(), `${home}/out/run-3`);
    assert.equal(await choose({ resume: true }), `${home}/out/run-2`);
  }));

Deno.test("bench refuses files of an earlier run before it looks for a device", () =>
  inFolder(async (home) => {
    for (const name of ["result.json", "report.html", "summary.md"]) {
      const out = `${home}/${name}-there`;
      await leave(out, name);
      await assert.rejects(bench(["--out", out, "--quiet"]), (error) => {
        assert.ok(error instanceof OutputError);
        assert.equal(
          error.message,
          `write ${out}/${name}: it exists; --force overwrites it, --resume continues a ` +
            "partial result",
        );
        return true;
      });
      const left = [...Deno.readDirSync(out)].map((entry) => entry.name);
      assert.deepEqual(left, [name]);
      assert.equal(await Deno.readTextFile(`${out}/${name}`), "earlier");
      for (const how of [{ force: true }, { resume: true }]) {
        const claim = await chooseFolder({ out, ...how });
        await claim.release();
        assert.equal(claim.folder, out);
      }
    }
  }));

Deno.test("bench refuses a folder that another process writes to, and takes the next by itself", () =>
  inFolder(async (home) => {
    const first = await chooseFolder({}, { home });
    const second = await chooseFolder({}, { home });
    assert.deepEqual([first.folder, second.folder], [`${home}/out`, `${home}/out/run-2`]);
    for (const how of [[], ["--force"], ["--resume"]]) {
      await assert.rejects(
        bench(["--out", first.folder, "--quiet", ...how]),
        (error) =>
          error instanceof OutputError &&
          error.message ===
            `write to ${home}/out: another process is writing there; take another ` +
              "folder, or wait for it",
      );
    }
    await second.release();
    await first.release();
    assert.deepEqual([...Deno.readDirSync(home)], []);
  }));
