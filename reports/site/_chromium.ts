/**
 * The browser that tests use.
 *
 * @module
 */

/** Default path of Chromium; the variable CHROMIUM names another one. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of Chromium; undefined if there is none. */
export const chromium: string | undefined = [Deno.env.get("CHROMIUM"), ...PLACES].find((path) => {
  try {
    return path !== undefined && Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});
