import assert from "node:assert/strict";
import { DEFAULT_GOLDEN, GoldenError, readGolden } from "./golden.ts";

const manifest = JSON.parse(await Deno.readTextFile(new URL("manifest.json", DEFAULT_GOLDEN)));

/** A folder with a modified copy of the first cases and their files. */
async function withFolder(
  change: (copy: typeof manifest, folder: string) => unknown | { text: string },
  use: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const copy = structuredClone(manifest);
  copy.selection.length = 1;
  copy.forward.length = 1;
  copy.baselines.length = 1;
  const files = [
    copy.selection[0].indices,
    ...[copy.forward[0], copy.baselines[0]].flatMap(({ files }) =>
      Object.values<{ file: string }>(files).map(({ file }) => file)
    ),
  ];
  for (const file of files) {
    await Deno.copyFile(new URL(file, DEFAULT_GOLDEN), `${folder}/${file}`);
  }
  const changed = await change(copy, folder) as { text?: string } | undefined;
  await Deno.writeTextFile(
    `${folder}/manifest.json`,
    changed?.text ?? JSON.stringify(copy),
  );
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Expects one line, exit code 2, and these words. */
const complains = (words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GoldenError, String(error));
  assert.equal(error.exitCode, 2);
  assert.ok(!error.message.includes("\n"));
  assert.match(error.message, words);
  return true;
};

Deno.test("readGolden reads the project's own vectors and their files", async () => {
  const golden = await readGolden();
  assert.equal(golden.selection.length, 11);
  assert.equal(golden.forward.length, 5);
  assert.deepEqual(
    new Set(golden.baselines.map(({ method }) => method)),
    new Set(["sliding-window", "bigbird", "moba", "nsa", "dsa", "hisa"]),
  );
  const [first] = golden.selection;
  const indices = await golden.readIndices(first.indices!, first.H * first.S);
  assert.equal(new Set(indices.subarray(0, first.S)).size, first.S);
});

Deno.test("readGolden reads another folder of the same format", async () => {
  await withFolder(() => {}, async (folder) => {
    assert.equal((await readGolden(folder)).selection[0].case, "s01");
    assert.equal((await readGolden(`${folder}/`)).forward.length, 1);
  });
});

const broken: [string, Parameters<typeof withFolder>[0], RegExp][] = [
  ["text that is not JSON", () => ({ text: "{" }), /manifest\.json: not JSON/],
  ["a missing field", (m) => delete m.selection[0].sha256, /manifest\.json: selection\.0\.sha256/],
  ["a malformed digest", (m) => m.selection[0].sha256 = "abc", /selection\.0\.sha256.*SHA-256/],
  ["another generator", (m) => m.generator.name = "mt19937", /generator\.name/],
  ["a path out of the folder", (m) => m.selection[0].indices = "../x", /plain file name/],
  ["an impossible layer", (m) => m.selection[0].p = 3, /case s01: .*pooling 3/],
  ["a wrong S", (m) => m.selection[0].S = 7, /case s01: S is 7, its options give 1152/],
  ["a wrong shape", (m) => m.forward[0].files.out.shape = [1], /shape of out is \[1\]/],
  [
    "no case",
    (m) => m.selection.length = m.forward.length = m.baselines.length = 0,
    /lists no case/,
  ],
  [
    "a baseline without gradients",
    (m) => delete m.baselines[0].files.dq,
    /case window_320: there is no dq/,
  ],
  [
    "a baseline's wrong shape",
    (m) => m.baselines[0].files.out.shape = [2, 40, 65],
    /case window_320: shape of out is \[2, 40, 65\], its options give \[2, 40, 64\]/,
  ],
  [
    "rows past the context",
    (m) => m.baselines[0].files.out.rows.step = 9,
    /case window_320: out holds row 354 of 320/,
  ],
  [
    "gradients of other rows",
    (m) => m.baselines[0].files.dk.rows.first = 2,
    /case window_320: dk holds other rows than out/,
  ],
  [
    "a missing file",
    (_, folder) => Deno.remove(`${folder}/selection-s01.i32.gz`),
    /selection-s01\.i32\.gz: no such file/,
  ],
];
for (const [name, change, words] of broken) {
  Deno.test(`readGolden refuses ${name}`, async () => {
    await withFolder(change, (folder) => assert.rejects(readGolden(folder), complains(words)));
  });
}

Deno.test("readGolden refuses a missing folder", async () => {
  await assert.rejects(
    readGolden("/nonexistent/golden"),
    complains(/manifest\.json: no such file/),
  );
});

Deno.test("Golden refuses files of the wrong length or with broken compression", async () => {
  const file = "selection-s01.i32.gz";
  await withFolder(() => {}, async (folder) => {
    const golden = await readGolden(folder);
    await assert.rejects(golden.readIndices(file, 2305), complains(/9216 bytes, its shape needs/));
    await assert.rejects(golden.readIndices(file, 2303), complains(/s01\.i32\.gz: /));
    await Deno.writeFile(`${folder}/${file}`, new Uint8Array([1, 2, 3]));
    await assert.rejects(golden.readIndices(file, 2304), complains(/s01\.i32\.gz: /));
  });
});

Deno.test("readGolden reads the folder of a package on a server", async () => {
  const asked: string[] = [];
  const { fetch } = globalThis;
  let gone = "";
  globalThis.fetch = async (input, init) => {
    const name = new URL(String(input)).pathname.split("/").at(-1)!;
    asked.push(`${init?.method ?? "GET"} ${name}`);
    if (name === gone) return new Response("no", { status: 404 });
    return new Response(await Deno.readFile(new URL(name, DEFAULT_GOLDEN)));
  };
  try {
    const remote = new URL("https://registry.example/fixtures/golden/");
    const golden = await readGolden(remote);
    assert.equal(golden.forward.length, 5);
    assert.equal(asked[0], "GET manifest.json");
    assert.ok(asked.slice(1).every((line) => line.startsWith("HEAD ")));
    const { files, H, S } = golden.forward[0];
    assert.equal((await golden.readIndices(files.idx.file, H * S)).length, H * S);
    gone = files.out.file;
    await assert.rejects(readGolden(remote), complains(/the server answered 404$/));
  } finally {
    globalThis.fetch = fetch;
  }
});
