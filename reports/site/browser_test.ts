import assert from "node:assert/strict";
import { chromium } from "./_chromium.ts";

const why = chromium === undefined ? " (skipped: no Chromium; apt-get install chromium)" : "";

Deno.test(`site in a real browser${why}`, { ignore: chromium === undefined }, async (test) => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--allow-all",
      new URL("_browser_checks.ts", import.meta.url).pathname,
      chromium!,
    ],
  }).output();
  const lines = new TextDecoder().decode(stdout).split("\n").filter((line) => line.startsWith("{"));
  for (const line of lines) {
    const { name, ok, detail } = JSON.parse(line);
    await test.step(name, () => assert.ok(ok, detail));
  }
  assert.ok(success, new TextDecoder().decode(stderr));
  assert.ok(lines.length >= 29, `${lines.length} checks ran`);
});
