/**
 * The browsers that tests use.
 *
 * @module
 */

/** Path of Chromium; undefined if there is none. The variable CHROMIUM names another one. */
export const chromium: string | undefined = findFile([
  Deno.env.get("CHROMIUM"),
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
]);

/** Path of Firefox; undefined if there is none. The variable FIREFOX names another one. */
export const firefox: string | undefined = findFile([
  Deno.env.get("FIREFOX"),
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
]);

function findFile(places: readonly (string | undefined)[]): string | undefined {
  return places.find((path) => {
    try {
      return path !== undefined && Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}
