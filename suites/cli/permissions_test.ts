/**
 * Permission sets of deno.json: each command runs with its set, asks for all of it, and needs it.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { CUDA_LIBRARIES } from "../device/cuda_context.ts";
import { libraryPaths, packageFolders } from "../device/native_libraries.ts";
import { sampleResult } from "../result/_sample_result.ts";
import { permissionFlags, type StartedCommand } from "./start.ts";
import { slow } from "../../tools/_cases.ts";

/** The smallest layers; checking them takes seconds. */
const LAYER = "correctness --context 512 --profile smoke --head-dim 32 --levels 2 --pooling 2 " +
  "--k 128 --scorer norm --direction forward --no-install";

/** Declared, and asked for only where the reason says. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  LOCALAPPDATA: "on Windows",
  HOME: "elsewhere than on Windows",
  XDG_CACHE_HOME: "elsewhere than on Windows",
  XDG_RUNTIME_DIR: "on Linux",
  PATH: "where LD_LIBRARY_PATH keeps a tool from starting",
  LD_LIBRARY_PATH: "with a peer",
};

interface Row {
  readonly name: StartedCommand;
  readonly line: string;
  readonly code: number;
  /** Whether it uses the device. */
  readonly gpu?: boolean;
}

const ROWS: readonly Row[] = [
  { name: "bench", line: `${LAYER} --stack auto --out FOLDER/bench`, code: 0, gpu: true },
  { name: "replay", line: "FOLDER/bench/result.json --no-install", code: 0, gpu: true },
  { name: "doctor", line: "", code: 0, gpu: true },
  {
    name: "tune",
    line: "--context 256 --head-dim 32 --direction forward --budget 0.001 --out FOLDER/t.json",
    code: 5,
    gpu: true,
  },
  // No unit ends within so little time, so that none is trained.
  {
    name: "train",
    line: "smoke --budget 0.001 --no-install --out FOLDER/train",
    code: 5,
    gpu: true,
  },
  { name: "install_driver", line: "", code: 0 },
  { name: "report", line: "FOLDER/a.json --out FOLDER/report", code: 0 },
  { name: "site", line: "FOLDER/a.json --out FOLDER/site", code: 0 },
  // Not `page`: the Deno that it starts writes to the same audit log at the same time.
  { name: "gate", line: "FOLDER/a.json FOLDER/b.json --out FOLDER/gate.txt", code: 0 },
  { name: "merge", line: "FOLDER/a.json --out FOLDER/merged.json", code: 2 }, // it is not a shard
  { name: "completion", line: "bash", code: 0 },
];

/**
 * Runs a command with its set and `extra` flags; what it said and which permissions it asked for.
 */
async function runWith(
  { name, line }: Pick<Row, "name" | "line">,
  folder: string,
  flags: readonly string[] = permissionFlags(name),
) {
  const audit = await Deno.makeTempFile({ dir: folder });
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-check",
      ...flags,
      fileURLToPath(new URL(`${name}.ts`, import.meta.url)),
      ...line.replaceAll("FOLDER", folder).split(" ").filter(Boolean),
    ],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { NO_COLOR: "1", DENO_AUDIT_PERMISSIONS: audit, INIT_CWD: folder },
  }).output();
  const asked = (await Deno.readTextFile(audit)).trim().split("\n").filter(Boolean)
    .map((entry) => JSON.parse(entry) as { permission: string; value: string });
  return { code, complaint: new TextDecoder().decode(stderr), asked };
}

async function inFolder(test: (folder: string) => Promise<void>) {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const sample = sampleResult({ contexts: [8192] });
  const later = { ...sample, startedAt: "2026-01-01T00:00:00.000Z" };
  try {
    await Deno.writeTextFile(`${folder}/a.json`, JSON.stringify(sample));
    await Deno.writeTextFile(`${folder}/b.json`, JSON.stringify(later));
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Flags of a command's set without one kind. */
function flagsWithout(name: StartedCommand, kind: string): string[] {
  const entries = Object.entries(manifest.permissions[name] as Record<string, true | string[]>);
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  return [
    "--no-prompt",
    `--config=${config}`,
    ...entries.filter(([one]) => one !== kind && one !== "ffi")
      .map(([one, value]) => `--allow-${one}${value === true ? "" : `=${value.join(",")}`}`),
  ];
}

const list = (value: unknown) => Array.isArray(value) ? value as string[] : [];

Deno.test({
  ...slow("a command runs with its permission set and asks for all of it"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    gpu?.destroy();
    await inFolder(async (folder) => {
      for (const row of ROWS) {
        if (row.gpu && !gpu) continue;
        const { code, complaint, asked } = await runWith(row, folder);
        assert.equal(code, row.code, `${row.name}: ${complaint}`);
        assert.doesNotMatch(complaint, /NotCapable|Requires .* access|permission for it/, row.name);
        const set = manifest.permissions[row.name] as { env?: unknown; sys?: unknown };
        for (const kind of ["env", "sys"] as const) {
          const names = asked.filter((one) => one.permission === kind).map(({ value }) => value);
          const idle = list(set[kind]).filter((name) => !names.includes(name) && !ELSEWHERE[name]);
          assert.deepEqual(idle, [], `${row.name} never asks for these of ${kind}`);
        }
      }
    });
  },
});

Deno.test("a command fails in one line where its set lacks reading or writing", () =>
  inFolder(async (folder) => {
    for (const row of ROWS) {
      if (row.gpu || !("write" in manifest.permissions[row.name])) continue;
      for (const kind of ["read", "write"]) {
        const { code, complaint } = await runWith(row, folder, flagsWithout(row.name, kind));
        assert.equal(code, 2, `${row.name} without ${kind}: ${complaint}`);
        assert.match(complaint, /^[^\n]*not given permission for it[^\n]*\n$/, row.name);
      }
    }
  }));

Deno.test("every task with a set names it, and only tasks of the device get libraries", () => {
  const tasks = Object.entries(manifest.tasks);
  for (const [task, { command, description }] of tasks) {
    assert.ok(description.length <= 76, `${task}: ${description}`);
    assert.doesNotMatch(
      command,
      /--allow-(?!dirty)/,
      `${task}: permissions belong into a permission set`,
    );
    for (const [, set] of command.matchAll(/-qP=(\S+)/g)) {
      assert.ok(Object.hasOwn(manifest.permissions, set), `${task}: ${set}`);
    }
    const started = /start\.ts (\S+)$/.exec(command)?.[1].split("/").at(-1);
    if (started) assert.ok(Object.hasOwn(manifest.permissions, started), `${task}: ${started}`);
    // One short line is what Deno prints before a command of a user.
    if (started) assert.ok(`Task ${task} ${command}`.length < 80, command);
  }
  assert.deepEqual(
    Object.entries(manifest.permissions).flatMap(([name, set]) => "ffi" in set ? [name] : []),
    ["bench", "verify", "doctor", "gate", "replay", "tune", "train", "test"],
  );
});

Deno.test("libraryPaths: Dawn's folders, CUDA's libraries, or a path", () => {
  const read = (name: string) => ({ HOME: "/home/me", DENO_DIR: "/cache" })[name];
  assert.deepEqual(libraryPaths("$DAWN", read), packageFolders(read));
  assert.deepEqual(packageFolders(read), [
    "/home/me/.cache/deno/npm",
    "/home/me/Library/Caches/deno/npm",
    "/cache/npm",
  ]);
  assert.deepEqual(libraryPaths("$CUDA"), CUDA_LIBRARIES);
  assert.deepEqual(libraryPaths("/lib/x.so"), ["/lib/x.so"]);
});
