import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url);

/** Files that are text in a clone. */
const TEXT = /\.(ts|tsx|js|json|wgsl|py|md|html|lock)$/;

/** Copies a folder, with the line ends of Windows in texts. */
async function copy(from: URL, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory, isFile } of Deno.readDir(from)) {
    const target = `${to}/${name}`;
    if (isDirectory) await copy(new URL(`${name}/`, from), target);
    else if (isFile && TEXT.test(name)) {
      const text = await Deno.readTextFile(new URL(name, from));
      await Deno.writeTextFile(target, text.replaceAll("\n", "\r\n"));
    }
  }
}

/** The kernels' hash and a report, as made by a clone at `root`. */
async function describe(root: string): Promise<{ hash: string; page: string }> {
  const at = (path: string) => JSON.stringify(new URL(path, `file://${root}/`).href);
  const code = `
    const { hashKernels } = await import(${at("suites/device/environment.ts")});
    const { renderHtml } = await import(${at("reports/html/render_html.tsx")});
    const { sampleResult } = await import(${at("suites/result/_sample_result.ts")});
    const page = renderHtml([sampleResult({ contexts: [8192] })]);
    console.log(JSON.stringify({ hash: await hashKernels(), page }));`;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", "--cached-only", `--config=${root}/deno.json`, code],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  ...slow("a clone with other line ends has the same hashes and writes the same pages"),
  fn: async () => {
    const clone = await Deno.makeTempDir();
    try {
      for (
        const folder of [
          "kernels/",
          "suites/",
          "reports/",
          "fixtures/paper/",
          "fixtures/profiles/",
          "fixtures/anchors/",
        ]
      ) {
        await copy(new URL(folder, ROOT), `${clone}/${folder}`);
      }
      for (const name of ["deno.json", "deno.lock"]) {
        const text = await Deno.readTextFile(new URL(name, ROOT));
        await Deno.writeTextFile(`${clone}/${name}`, text.replaceAll("\n", "\r\n"));
      }
      const [here, there] = await Promise.all([
        describe(fileURLToPath(ROOT).replace(/\/$/, "")),
        describe(clone),
      ]);
      assert.match(here.hash, /^[0-9a-f]{64}$/);
      assert.equal(there.hash, here.hash);
      assert.equal(there.page, here.page);
    } finally {
      await Deno.remove(clone, { recursive: true });
    }
  },
});
