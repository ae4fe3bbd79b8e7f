import assert from "node:assert/strict";
import manifest from "../deno.json" with { type: "json" };
import { readGateConfig, settingsOf } from "../reports/gate/gate_config.ts";
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
    .replace(/\$SLURM_ARRAY_TASK_ID/g, "2").replace(/\$SLURM_ARRAY_TASK_COUNT/g, "8")
    .replaceAll('"$@"', "--resume");
  return [...joined.matchAll(/deno task (\w+)([^\n|)&;]*)/g)].map(([, task, rest]) =>
    [task, ...rest.replaceAll('"', "").trim().split(/\s+/)].filter(Boolean)
  );
}

Deno.test("examples: every bench line parses and every shard belongs to its matrix", async () => {
  let benches = 0;
  for (const file of FILES) {
    for (const [task, ...args] of commandsOf(await Deno.readTextFile(new URL(file, FOLDER)))) {
      assert.ok(Object.hasOwn(manifest.tasks, task), `${file}: ${task}`);
      if (task !== "bench") continue;
      benches++;
      assert.ok(parseBench(args), `${file}: ${args.join(" ")}`);
    }
  }
  assert.equal(benches, 4);
});

Deno.test("examples: the gate's configuration leaves the times of all cases unconstrained", async () => {
  const config = await readGateConfig(new URL("github_actions/gate.json", FOLDER).pathname);
  for (const suite of ["latency", "throughput", "context-parallel", "retrieval"]) {
    assert.equal(settingsOf(`${suite}/dense/forward/N2048`, config).times, "ignore");
  }
});

/** Scripts of a workflow's steps: the text below each `run: |`, and of each one-line `run:`. */
function scriptsOf(text: string): string[] {
  const lines = text.split("\n");
  return lines.flatMap((line, i) => {
    const found = /^(\s*(?:- )?)run: (.*)$/.exec(line);
    if (!found) return [];
    if (found[2] !== "|") return [found[2]];
    const rest = lines.slice(i + 1);
    const end = rest.findIndex((later) =>
      later.trim() !== "" && later.search(/\S/) <= found[1].length
    );
    return [rest.slice(0, end < 0 ? undefined : end).join("\n")];
  });
}

Deno.test("examples: every script is valid bash", async () => {
  let count = 0;
  for (const file of FILES) {
    const text = await Deno.readTextFile(new URL(file, FOLDER));
    const scripts = file.endsWith(".yml") ? scriptsOf(text) : [text];
    for (const script of scripts) {
      const bash = new Deno.Command("bash", { args: ["-n"], stdin: "piped", stderr: "piped" });
      const process = bash.spawn();
      const writer = process.stdin.getWriter();
      await writer.write(
        new TextEncoder().encode(script.replace(/\$\{\{[^}]*\}\}/g, "value")),
      );
      await writer.close();
      const { success, stderr } = await process.output();
      assert.ok(success, `${file}: ${new TextDecoder().decode(stderr)}`);
      count++;
    }
  }
  assert.equal(count, 13);
});

Deno.test("examples: a shard runs only if its job sees one GPU", async () => {
  const script = await Deno.readTextFile(new URL("slurm/paper.sbatch", FOLDER));
  const folder = await Deno.makeTempDir();
  try {
    const program = (name: string, text: string) =>
      Deno.writeTextFile(`${folder}/${name}`, `#!/bin/bash\n${text}\n`, { mode: 0o755 });
    await program("deno", 'echo "$@"');
    const gpu = (i: number) => `GPU ${i}: NVIDIA H200 (UUID: GPU-${i})`;
    // Output of nvidia-smi --list-gpus, and the exit code of the script; undefined: no such
    // program.
    const cases: [string | undefined, number][] = [
      [undefined, 0],
      [gpu(0), 0],
      [`${gpu(0)}\n  MIG 1g.18gb Device 0: (UUID: MIG-1)`, 0],
      [`${gpu(0)}\n${gpu(1)}`, 2],
      ["No devices were found", 2],
    ];
    for (const [listed, expected] of cases) {
      if (listed !== undefined) await program("nvidia-smi", `cat <<END\n${listed}\nEND`);
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-c", script],
        clearEnv: true,
        env: {
          PATH: `${folder}:${Deno.env.get("PATH")}`,
          SLURM_SUBMIT_DIR: folder,
          SLURM_ARRAY_JOB_ID: "7",
          SLURM_ARRAY_TASK_ID: "2",
          SLURM_ARRAY_TASK_COUNT: "8",
        },
      }).output();
      const [said, complaint] = [stdout, stderr].map((text) => new TextDecoder().decode(text));
      assert.equal(code, expected, complaint);
      if (expected === 0) assert.match(said, /--shard 2\/8 --out out\/slurm\/7\/shard-2$/m);
      else {assert.match(
          complaint,
          /^this job sees \d GPUs and must see 1: is ConstrainDevices=yes/,
        );}
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("examples: the gate's step fails if the change may be to blame, and passes otherwise", async () => {
  const text = await Deno.readTextFile(new URL("github_actions/gate.yml", FOLDER));
  const script = scriptsOf(text).find((one) => one.includes("deno task gate"))!;
  const folder = await Deno.makeTempDir();
  try {
    // A stand-in for deno that writes the gate's output and exits with the given code.
    await Deno.writeTextFile(
      `${folder}/deno`,
      `#!/bin/bash\n[ "$CODE" = 2 ] || echo "### verdict" > "$RUNNER_TEMP/gate.md"\nexit "$CODE"\n`,
      { mode: 0o755 },
    );
    for (const [code, expected] of [[0, 0], [1, 1], [2, 2], [3, 0], [4, 0]]) {
      await Deno.remove(`${folder}/gate.md`).catch(() => {});
      await Deno.writeTextFile(`${folder}/summary.md`, "");
      const { code: ended } = await new Deno.Command("bash", {
        args: ["-e", "-o", "pipefail", "-c", script],
        clearEnv: true,
        env: {
          PATH: `${folder}:${Deno.env.get("PATH")}`,
          CODE: String(code),
          RUNNER_TEMP: folder,
          GITHUB_STEP_SUMMARY: `${folder}/summary.md`,
        },
      }).output();
      assert.equal(ended, expected, `gate ended with ${code}`);
      const summary = await Deno.readTextFile(`${folder}/summary.md`);
      assert.equal(summary.includes("### verdict"), code !== 2);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
