import assert from "node:assert/strict";
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { inBrowser, runChecks } from "../reports/site/_check_lines.ts";
import { digestSeededSelection } from "../suites/check/seeded_selection.ts";
import { LONG_CASES } from "../tools/_cases.ts";
import { buildPage, PAGE_LIMIT_BYTES } from "./build_page.ts";

let built: Promise<string> | undefined;

/** The page, which takes seconds to bundle. */
function pageHtml(): Promise<string> {
  return built ??= buildPage();
}

Deno.test("the live page is one file, small enough for a phone's connection", async () => {
  const html = await pageHtml();
  assert.ok(html.length < PAGE_LIMIT_BYTES, `${html.length} bytes`);
});

Deno.test({
  ...inBrowser("the live page in a real browser"),
  fn: async (test) => {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/index.html`;
      await Deno.writeTextFile(file, await pageHtml());
      const lines = await runChecks(test, new URL("_live_checks.ts", import.meta.url), {
        args: [file, ...LONG_CASES ? ["--all"] : []],
        least: LONG_CASES ? 10 : 5,
      });
      const found = lines.find(({ digests }) => digests)?.digests ?? [];
      const digests = found as readonly (readonly [string, string])[];
      await test.step(
        "selections have the digests of the command line",
        (step) => compare(step, digests),
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
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
