import assert from "node:assert/strict";
import { readCorpus } from "./corpus.ts";

Deno.test("readCorpus: a file, a folder in the order of paths, the last twentieth held out", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/b`);
    await Deno.writeTextFile(`${folder}/c.md`, "c".repeat(1000));
    await Deno.writeTextFile(`${folder}/b/a.txt`, "a".repeat(1000));
    await Deno.writeTextFile(`${folder}/a.bin`, "x".repeat(1000));
    const { training, heldOut, sha256 } = await readCorpus(folder, { context: 16 });
    const text = new TextDecoder().decode(training);
    assert.equal(text, "a".repeat(1000) + "c".repeat(900));
    assert.equal(heldOut.length, 100);
    assert.match(sha256, /^[0-9a-f]{64}$/);
    const file = await readCorpus(`${folder}/a.bin`, { context: 16 });
    assert.equal(file.training.length + file.heldOut.length, 1000);
    await assert.rejects(readCorpus(folder, { context: 64 }), {
      message: `corpus ${folder}: 2000 bytes of 2 files; contexts of 64 need 2580`,
    });
    await assert.rejects(readCorpus(`${folder}/none`, { context: 16 }), {
      message: `corpus ${folder}/none: there is no such file or folder`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
