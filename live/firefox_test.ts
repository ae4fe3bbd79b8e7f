import { inBrowser, runChecks } from "../reports/site/_check_lines.ts";
import { ALL_CASES, slow } from "../tools/_cases.ts";
import { buildPage } from "./build_page.ts";

const NAME = "the live page in Firefox";

Deno.test({
  ...(ALL_CASES ? inBrowser(NAME, "firefox") : slow(NAME)),
  fn: async (test) => {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/index.html`;
      await Deno.writeTextFile(file, await buildPage());
      await runChecks(test, new URL("_firefox_checks.ts", import.meta.url), {
        browser: "firefox",
        args: [file],
        least: 3,
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
