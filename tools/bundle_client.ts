/**
 * Bundles the page scripts that are written in TypeScript, so that rendering a page needs no
 * bundler. `deno task generate` runs it; a test fails if its output is out of date.
 *
 * @module
 */

/** Scripts with their bundles, as paths from the root of the repository, and the maximum sizes. */
export const CLIENT_SCRIPTS = [
  {
    from: "reports/html/client/page.ts",
    to: "reports/html/page_script.generated.js",
    // Included in every page.
    most: 30_000,
  },
  {
    from: "reports/site/compare_client.ts",
    to: "reports/site/compare_client.generated.js",
    // Included in one page, with the statistics of the gate.
    most: 80_000,
  },
] as const;

/**
 * The text of a bundle, minified, one for all browsers of the last years.
 *
 * @throws {Error} with the bundler's message.
 */
export async function bundleClient(from: string): Promise<string> {
  const root = new URL("..", import.meta.url);
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: ["bundle", "--quiet", "--platform", "browser", "--format", "iife", "--minify", from],
    cwd: root,
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`deno bundle refuses ${from}: ${decode(stderr)}`);
  return decode(stdout);
}

if (import.meta.main) {
  for (const { from, to } of CLIENT_SCRIPTS) {
    await Deno.writeTextFile(new URL(`../${to}`, import.meta.url), await bundleClient(from));
  }
}
