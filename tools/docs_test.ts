/** README.md and docs/: checks their links, programs, commands, table and picture. */
import assert from "node:assert/strict";
import { fileURLToPath, pathToFileURL } from "node:url";
import manifest from "../deno.json" with { type: "json" };
import { testGpu } from "../kernels/gpu/_test_gpu.ts";
import { COMMANDS } from "../suites/cli/completion.ts";
import { parseCommand } from "../suites/cli/parse_command.ts";
import { readResult } from "../suites/result/read_result.ts";
import { slow } from "./_cases.ts";
import { closingLines } from "../reports/text/terminal.ts";
import { MARK, PICTURE, PICTURE_RUN, resultsTable, TABLE_RUNS } from "./readme.ts";

const ROOT = new URL("..", import.meta.url);
const PAGES = [
  "README.md",
  "CONTRIBUTING.md",
  "ARCHITECTURE.md",
  "suites/METHOD.md",
  "reports/gate/GATE.md",
  ...[...Deno.readDirSync(new URL("docs/", ROOT))].map(({ name }) => `docs/${name}`)
    .filter((name) => name.endsWith(".md")).sort(),
];

const textOf = (page: string) => Deno.readTextFileSync(new URL(page, ROOT));

/** Code blocks of a language. */
function blocksOf(page: string, language: string): string[] {
  const found = textOf(page).matchAll(/^```(\w*)\n([^]*?)^```$/gm);
  return [...found].filter(([, name]) => name === language).map(([, , code]) => code);
}

/** The anchor of a heading, as GitHub generates it. */
function anchorOf(heading: string): string {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
  return text.trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

Deno.test("docs: every link within the repository leads to a file and a heading", () => {
  let count = 0;
  for (const page of PAGES) {
    const prose = textOf(page).replace(/^```[^]*?^```$/gm, "");
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split("#");
      const url = path === "" ? new URL(page, ROOT) : new URL(path, new URL(page, ROOT));
      const { isFile } = Deno.statSync(url);
      count++;
      if (anchor === undefined || !isFile || !url.pathname.endsWith(".md")) continue;
      const headings = [...Deno.readTextFileSync(url).matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
        text
      );
      assert.ok(headings.map(anchorOf).includes(anchor), `${page}: ${target}`);
    }
  }
  assert.ok(count > 30, String(count));
});

