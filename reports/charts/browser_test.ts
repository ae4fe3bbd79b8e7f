import { inBrowser, runChecks } from "../site/_check_lines.ts";

Deno.test({
  ...inBrowser("charts in a real browser"),
  fn: async (test) => {
    await runChecks(test, new URL("_chart_checks.ts", import.meta.url), { least: 25 });
  },
});
