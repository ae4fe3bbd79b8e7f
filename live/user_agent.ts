/**
 * Browser and system, as far as a user agent tells them.
 *
 * @module
 */

/** Tokens of browsers that pretend to be others come first. */
const BROWSERS: readonly (readonly [string, RegExp])[] = [
  ["Edge", /\bEdgA?\/([\d.]+)/],
  ["Opera", /\bOPR\/([\d.]+)/],
  ["Samsung Internet", /\bSamsungBrowser\/([\d.]+)/],
  ["Firefox", /\b(?:Firefox|FxiOS)\/([\d.]+)/],
  ["Chrome", /\b(?:Headless)?(?:Chrome|CriOS)\/([\d.]+)/],
  ["Safari", /\bVersion\/([\d.]+).*\bSafari\//],
];

const SYSTEMS: readonly (readonly [string, RegExp])[] = [
  ["Android", /Android ([\d.]+)/],
  ["iOS", /\b(?:iPhone|CPU) OS ([\d_]+)/],
  ["ChromeOS", /\bCrOS\b/],
  ["Windows", /Windows NT ([\d.]+)/],
  ["macOS", /Mac OS X ([\d_.]+)/],
  ["Linux", /Linux/],
];

/**
 * `Chrome 156.0.8078.108`; the whole text where it names no browser that is known.
 *
 * @example
 * ```ts
 * import { browserName } from "./user_agent.ts";
 * import assert from "node:assert/strict";
 * const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
 * assert.equal(browserName(agent), "Firefox 145.0");
 * ```
 */
export function browserName(userAgent: string): string {
  return firstMatch(BROWSERS, userAgent);
}

/** `Windows 10.0`; browsers freeze the version of some systems. */
export function systemName(userAgent: string): string {
  return firstMatch(SYSTEMS, userAgent);
}

function firstMatch(names: typeof BROWSERS, text: string): string {
  for (const [name, pattern] of names) {
    const match = pattern.exec(text);
    if (match) return match[1] ? `${name} ${match[1].replaceAll("_", ".")}` : name;
  }
  return text.trim().slice(0, 200) || "unknown";
}
