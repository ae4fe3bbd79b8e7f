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

Deno.test("every import of deno.json is used, and nothing is imported past it", async () => {
  const sources = await readSources(ROOT);
  const imported = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/^(?:import|export|\}) ?[^"\n]*\bfrom "([^"./][^"]*)";$/gm)].map((
        [, name],
      ) => name)
    ).filter((name) => !name.startsWith("node:")),
  );
  assert.ok(imported.size > 10);
  // The compiler imports the one; the other is loaded by the specifier that deno.json gives it.
  const runtime = `${CONFIG.compilerOptions.jsxImportSource}/jsx-runtime`;
  imported.add(runtime);
  assert.ok(sources.some((text) => text.includes("manifest.imports.webgpu")));
  imported.add("webgpu");
  assert.deepEqual([...imported].sort(), Object.keys(CONFIG.imports).sort());
});
