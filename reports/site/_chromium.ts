/**
 * The browser that tests use.
 *
 * @module
 */

/** Where Chromium lies; the variable CHROMIUM names another place. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of Chromium; undefined where there is none. */
export const chromium: string | undefined = [Deno.env.get("CHROMIUM"), ...PLACES].find((path) => {
  try {
    return path !== undefined && Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});
