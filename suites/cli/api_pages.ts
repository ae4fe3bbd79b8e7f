/**
 * The documentation of the package as pages of a site, below `api/`: what `deno doc --html` writes,
 * made fit to be published.
 *
 * - A content security policy: scripts and styles of the folder alone, no request, no form. Deno's
 *   pages have no inline script; they have style attributes, so that inline styles are allowed. The
 *   site's own pages keep their stricter policy.
 * - Links to the source are removed, since they name folders of the machine that built the site.
 * - Icons become characters: repeated in every page, they are three quarters of all bytes.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import CONFIG from "../../deno.json" with { type: "json" };
import type { SiteFile } from "../../reports/site/site_page.tsx";
import { UsageError } from "../errors.ts";

const ROOT = new URL("../../", import.meta.url);

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "base-uri 'none'; form-action 'none'";

/** Characters in place of icons, by the class or the attribute of the element that holds them. */
const ICONS: readonly (readonly [RegExp, string])[] = [
  [/(<a [^>]*class="anchor"[^>]*>)\s*<svg[\s\S]*?<\/svg>/g, "$1#"],
  [/(<button class="copyButton"[^>]*>)\s*(?:<svg[\s\S]*?<\/svg>\s*)+/g, "$1copy"],
  [/(<span class="text-black dark:text-white">)\s*<svg[\s\S]*?<\/svg>/g, "$1›"],
  [/<a\s+class="sourceButton"[\s\S]*?<\/a>/g, ""],
];

/**
 * All pages of the documentation of the package's entries.
 *
 * @throws {UsageError} where there is no `deno` to write them, or it does not.
 */
export async function apiPages(): Promise<SiteFile[]> {
  const folder = await Deno.makeTempDir({ prefix: "lighthouse-api-" });
  try {
    await writePages(folder);
    const files: SiteFile[] = [];
    for await (const path of listFiles(folder)) {
      const text = await Deno.readTextFile(`${folder}/${path}`);
      files.push({ path: `api/${path}`, text: path.endsWith(".html") ? publishable(text) : text });
    }
    return files.sort((a, b) => a.path < b.path ? -1 : 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function writePages(folder: string): Promise<void> {
  const entries = Object.values(CONFIG.exports);
  try {
    const { success, stderr } = await new Deno.Command("deno", {
      args: [
        "doc",
        "--html",
        "--name=Lighthouse Attention Bench",
        `--output=${folder}`,
        ...entries,
      ],
      cwd: fileURLToPath(ROOT),
      stdout: "null",
      stderr: "piped",
    }).output();
    if (success) return;
    throw new UsageError(`write api: ${new TextDecoder().decode(stderr).trim().split("\n", 1)[0]}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError("write api: there is no deno on the path");
  }
}

/** A page of `deno doc` with a policy, without paths of this machine, and with names to import. */
export function publishable(html: string): string {
  const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
  const page = ICONS.reduce((text, [icon, character]) => text.replace(icon, character), html);
  return page
    .replace(/<meta charset="utf-8"(?: \/)?>/, `$&\n  ${policy}`)
    .replaceAll(/from &quot;\.(\/\w+)?&quot;/g, `from &quot;${CONFIG.name}$1&quot;`);
}

async function* listFiles(folder: string, below = ""): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    if (isDirectory) yield* listFiles(folder, `${below}${name}/`);
    else yield below + name;
  }
}
