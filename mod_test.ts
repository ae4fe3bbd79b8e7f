import assert from "node:assert/strict";
import CONFIG from "./deno.json" with { type: "json" };

const PINNED = new URL("fixtures/public_names.json", import.meta.url);

/** Names that an entry of the package exports, types among them, in their order. */
async function namesOf(entry: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("deno", {
    args: ["doc", "--quiet", "--json", entry],
    cwd: new URL(".", import.meta.url),
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: { name: string }[] }>;
  };
  return Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name)).sort();
}

Deno.test("every entry exports the names that fixtures/public_names.json lists", async () => {
  const found: Record<string, string[]> = {};
  for (const [entry, path] of Object.entries(CONFIG.exports)) found[entry] = await namesOf(path);
  assert.ok(Object.values(found).every((names) => names.length > 10));
  if (Deno.args.includes("--update")) {
    await Deno.writeTextFile(PINNED, `${JSON.stringify(found, null, 2)}\n`);
  }
  const pinned = JSON.parse(await Deno.readTextFile(PINNED));
  assert.deepEqual(
    found,
    pinned,
    "where the change is meant: deno task test mod_test.ts -- --update, and a line in CHANGELOG.md",
  );
});

Deno.test("the main entry stays small", async () => {
  const names = await namesOf(CONFIG.exports["."]);
  // A page of documentation; what authors of kernels and suites need has entries of its own.
  assert.ok(names.length <= 80, `${names.length} names`);
});
