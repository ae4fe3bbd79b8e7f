import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { DawnWarnings } from "./dawn_warnings.ts";

const SAID = `Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.
 - While initializing adapter (backend=BackendType::Vulkan)
    at InitializeImpl (/home/runner/PhysicalDeviceVk.cpp:257)`.split("\n");

Deno.test("DawnWarnings: one line for a warning, and none of what a command says is lost", () => {
  const own = ["1/2 ok", "    at the start of a line of its own", " - While alone", "Warnings: 2"];
  const dawn = new DawnWarnings({ quiet: false });
  const kept = [own, SAID, own.slice(0, 1), SAID.slice(0, 2), SAID.slice(2), own].flatMap((lines) =>
    dawn.keep(lines)
  );
  const short = "dawn: Vulkan shaderUniform*ArrayDynamicIndexing required.";
  assert.deepEqual(kept, [...own, short, own[0], short, own[0], ...own.slice(1)].filter(Boolean));
});

Deno.test("start: a quiet command leaves stderr empty of Dawn's own lines, errors stay", async () => {
  const start = fileURLToPath(new URL("start.ts", import.meta.url));
  const run = async (...args: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-all", start, ...args],
      env: { XDG_RUNTIME_DIR: "/tmp" },
    }).output();
    return { code, said: new TextDecoder().decode(stderr) };
  };
  // Dawn refuses the software adapter with a warning, where there is one.
  const { said } = await run("doctor", "--stack", "dawn", "-q");
  assert.doesNotMatch(said, /Warning|While|\.cpp/);
  const wrong = await run("doctor", "--stack", "metal", "-q");
  assert.equal(wrong.code, 2);
  assert.match(wrong.said, /^doctor: --stack metal is not one of /);
});
