import assert from "node:assert/strict";
import { slow } from "../../../tools/_cases.ts";
import { UsageError } from "../../errors.ts";
import { requireBuild, withCheckout } from "./run_paired.ts";

async function git(folder: string, ...args: string[]) {
  const { success, stderr } = await new Deno.Command("git", {
    args: ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args],
    cwd: folder,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")! },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

async function inRepository(test: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/suites/cli`, { recursive: true });
    const bench = `${folder}/suites/cli/bench.ts`;
    await git(folder, "init", "--quiet");
    await Deno.writeTextFile(bench, "export const one: number = 1;\n");
    await git(folder, "add", ".");
    await git(folder, "commit", "--quiet", "-m", "good");
    await git(folder, "tag", "good");
    await Deno.writeTextFile(bench, 'export const one: number = "1";\n');
    await git(folder, "commit", "--quiet", "-a", "-m", "bad");
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("withCheckout gives the revision's files and removes them, also after a fault", () =>
  inRepository(async (repository) => {
    let seen = "";
    const text = await withCheckout("good", (folder) => {
      seen = folder;
      return Deno.readTextFile(`${folder}/suites/cli/bench.ts`);
    }, { repository });
    assert.match(text, /= 1;/);
    await assert.rejects(Deno.stat(seen));
    const fault = () => Promise.reject(new Error("stop"));
    await assert.rejects(withCheckout("good", fault, { repository }), /stop/);
    const listed = await Deno.readDir(`${repository}/.git`);
    const names: string[] = [];
    for await (const { name } of listed) names.push(name);
    assert.ok(!names.includes("worktrees"));
  }));

Deno.test("withCheckout refuses what is no revision in one line", () =>
  inRepository(async (repository) => {
    for (const revision of ["nothing", "--help", "good; true", ""]) {
      const attempt = withCheckout(revision, () => Promise.resolve(), { repository });
      await assert.rejects(
        attempt,
        (error) => error instanceof UsageError && /^revision .* is not one/.test(error.message),
      );
    }
  }));

Deno.test({
  ...slow("requireBuild: a revision that does not build is one clear line"),
  fn: () =>
    inRepository(async (repository) => {
      await withCheckout("good", (folder) => requireBuild(folder, "revision good"), { repository });
      await assert.rejects(
        withCheckout("HEAD", (folder) => requireBuild(folder, "revision HEAD"), { repository }),
        (error) =>
          error instanceof UsageError && !/\n/.test(error.message) &&
          /^revision HEAD does not build: .*not assignable.* \(suites\/cli\/bench\.ts:1:14\)$/.test(
            error.message,
          ),
      );
    }),
});
