/**
 * The fixtures that tests compare shaders with: a digest of the exact text of each shader, and
 * indented snapshots of a few.
 *
 * `deno task test kernels/shaders_test.ts suites/device/calibrate_test.ts -- --update` rewrites
 * both from the current code.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { RecordedShader } from "./gpu/_recording_device.ts";

const FOLDER = new URL("../fixtures/shaders/", import.meta.url);
const UPDATE = Deno.args.includes("--update");
const HOW = "If this change is intended, run the test with `-- --update` and commit the result.";

/** SHA-256 of the exact text of each shader of an entry of the catalog, by the shader's label. */
export function digestShaders(
  entry: string,
  shaders: readonly RecordedShader[],
): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const { label, code, entryPoint } of shaders) {
    const digest = createHash("sha256").update(`${entryPoint}\n${code}`).digest("hex");
    if (Object.values(digests).includes(digest)) continue;
    let name = `${entry}: ${label}`;
    // The variant for a buffer that is bound twice has the same label.
    while (name in digests) name += " again";
    digests[name] = digest;
  }
  return digests;
}

/** Compares digests with a file of `fixtures/shaders/`, or writes the file. */
export function expectDigests(file: string, digests: Readonly<Record<string, string>>): void {
  const url = new URL(file, FOLDER);
  const names = Object.keys(digests).sort();
  if (UPDATE) {
    const sorted = Object.fromEntries(names.map((name) => [name, digests[name]]));
    Deno.mkdirSync(FOLDER, { recursive: true });
    Deno.writeTextFileSync(url, `${JSON.stringify(sorted, null, 1)}\n`);
    return;
  }
  const known: Record<string, string> = JSON.parse(Deno.readTextFileSync(url));
  const changed = names.filter((name) => name in known && known[name] !== digests[name]);
  const added = names.filter((name) => !(name in known));
  const gone = Object.keys(known).filter((name) => !(name in digests));
  const list = (what: string, those: readonly string[]) =>
    those.length === 0 ? [] : [
      `${those.length} ${what}:`,
      ...those.slice(0, 10).map((name) => `  ${name}`),
      ...those.length > 10 ? ["  …"] : [],
    ];
  const lines = [
    ...list("shaders changed", changed),
    ...list("shaders are new", added),
    ...list("shaders are gone", gone),
  ];
  assert.ok(lines.length === 0, [`fixtures/shaders/${file}`, ...lines, HOW].join("\n"));
}

/**
 * A shader with each line indented by the brackets that are open before it. Kernels compile the
 * unindented text of the generators; only snapshots are indented.
 */
export function indentShader(code: string): string {
  let depth = 0;
  const lines = code.split("\n").map((line) => line.trim()).map((line) => {
    const text = line.replace(/\/\/.*/, "");
    const leading = text.match(/^[\s)}\]]*/)![0].replace(/\s/g, "").length;
    const indent = "  ".repeat(Math.max(0, depth - leading));
    depth += (text.match(/[({[]/g)?.length ?? 0) - (text.match(/[)}\]]/g)?.length ?? 0);
    return line && indent + line;
  });
  return `${lines.join("\n").replace(/\n{3,}/g, "\n\n").trim()}\n`;
}

/** Compares a shader with a snapshot in `fixtures/shaders/`, or writes the snapshot. */
export function expectSnapshot(
  file: string,
  { name, code }: { readonly name: string; readonly code: string },
): void {
  const url = new URL(file, FOLDER);
  const text =
    `// ${name}\n// Indented to be read; kernels/shaders_test.ts writes it when given --update.\n\n` +
    indentShader(code);
  if (UPDATE) Deno.writeTextFileSync(url, text);
  else assert.equal(text, Deno.readTextFileSync(url), `fixtures/shaders/${file} differs. ${HOW}`);
}
