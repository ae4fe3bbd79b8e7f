import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import CONFIG from "../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Text of every TypeScript file of the repository. */
async function readSources(folder: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name.startsWith(".") || name === "node_modules" || name === "out") continue;
    const path = `${folder}/${name}`;
    if (isDirectory) texts.push(...await readSources(path));
    else if (/\.tsx?$/.test(name)) texts.push(await Deno.readTextFile(path));
  }
  return texts;
}

Deno.test("every import of deno.json is used, and nothing is imported without it", async () => {
  const sources = await readSources(ROOT);
  const keys = Object.keys(CONFIG.imports);
  // A key with a slash at its end stands for all paths below it.
  const covers = (key: string, name: string) =>
    key.endsWith("/") ? name.startsWith(key) : name === key;
  const pattern = /^(?:import|export|\}) ?[^"\n]*\bfrom "([^"./][^"]*)";$/gm;
  const imported = sources.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name))
    .filter((name) => !name.startsWith("node:"));
  assert.ok(imported.length > 10);
  assert.deepEqual(imported.filter((name) => !keys.some((key) => covers(key, name))), []);
  // The compiler imports the one; the other is loaded by the specifier that deno.json gives it.
  const runtime = `${CONFIG.compilerOptions.jsxImportSource}/jsx-runtime`;
  const named = (key: string) =>
    key === runtime ||
    sources.some((text) =>
      text.includes(key.endsWith("/") ? `"${key}` : `"${key}"`) ||
      text.includes(`manifest.imports.${key}`)
    );
  assert.deepEqual(keys.filter((key) => !named(key)), []);
});
