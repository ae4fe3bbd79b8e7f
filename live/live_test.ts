import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { chromium } from "../reports/site/_chromium.ts";
import { digestSeededSelection } from "../suites/check/seeded_selection.ts";
import { ALL_CASES } from "../tools/_cases.ts";
import { buildPage, PAGE_LIMIT_BYTES } from "./build_page.ts";

const why = chromium === undefined ? " (skipped: no Chromium; apt-get install chromium)" : "";

Deno.test(`the live page in a real browser${why}`, async (test) => {
  const folder = await Deno.makeTempDir();
  try {
    const html = await buildPage();
    assert.ok(html.length < PAGE_LIMIT_BYTES, `${html.length} bytes`);
    if (chromium === undefined) return;
    await Deno.writeTextFile(`${folder}/index.html`, html);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-prompt", "--allow-all"],
        fileURLToPath(new URL("_live_checks.ts", import.meta.url)),
        ...[chromium, `${folder}/index.html`],
        ...ALL_CASES ? ["--all"] : [],
      ],
    }).output();
    const lines = new TextDecoder().decode(stdout).split("\n")
      .filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    for (const { name, ok, detail } of lines.filter(({ name }) => name)) {
      await test.step(name, () => assert.ok(ok, detail));
    }
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.ok(lines.length >= (ALL_CASES ? 6 : 2), `${lines.length} checks ran`);
    const digests = lines.find(({ digests }) => digests)?.digests ?? [];
    await test.step("selections have the digests of the command line", (step) =>
      compare(step, digests));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Holds selections of the browser against those of this machine's device. */
async function compare(
  test: Deno.TestContext,
  digests: readonly (readonly [string, string])[],
): Promise<void> {
  const gpu = digests.length > 0 ? await testGpu(test) : undefined;
  if (!gpu) return;
  for (const [id, digest] of digests) {
    const [, context, heads, headDim] = /N(\d+)-H(\d+)-d(\d+)-f32-L3-p4-k128$/.exec(id)!.map(
      Number,
    );
    const shape = { heads, context, headDim, dtype: "f32" as const };
    const problem = {
      shape,
      direction: "forward" as const,
      options: { levels: 3, pooling: 4, k: 128 },
    };
    assert.equal(await digestSeededSelection(gpu, problem, { seed: 1010 }), digest, id);
  }
  gpu.destroy();
}
