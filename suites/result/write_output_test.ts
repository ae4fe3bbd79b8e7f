import assert from "node:assert/strict";
import { OutputError } from "../errors.ts";
import {
  claimFile,
  claimFolder,
  FOLDER_LOCK,
  refuseOverwrite,
  replaceFile,
  tryClaimFile,
  tryClaimFolder,
} from "./write_output.ts";
import { describeFileError } from "./file_errors.ts";

const HERE = import.meta.url;

async function inFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

const complains = (message: RegExp) => (error: unknown) =>
  error instanceof OutputError && message.test(error.message) && !/\n/.test(error.message);

/** A separate process that runs the code, with this module's exports as `output`. */
function start(code: string): Deno.ChildProcess {
  const module = new URL("./write_output.ts", HERE).href;
  const args = ["eval", "--quiet", `const output = await import("${module}");\n${code}`];
  return new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "piped" }).spawn();
}

async function ended(process: Deno.ChildProcess): Promise<string> {
  const { stdout, stderr } = await process.output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("claimFile: one of two writers gets a file, an existing file is kept", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.json`;
    const claim = await claimFile(path);
    await assert.rejects(
      claimFile(path),
      complains(/^write .*a\.json: another process is writing/),
    );
    await claim.write("one");
    assert.equal(await Deno.readTextFile(path), "one");
    assert.deepEqual(names(folder), ["a.json"]);
    await assert.rejects(claimFile(path), complains(/it exists; --force overwrites it$/));
    const forced = await claimFile(path, { force: true });
    assert.equal(await Deno.readTextFile(path), "one");
    await forced.write("two");
    assert.equal(await Deno.readTextFile(path), "two");
    await (await claimFile(path, { force: true })).release();
    assert.deepEqual([await Deno.readTextFile(path), names(folder)], ["two", ["a.json"]]);
  }));

Deno.test("claimFile: a writer that ends while another one checks does not block it", () =>
  inFolder(async (folder) => {
    const { lstat } = Deno;
    for (const step of ["lstat", "open"]) {
      const path = `${folder}/${step}.json`;
      const temporary = `${folder}/.${step}.json.part`;
      await Deno.writeTextFile(temporary, "theirs");
      Deno.lstat = async (given) => {
        const looks = given === temporary;
        if (looks) Deno.lstat = lstat;
        if (looks && step === "lstat") await Deno.remove(temporary);
        const found = await lstat(given);
        if (looks && step === "open") await Deno.remove(temporary);
        return found;
      };
      try {
        await (await claimFile(path)).write("ours");
      } finally {
        Deno.lstat = lstat;
      }
      assert.equal(await Deno.readTextFile(path), "ours");
    }
  }));

Deno.test("claimFile: a file that another process created meanwhile is not overwritten", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.json`;
    const claim = await claimFile(path);
    await Deno.writeTextFile(path, "theirs");
    await assert.rejects(claim.write("ours"), complains(/it exists/));
    assert.deepEqual([await Deno.readTextFile(path), names(folder)], ["theirs", ["a.json"]]);
  }));

Deno.test("claimFile names what is in the way, and --force spares links, folders and devices", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "kept");
    await assert.rejects(claimFile(`${folder}/none/a`), complains(/its folder does not exist$/));
    await assert.rejects(claimFile(`${folder}/file/a`), complains(/a part of the path is a file$/));
    await assert.rejects(claimFile(folder, { force: true }), complains(/a folder of that name/));
    await Deno.symlink(`${folder}/file`, `${folder}/link`);
    await (await claimFile(`${folder}/link`, { force: true })).write("new");
    assert.ok((await Deno.lstat(`${folder}/link`)).isSymlink);
    assert.equal(await Deno.readTextFile(`${folder}/file`), "new");
    await Deno.symlink(`${folder}/elsewhere`, `${folder}/.b.part`);
    await assert.rejects(claimFile(`${folder}/b`), complains(/a link of that name is in the way$/));
    if (Deno.build.os === "windows") return;
    const { success } = await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
    if (!success) return;
    const reader = Deno.readTextFile(`${folder}/pipe`);
    await (await claimFile(`${folder}/pipe`, { force: true })).write("through");
    assert.equal(await reader, "through");
    assert.ok((await Deno.lstat(`${folder}/pipe`)).isFifo);
  }));

Deno.test("claimFolder: one run per folder, and a folder created in vain is removed", () =>
  inFolder(async (folder) => {
    const out = `${folder}/a/b`;
    const claim = await claimFolder(out);
    assert.equal(await tryClaimFolder(out), undefined);
    await assert.rejects(claimFolder(out), complains(/^write to .*a\/b: another process is writ/));
    await claim.release();
    assert.deepEqual(names(folder), []);
    const again = await claimFolder(out);
    await replaceFile(`${out}/kept`, "x");
    await again.release();
    assert.deepEqual(names(out), ["kept"]);
    const check = () => refuseOverwrite([`${out}/kept`], false);
    await assert.rejects(claimFolder(out, { check }), complains(/kept: it exists/));
    await Deno.writeTextFile(`${folder}/file`, "");
    await assert.rejects(claimFolder(`${folder}/file`), complains(/file: it is not a folder$/));
    await assert.rejects(claimFolder(`${folder}/file/x`), complains(/part of the path is a file$/));
  }));

