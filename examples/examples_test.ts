import assert from "node:assert/strict";
import manifest from "../deno.json" with { type: "json" };
import { readGateConfig } from "../reports/gate/gate_config.ts";
import { parseBench } from "../suites/cli/bench.ts";

const FOLDER = new URL(".", import.meta.url);
const FILES = [
  "github_actions/gate.yml",
  "github_actions/shards.yml",
  "slurm/paper.sbatch",
  "slurm/merge.sbatch",
];

/** Commands of an example, with continued lines joined and variables replaced. */
function commandsOf(text: string): string[][] {
  const joined = text.replace(/\\\n\s*/g, "").replace(/^\s*#.*$/gm, "")
    .replace(/\$\{\{ matrix\.shard \}\}/g, "2")
    .replace(/\$SLURM_ARRAY_TASK_ID/g, "2").replace(/\$SLURM_ARRAY_TASK_COUNT/g, "8");
  return [...joined.matchAll(/deno task (\w+)([^\n|)&;]*)/g)].map(([, task, rest]) =>
    [task, ...rest.replaceAll('"', "").trim().split(/\s+/)].filter(Boolean)
  );
}

Deno.test("examples: every bench line parses and every shard is one of its matrix", async () => {
  let benches = 0;
  for (const file of FILES) {
    for (const [task, ...args] of commandsOf(await Deno.readTextFile(new URL(file, FOLDER)))) {
      assert.ok(Object.hasOwn(manifest.tasks, task), `${file}: ${task}`);
      if (task !== "bench") continue;
      benches++;
      assert.ok(parseBench(args), `${file}: ${args.join(" ")}`);
    }
  }
  assert.equal(benches, 5);
});

Deno.test("examples: the gate's configuration is one, and leaves times of any case open", async () => {
  const config = await readGateConfig(new URL("github_actions/gate.json", FOLDER).pathname);
  assert.deepEqual(config.cases.map(({ times }) => times), ["ignore", "ignore"]);
});
