import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { resultSchema } from "../result/result_schema.ts";
import { exitCodeOf } from "./exit_code.ts";
import type { MadeUpPage } from "./_made_up_page.ts";

/** A bundle for browsers; undefined, with the reason, if the bundler is not available. */
async function bundle(path: string): Promise<string | undefined> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", "browser", "--format", "esm", path],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  // A script in a separate context is not a module, so it has no address.
  if (success) return text.decode(stdout).replaceAll("import.meta.url", '"https://page.test/x.js"');
  const problem = text.decode(stderr);
  // The bundler itself is downloaded from the npm registry once.
  if (!/esbuild/.test(problem) || !/error sending request|npm/i.test(problem)) {
    throw new Error(problem);
  }
  console.warn(`skipped: ${problem.trim().split("\n")[0]}`);
  return undefined;
}

Deno.test("a whole run needs no Deno and no module of Node: a page gives its own host", async () => {
  const code = await bundle("suites/run/_made_up_page.ts");
  if (code === undefined) return;
  assert.deepEqual(code.match(/"node:[a-z/]+"/g) ?? [], []);
  // Only what a page has.
  const { crypto, navigator, performance, structuredClone, TextEncoder, URL } = globalThis;
  const page = {
    crypto,
    navigator,
    performance,
    structuredClone,
    TextEncoder,
    URL,
    addEventListener: () => {},
  };
  const context = createContext(page);
  runInContext(code, context);
  const result = await (page as unknown as MadeUpPage).runDice();
  assert.equal(runInContext("typeof Deno + typeof process", context), "undefinedundefined");
  // Objects of the page have their own prototypes.
  const read = resultSchema.parse(JSON.parse(JSON.stringify(result)));
  assert.equal(exitCodeOf(read), 0);
  assert.equal(read.cases.length, 3);
});