/** Lines of shell blocks, without comments. */
function shellLines(): { page: string; line: string }[] {
  return PAGES.flatMap((page) =>
    blocksOf(page, "sh").flatMap((code) => code.split("\n"))
      .map((line) => ({ page, line: line.replace(/\s+#.*$/, "").trim() }))
      .filter(({ line }) => line !== "")
  );
}

Deno.test("docs: every task exists, and every command accepts its options", () => {
  let count = 0;
  for (const page of PAGES) {
    const inline = [...textOf(page).matchAll(/`deno task ([^`]+)`/g)].map(([, line]) => line);
    const shell = shellLines().filter((one) => one.page === page)
      .flatMap(({ line }) => [...line.matchAll(/deno task ([^|)]+)/g)].map(([, rest]) => rest));
    for (const line of [...inline, ...shell]) {
      const [name, ...rest] = line.replace(/^(-q|--quiet) /, "").trim().split(/\s+/);
      // What a table calls SHELL, or a test to run.
      if (!/^[a-z]/.test(name)) continue;
      assert.ok(Object.hasOwn(manifest.tasks, name), `${page}: deno task ${line}`);
      count++;
      // Placeholders in capitals and with an ellipsis stand for values that vary.
      if (!Object.hasOwn(COMMANDS, name) || /[A-Z…]{3,}|…|<|\[/.test(rest.join(" "))) continue;
      const command = COMMANDS[name]() as unknown as Parameters<typeof parseCommand>[0];
      const words = rest.map((word) => word.replaceAll(/["']/g, ""));
      if (words.length > 0) parseCommand(command, words);
    }
  }
  assert.ok(count > 40, String(count));
});

/** Lines that need no GPU, no network, no cluster and no minutes. */
const RUNS_HERE = /deno task (-q |--quiet )?(report|site|completion|doctor --plan)\b/;

Deno.test({
  ...slow("docs: the shell lines that can run here run"),
  fn: runShellLines,
});

async function runShellLines(): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await Deno.symlink(fileURLToPath(new URL("fixtures", ROOT)), `${folder}/fixtures`);
    // A run of the reader's own, which stands beside the baselines.
    const baseline = await Deno.readTextFile(
      new URL("fixtures/baselines/h200-default.json", ROOT),
    );
    const own = { ...JSON.parse(baseline), startedAt: "2099-01-01T00:00:00.000Z" };
    const result = new TextEncoder().encode(JSON.stringify(own));
    const zipped = new Blob([result]).stream().pipeThrough(new CompressionStream("gzip"));
    await Deno.writeFile(`${folder}/result.json.gz`, zipped);
    await Deno.mkdir(`${folder}/out`);
    await Deno.writeFile(`${folder}/out/result.json`, result);
    const lines = shellLines().filter(({ line }) => RUNS_HERE.test(line));
    const config = fileURLToPath(new URL("deno.json", ROOT));
    const { INIT_CWD: _, ...environment } = Deno.env.toObject();
    let ran = 0;
    let sites = 0;
    for (const { page, line } of lines) {
      const shell = line.includes("fish") ? "fish" : line.includes("zsh") ? "zsh" : "bash";
      const deno = `"${Deno.execPath()}" task --config "${config}"`;
      const command = line.replaceAll("deno task", deno)
        .replace(/^eval/, shell === "zsh" ? "autoload -Uz compinit; compinit -u -D; eval" : "eval");
      for (const made of ["report", "site"]) {
        await Deno.remove(`${folder}/${made}`, { recursive: true }).catch(() => {});
      }
      try {
        const { code, stderr } = await new Deno.Command(shell, {
          args: ["-c", command],
          cwd: folder,
          // Deno only sets the variable to this folder if it is unset.
          clearEnv: true,
          env: { ...environment, NO_COLOR: "1" },
        }).output();
        assert.equal(code, 0, `${page}: ${line}: ${new TextDecoder().decode(stderr)}`);
        ran++;
        if (/deno task (-q |--quiet )?site/.test(line)) {
          const index = await Deno.stat(`${folder}/site/index.html`).catch(() => null);
          assert.ok(index?.isFile, line);
          sites++;
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        console.warn(`skipped: ${page} needs ${shell}`);
      }
    }
    assert.ok(ran >= 4, String(ran));
    assert.ok(sites > 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  ...slow("docs: every program runs and prints numbers that are not zero"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    gpu?.destroy();
    if (!gpu) return;
    const folder = await Deno.makeTempDir();
    try {
      let count = 0;
      for (const page of PAGES) {
        for (const code of blocksOf(page, "ts")) {
          if (!/from "\.\.?\/mod\.ts"/.test(code)) continue;
          const path = `${folder}/${++count}.ts`;
          const mod = JSON.stringify(new URL("mod.ts", ROOT).href);
          await Deno.writeTextFile(path, code.replace(/"\.\.?\/mod\.ts"/, mod));
          const { code: ended, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
            args: [
              ...["run", "--quiet", "--no-check", "--allow-read", "--allow-env"],
              `--config=${fileURLToPath(new URL("deno.json", ROOT))}`,
              pathToFileURL(path).href,
            ],
            env: { NO_COLOR: "1" },
          }).output();
          const said = new TextDecoder().decode(stdout);
          assert.equal(ended, 0, `${page}: ${new TextDecoder().decode(stderr)}`);
          assert.doesNotMatch(said, /NaN|undefined|Infinity/, page);
          // Each line with fractions has one that is not zero.
          const fractions = said.match(/-?\d+\.\d+/g) ?? [];
          if (code.includes("openDevice")) assert.ok(fractions.length >= 4, said);
          assert.ok(fractions.every((text) => text.length > 2), said);
          assert.ok(fractions.length === 0 || fractions.some((text) => Number(text) !== 0), said);
          if (page === "README.md") {
            const lines = said.trim().split("\n");
            assert.deepEqual(lines.map((line) => line.split(":")[0]), ["dense", "lighthouse"]);
            for (const line of lines) assert.match(line.replace(/^.*…/, ""), /0\.\d*[1-9]/);
          }
        }
      }
      assert.ok(count >= 3, String(count));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("README: the table matches the baselines", async () => {
  const results = await Promise.all(
    TABLE_RUNS.map((name) =>
      readResult(fileURLToPath(new URL(`fixtures/baselines/${name}`, ROOT)))
    ),
  );
  const [, shown] = textOf("README.md").split(MARK);
  // The formatter pads cells.
  const cells = (table: string) =>
    table.trim().split("\n").map((row) =>
      row.split("|").map((cell) => cell.trim().replace(/^-+/, "-"))
    );
  assert.deepEqual(cells(shown), cells(resultsTable(results)));
  assert.ok(results.every(({ startedAt }) => startedAt.startsWith("2026-11-22")));
});

Deno.test("README: the last line of a run belongs to the run in the picture", async () => {
  const path = fileURLToPath(new URL(`fixtures/baselines/${PICTURE_RUN}`, ROOT));
  const [forward] = closingLines(await readResult(path));
  assert.ok(textOf("README.md").includes(`\n${forward}\n`), forward);
});

Deno.test("README: the picture is a small PNG that the page shows", async () => {
  const bytes = await Deno.readFile(new URL(PICTURE, ROOT));
  assert.ok(bytes.length < 150_000, `${bytes.length} bytes`);
  assert.deepEqual([...bytes.subarray(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
  assert.ok(textOf("README.md").includes(`](${PICTURE})`));
});
