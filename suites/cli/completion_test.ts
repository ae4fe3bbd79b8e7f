import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.ts";
import { completedCommands, completion } from "./completion.ts";
import { completionScript, SHELLS } from "./completion_scripts.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Runs a script of a shell in the project; undefined where there is no such shell. */
async function runShell(shell: string, script: string): Promise<string | undefined> {
  const flags = shell === "fish" ? ["--no-config"] : shell === "zsh" ? ["-f"] : ["--norc"];
  try {
    const { code, stdout, stderr } = await new Deno.Command(shell, {
      args: [...flags, "-c", script],
      cwd: ROOT,
      signal: AbortSignal.timeout(120_000), // a pattern that never comes
    }).output();
    const complaint = new TextDecoder().decode(stderr);
    assert.equal(code, 0, complaint);
    assert.equal(complaint, "");
    return new TextDecoder().decode(stdout);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.warn(`skipped: completion needs ${shell}`);
    return undefined;
  }
}

/** What was typed after `deno`, and the words that it may become. */
const TYPED: readonly [typed: string, words: string][] = [
  ["task ben", "bench bench:host"],
  ["task bench --pro", "--profile"],
  ["task bench --profile ", "paper rivals smoke standard"],
  ["task bench --profile p", "paper"],
  ["task bench latency --scorer norm,d", "norm,dilated"],
  ["task bench lat", "latency"],
  ["task -q bench latency --stack d", "dawn deno"],
  ["task bench --tuning n", "none"],
  ["task gate --format g", "github"],
  ["task completion f", "fish"],
  ["task report mod.t", "mod.ts"],
  ["task report --out example", "examples"],
];

Deno.test("bash completes commands, options, values, lists and files", async () => {
  const script = completionScript("bash", completedCommands());
  // Bash parts a line at spaces and at "=" before it calls the function.
  const calls = [...TYPED, ["task bench --profile=p", "paper"], ["run mod.t", ""]].map(
    ([typed]) => {
      const words = `deno ${typed}`.split(" ").flatMap((word) => word.split(/(=)/));
      return `COMP_WORDS=(${words.map((word) => `"${word}"`).join(" ")})
      COMP_CWORD=${words.length - 1} COMPREPLY=()
      $complete deno "${words.at(-1)}" "${words.at(-2)}"
      printf '%s\\n' "$(printf '%s\\n' "\${COMPREPLY[@]}" | sort | xargs)"`;
    },
  );
  const out = await runShell(
    "bash",
    `${script}
    complete=$(complete -p deno | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
    ${calls.join("\n")}
    cd /
    ${calls[0]}`,
  );
  const expected = [...TYPED.map(([, words]) => words), "paper", "", ""];
  assert.deepEqual(out?.split("\n").slice(0, -1), expected);
});

Deno.test("bash leaves other words to the completion of deno that was there before", async () => {
  const script = completionScript("bash", completedCommands());
  const out = await runShell(
    "bash",
    `_deno() { COMPREPLY=(before); }; complete -F _deno deno\n${script}\n${script}
    COMP_WORDS=(deno run x) COMP_CWORD=2; __lighthouse_complete deno x run; echo "$COMPREPLY"`,
  );
  assert.equal(out, "before\n");
});

Deno.test("fish completes commands, options, values, lists and files", async () => {
  const script = completionScript("fish", completedCommands());
  const calls = TYPED.map(([typed]) =>
    `set found (complete -C "deno ${typed}" | string replace -r '\\t.*' '' | sort); echo $found`
  );
  const out = await runShell("fish", `${script}\n${calls.join("\n")}`);
  if (out === undefined) return;
  const expected = TYPED.map(([typed, words]) => typed.endsWith("example") ? "examples/" : words);
  assert.deepEqual(out.split("\n").slice(0, -1), expected);
});

Deno.test("zsh completes what is typed in a terminal", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/completion.zsh`;
    await Deno.writeTextFile(path, completionScript("zsh", completedCommands()));
    // Each waits until the terminal shows the completed line.
    const lines = TYPED.filter(([, words]) => !words.includes(" "));
    const presses = lines.map(([typed, words]) =>
      `zpty -w -n z "deno ${typed}"$'\\t'; zpty -r -m z r '*${words}[^[:alnum:]]*'; ` +
      `print ok; zpty -w -n z $'\\x15'`
    );
    const out = await runShell(
      "zsh",
      `zmodload zsh/zpty; zpty z 'zsh -f -i'
      zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -D; source ${path}; bindkey "^I" complete-word'
      ${presses.join("\n")}
      zpty -d z`,
    );
    if (out !== undefined) assert.equal(out, "ok\n".repeat(lines.length));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("completion prints the script of a shell, and refuses another in one line", () => {
  for (const shell of SHELLS) {
    const said: string[] = [];
    assert.equal(completion([shell], (text) => said.push(text)), 0);
    assert.match(said[0], new RegExp(`^#.*\\n?.*${shell}`));
  }
  assert.throws(
    () => completion(["tcsh"]),
    (error) =>
      error instanceof UsageError &&
      /^shell tcsh is not one of bash, zsh, fish$/.test(error.message),
  );
});
