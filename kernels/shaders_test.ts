import assert from "node:assert/strict";
import { KERNEL_CATALOG, recordEntry } from "./_kernel_catalog.ts";
import { digestShaders, expectDigests } from "./_shader_fixtures.ts";
import type { RecordedShader } from "./gpu/_recording_device.ts";

const recorded = new Map<string, readonly RecordedShader[]>();
for (const entry of KERNEL_CATALOG) {
  assert.ok(!recorded.has(entry.name), `${entry.name} is in the catalog twice`);
  recorded.set(entry.name, await recordEntry(entry));
}

Deno.test("every shader is the same to the byte as its digest in fixtures/shaders says", () => {
  const digests: Record<string, string> = {};
  for (const [name, shaders] of recorded) Object.assign(digests, digestShaders(name, shaders));
  expectDigests("kernels.json", digests);
});

/** Files under a folder, by their path from `kernels/`. */
function* sourceFiles(folder = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder || ".", import.meta.url))) {
    const path = `${folder}${name}`;
    if (isDirectory) yield* sourceFiles(`${path}/`);
    else if (!/^_|_test\.ts$/.test(name)) yield path;
  }
}

Deno.test("the catalog holds every kernel: all files that compile a pipeline, all .wgsl files", () => {
  const read = (path: string) => Deno.readTextFileSync(new URL(path, import.meta.url));
  const shaders = [...recorded.values()].flat();
  const callers = new Set(shaders.map(({ caller }) => caller.replace(/^kernels\//, "")));
  const codes = [...new Set(shaders.map(({ code }) => code))];
  const missing = [...sourceFiles()].filter((path) =>
    path.endsWith(".wgsl")
      ? !codes.some((code) => code.includes(read(path)))
      : path !== "gpu/pipeline.ts" && /\bcreatePipeline\(/.test(read(path)) && !callers.has(path)
  );
  assert.deepEqual(missing, [], "add these to kernels/_kernel_catalog.ts");
});