Deno.test("a claim dies with its process, and the next one takes over its files", () =>
  inFolder(async (folder) => {
    const holder = start(`
      await output.claimFolder(${JSON.stringify(folder)});
      await output.claimFile(${JSON.stringify(`${folder}/a.json`)});
      console.log("ready");
      await new Promise((resolve) => setTimeout(resolve, 60_000));`);
    const reader = holder.stdout.getReader();
    await reader.read();
    assert.equal(await tryClaimFolder(folder), undefined);
    assert.equal(await tryClaimFile(`${folder}/a.json`), undefined);
    assert.deepEqual(names(folder), [".a.json.part", FOLDER_LOCK]);
    holder.kill("SIGKILL");
    await holder.status;
    await reader.cancel();
    await holder.stderr.cancel();
    assert.deepEqual(names(folder), [".a.json.part", FOLDER_LOCK]);
    const claim = await claimFolder(folder);
    await (await claimFile(`${folder}/a.json`)).write("whole");
    await claim.release();
    assert.deepEqual(names(folder), ["a.json"]);
    assert.equal(await Deno.readTextFile(`${folder}/a.json`), "whole");
  }));

Deno.test("a process that exits midway leaves no unfinished files", () =>
  inFolder(async (folder) => {
    await ended(start(`
      await output.claimFolder(${JSON.stringify(folder)});
      await output.claimFile(${JSON.stringify(`${folder}/a.json`)});
      Deno.exit(3);`));
    assert.deepEqual(names(folder), []);
  }));

Deno.test("exactly one of many concurrent processes gets a file", () =>
  inFolder(async (folder) => {
    const path = JSON.stringify(`${folder}/a.json`);
    const said = await Promise.all(
      Array.from({ length: 4 }, (_, i) =>
        ended(start(`
          const until = ${Date.now() + 1500};
          while (Date.now() < until);
          try {
            const claim = await output.claimFile(${path});
            await new Promise((resolve) => setTimeout(resolve, 100));
            await claim.write("by ${i}");
            console.log("wrote");
          } catch (error) {
            console.log(error.name);
          }`))),
    );
    assert.deepEqual(said.map((text) => text.trim()).sort(), [
      "OutputError",
      "OutputError",
      "OutputError",
      "wrote",
    ]);
    assert.match(await Deno.readTextFile(`${folder}/a.json`), /^by \d$/);
  }));

Deno.test("on file systems without locks, a file serves as the lock until its process is dead", () =>
  inFolder(async (folder) => {
    const tryLock = () => Promise.reject(new Error("Function not implemented (os error 38)"));
    const lock = `${folder}/${FOLDER_LOCK}`;
    const claim = await tryClaimFolder(folder, { tryLock });
    assert.equal(await tryClaimFolder(folder, { tryLock }), undefined);
    // A killed process renews nothing.
    const before = new Date(Date.now() - 121_000);
    await Deno.utime(lock, before, before);
    const next = await tryClaimFolder(folder, { tryLock });
    assert.equal(next!.folder, folder);
    // A late release affects only its own claim.
    await claim!.release();
    assert.deepEqual(names(folder), [FOLDER_LOCK]);
    assert.equal(await tryClaimFolder(folder, { tryLock }), undefined);
    await next!.release();
    assert.deepEqual(names(folder), []);
  }));

Deno.test("replaceFile: a file that cannot be written is unchanged, without leftovers", () =>
  inFolder(async (folder) => {
    await replaceFile(`${folder}/a`, "old");
    await Deno.mkdir(`${folder}/b`);
    await assert.rejects(replaceFile(`${folder}/b`, "x"), complains(/^write .*b: /));
    await assert.rejects(
      replaceFile(`${folder}/none/x`, "x"),
      complains(/no such file or folder$/),
    );
    assert.deepEqual(names(folder), ["a", "b"]);
    assert.equal(await Deno.readTextFile(`${folder}/a`), "old");
  }));

Deno.test("describeFileError explains a full or read-only disk, without path and number", () => {
  const texts: [string, string][] = [
    [
      "No space left on device (os error 28): writefile '/a b/c.json'",
      "no space left on the device",
    ],
    ["Disk quota exceeded (os error 122)", "the disk quota is used up"],
    ["Read-only file system (os error 30): open '/a'", "the file system is read-only"],
    ["Input/output error (os error 5): rename '/a' -> '/b'", "Input/output error (os error 5)"],
  ];
  for (const [text, said] of texts) assert.equal(describeFileError(new Error(text)), said);
});
