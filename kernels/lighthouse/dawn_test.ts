import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

Deno.test("every Lighthouse kernel is valid on Dawn's null backend", async () => {
  const script = new URL("_check_on_dawn.ts", import.meta.url);
  const config = new URL("../../deno.json", import.meta.url);
  const run = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--config", fileURLToPath(config), fileURLToPath(script)],
  }).output();
  const text = new TextDecoder();
  const stderr = text.decode(run.stderr);
  if (
    stderr.includes("the dawn stack could not be loaded") && !Deno.env.get("LIGHTHOUSE_REQUIRE_GPU")
  ) {
    console.warn(`skipped: ${stderr.trim().split("\n", 1)[0]}`);
    return;
  }
  assert.equal(run.code, 0, stderr);
  assert.equal(text.decode(run.stdout).trim(), "126 kernels");
});
