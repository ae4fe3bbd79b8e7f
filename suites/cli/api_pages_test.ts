import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import PINNED from "../../fixtures/public_names.json" with { type: "json" };
import { inBrowser } from "../../reports/site/_check_lines.ts";
import { chromium } from "../../reports/site/_chromium.ts";
import { writeSite } from "../../reports/site/write_site.ts";
import { ALL_CASES, slow } from "../../tools/_cases.ts";
import { apiPages, publishable } from "./api_pages.ts";

Deno.test({
  ...slow("apiPages has a page for every public name, under a policy and without local paths"),
  fn: async () => {
    const pages = await apiPages();
    const paths = new Set(pages.map(({ path }) => path));
    for (const [entry, names] of Object.entries(PINNED)) {
      for (const name of names) {
        const path = `api/${entry.slice(2)}/~/${name}.html`.replace("//", "/");
        assert.ok(paths.has(path), path);
      }
    }
    const root = fileURLToPath(new URL("../../", import.meta.url));
    for (const { path, text } of pages) {
      assert.ok(!text.includes(root), `${path} names ${root}`);
      assert.doesNotMatch(text, /file:(\/|&#x2F;)/, path);
      if (!path.endsWith(".html")) continue;
      assert.equal(text.match(/Content-Security-Policy/g)?.length, 1, path);
      // What the policy would refuse: scripts in the page, and handlers in attributes.
      assert.doesNotMatch(text, /<script(?![^>]* src=)|<[^>]* on[a-z]+="/, path);
    }
    const bytes = pages.reduce((sum, { text }) => sum + text.length, 0);
    assert.ok(bytes < 16 * 2 ** 20, `${bytes} bytes`);
  },
});

Deno.test("publishable shows what to import", () => {
  const page = publishable("<p>import { a } from &quot;./kernels&quot;; from &quot;.&quot;</p>");
  assert.match(
    page,
    /@lighthouse-attention\/bench\/kernels&quot;.*@lighthouse-attention\/bench&quot;/,
  );
});

const named = inBrowser("pages of the API work from disk under their policy");

Deno.test({
  ...slow(named.name),
  ignore: named.ignore || !ALL_CASES,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeSite(await apiPages(), folder);
      const script = fileURLToPath(new URL("_api_browser.ts", import.meta.url));
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--no-prompt", "--allow-all", script, chromium!, `${folder}/api`],
      }).output();
      const decoder = new TextDecoder();
      assert.equal(decoder.decode(stdout).trim(), "[]", decoder.decode(stderr));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
