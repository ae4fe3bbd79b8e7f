import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import golden from "../../fixtures/golden/manifest.json" with { type: "json" };
import { DeviceError } from "../../kernels/gpu/device.ts";
import { chromium } from "../../reports/site/_chromium.ts";
import type { Shown } from "./_browser_check.ts";
import type { PageReport } from "./main.ts";
import { ALL_CASES } from "../../tools/_cases.ts";

/** Runs Deno in the repository; returns its output, or undefined and the error output. */
async function runDeno(...args: string[]): Promise<{ out?: string; problem: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { out: success ? text.decode(stdout) : undefined, problem: text.decode(stderr).trim() };
}

/** The page, built by its task in a folder of its own. */
async function buildPage(folder: string): Promise<string | undefined> {
  const task = manifest.tasks["example-page"].command.replaceAll("out/browser", folder);
  const { out, problem } = await runDeno("task", "--quiet", "--eval", task);
  if (out !== undefined) return undefined;
  // The bundler itself is downloaded once from the npm registry.
  if (/esbuild/.test(problem) && /error sending request|npm/i.test(problem)) return problem;
  throw new Error(problem);
}

async function runInDeno(script: string): Promise<PageReport | undefined> {
  await import(pathToFileURL(script).href);
  const { runLayers } = globalThis as unknown as { runLayers: () => Promise<PageReport> };
  try {
    return await runLayers();
  } catch (error) {
    if (!(error instanceof Error) || error.name !== DeviceError.name) throw error;
    if (Deno.env.get("LIGHTHOUSE_REQUIRE_GPU") === "1") throw error;
    console.warn(`skipped in Deno: ${error.message}`);
    return undefined;
  }
}

async function runInChromium(page: string): Promise<Shown | undefined> {
  if (chromium === undefined) {
    console.warn("skipped in a browser: no Chromium; apt-get install chromium");
    return undefined;
  }
  const check = fileURLToPath(new URL("_browser_check.ts", import.meta.url));
  const { out, problem } = await runDeno("run", "--quiet", "--allow-all", check, chromium, page);
  assert.ok(out !== undefined, problem);
  const shown: Shown = JSON.parse(out);
  if (/^openDevice: .*(no navigator\.gpu|no WebGPU adapter)/.test(shown.status)) {
    console.warn(`skipped in a browser: ${shown.status}`);
    return undefined;
  }
  return shown;
}

/** Shaders are compiled once more there, for the adapter of the browser. */
const NOTE = ALL_CASES ? "" : " (in Deno; deno task test:all also opens it in Chromium)";

Deno.test(`one bundle of the kernels: Deno and Chromium make the selection of the golden vector${NOTE}`, async () => {
  const [{ idx_sha256: digest, case: name }] = golden.forward;
  assert.equal(name, "s0_norm_2048");
  const folder = await Deno.makeTempDir();
  try {
    const missing = await buildPage(folder);
    if (missing !== undefined) {
      console.warn(`skipped: no bundler: ${missing.split("\n", 1)[0]}`);
      return;
    }
    const script = await Deno.readTextFile(`${folder}/main.js`);
    assert.doesNotMatch(script, /\bDeno\.|["']node:|\brequire\(|\bimport[\s(]/);
    const [report, shown] = await Promise.all([
      runInDeno(`${folder}/main.js`),
      ALL_CASES ? runInChromium(`${folder}/index.html`) : undefined,
    ]);
    if (report) {
      assert.deepEqual(report.layers.map(({ error }) => error <= 1), [true, true]);
      assert.equal(report.layers[1].selection, digest);
      assert.equal(report.stack, "deno");
    }
    if (shown) {
      assert.match(shown.status, /^On .+, forward:$/);
      assert.deepEqual(shown.rows.map(([, result]) => result), [
        "matches float64",
        "matches float64",
      ]);
      assert.equal(shown.rows[1][2], digest);
      assert.deepEqual(shown.complaints, []);
      const files = ["index.html", "main.js"].map((file) =>
        pathToFileURL(`${folder}/${file}`).href
      );
      assert.deepEqual(shown.requests, files);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
