/**
 * A page in Chromium as the checks of the live page see it.
 *
 * @module
 */
import assert from "node:assert/strict";
import axe from "axe-core";
import type { BrowserContext, Page } from "playwright-core";
import type { PageHandle } from "./main.tsx";

declare global {
  var lighthouse: PageHandle;
}

/** A software adapter on a busy machine. */
export const PATIENCE = { timeout: 180_000 };

/** A page, and everything that it did besides showing itself. */
export interface Watched {
  readonly page: Page;
  readonly complaints: string[];
  readonly requests: string[];
}

/** Opens an address in a page that is watched. */
export async function open(
  context: BrowserContext,
  address: string,
): Promise<Watched> {
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(address);
  // A program that stopped while it was loading would be waited for in vain.
  assert.ok(await page.evaluate(() => "lighthouse" in globalThis), complaints.join("\n"));
  return { page, complaints, requests };
}

/** Waits until the page is in one of some states. */
export async function waitFor(page: Page, ...states: string[]): Promise<void> {
  await page.waitForFunction(
    (wanted) => wanted.includes(document.documentElement.dataset.state!),
    states,
    PATIENCE,
  );
}

/** At 390 px: nothing is wider, and no rule of accessibility is broken; in the dark, of contrast. */
export async function assertNarrow(page: Page): Promise<void> {
  await page.setViewportSize({ width: 390, height: 800 });
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page, colorScheme === "dark"), [], colorScheme);
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide} px wide`);
}

/** Violations of the accessibility rules, of all or of those on contrast. */
export async function violations(page: Page, contrastOnly = false): Promise<string[]> {
  // The page's policy lets no other script in; automation evaluates outside of it.
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    async (contrastOnly) =>
      await (globalThis as unknown as { axe: typeof axe }).axe.run(document, {
        // Frames are documents of their own, which the report's tests look at.
        iframes: false,
        resultTypes: ["violations"],
        selectors: false,
        ...(contrastOnly ? { runOnly: { type: "rule", values: ["color-contrast"] } } : {}),
      }),
    contrastOnly,
  );
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}

/** Nothing on the console, and no request but for the page. */
export function assertQuiet({ complaints, requests }: Watched, address: string): void {
  assert.deepEqual(complaints, []);
  assert.deepEqual(requests.filter((url) => !/^(blob:|about:)/.test(url)), [address]);
}

/** The page from a local address, which has storage and locks that a file's origin lacks. */
export async function serve(file: string): Promise<{ address: string; stop: () => Promise<void> }> {
  const html = await Deno.readTextFile(file);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response(html, { headers: { "content-type": "text/html" } }),
  );
  return {
    address: `http://127.0.0.1:${server.addr.port}/`,
    stop: () => server.shutdown(),
  };
}
