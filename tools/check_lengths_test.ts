import assert from "node:assert/strict";
import { faultOf, findLong, MOST_LINES } from "./check_lengths.ts";

const body = (lines: number) => "const a = 1;\n".repeat(lines);

Deno.test("a file may have 400 lines, and more with a reason at its head", () => {
  assert.equal(faultOf("a.ts", body(MOST_LINES)), undefined);
  assert.match(faultOf("a.ts", body(MOST_LINES + 1))!, /^a\.ts: 401 lines; 400 are the limit/);
  const long = body(MOST_LINES);
  for (
    const head of [
      "/**\n * One table. Long because it has a row for every function.\n */\n",
      "/**\n * One table. Long\n * because it has a row for every function.\n */\n",
      "// Long because one thread does all of it.\n",
      "# Long because Python takes one file.\n",
      "/**\n * `deno task generate` writes this file from the schemas.\n */\n",
    ]
  ) {
    assert.equal(faultOf("a.ts", head + long), undefined, head);
  }
  // No reason: none given, or not at the head.
  assert.ok(faultOf("a.ts", `// Long because\n${long}`));
  assert.ok(faultOf("a.ts", `${body(40)}// Long because it is.\n${long}`));
});

Deno.test("findLong reads sources and leaves fixtures out", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const root = new URL(`file://${folder}/`);
    for (const path of ["a/b", "fixtures", ".git"]) {
      await Deno.mkdir(`${folder}/${path}`, { recursive: true });
    }
    const long = body(MOST_LINES + 1);
    for (const path of ["c.tsx", "a/b/x.wgsl", "a/y.md", "fixtures/z.ts", ".git/z.ts"]) {
      await Deno.writeTextFile(`${folder}/${path}`, long);
    }
    const paths = (await findLong(root)).map((fault) => fault.split(":")[0]);
    assert.deepEqual(paths, ["a/b/x.wgsl", "c.tsx"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
