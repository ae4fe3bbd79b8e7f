import { ALL_CASES } from "../../tools/_cases.ts";
import { inBrowser, runChecks } from "./_check_lines.ts";

Deno.test({
  ...inBrowser("site in a real browser"),
  fn: async (test) => {
    await runChecks(test, new URL("_browser_checks.ts", import.meta.url), {
      least: ALL_CASES ? 30 : 18,
    });
  },
});
