/**
 * Checks of a page in use: filters that nothing passes, and how high what is pressed is.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";

/** Chooses what nothing matches, opens the address again, and takes the choice back. */
export async function useEmptyFilters(page: Page): Promise<void> {
  const status = page.locator("form.filters output");
  const section = page.locator("section#sweeps");
  const blank = () => section.evaluate((one) => one.getBoundingClientRect().height / innerHeight);
  const before = await blank();
  await page.selectOption("select[name=scorer]", "gla");
  await page.selectOption("select[name=direction]", "forward-backward");
  await page.selectOption("select[name=context]", "524288");
  assert.match(await status.textContent() ?? "", /Nothing matches|sections? ha(s|ve) no match/);
  assert.equal(await status.evaluate((one) => one.localName), "output");
  assert.match(await section.locator(".no-match").textContent() ?? "", /Nothing here matches/);
  assert.ok(await section.locator("h2").isVisible());
  assert.ok(await blank() < before / 4, `${await blank()} of ${before}`);
  assert.ok(await section.locator(".spread, figure").first().isHidden());
  assert.match(
    page.url(),
    /[?&]show-scorer=gla&show-direction=forward-backward&show-context=524288/,
  );
  await page.reload();
  await page.waitForSelector("html[data-ready]", { state: "attached" });
  assert.equal(await page.locator("select[name=scorer]").inputValue(), "gla");
  assert.ok(await section.locator(".no-match").isVisible());
  await page.locator("form.filters button").click();
  await page.waitForFunction(() => document.querySelector("form.filters:not(.active)") !== null);
  assert.equal(await page.locator(".no-match").count(), 0);
  assert.equal(await status.textContent(), "");
  assert.doesNotMatch(page.url(), /show-/);
  assert.ok(await page.locator("#latency-figure").isVisible());
}

/** Measures links, summaries, buttons and boxes of a page, for a pointer and for a finger. */
export async function measureTargets(
  browser: Browser,
  show: (page: Page) => Promise<void>,
): Promise<void> {
  const low = (tall: number) =>
    [...document.querySelectorAll("nav li a,summary,button,select")].flatMap((one) => {
      const { width, height } = one.getBoundingClientRect();
      return width === 0 || height >= tall - 0.5
        ? []
        : [`${Math.round(height)}: ${one.outerHTML.slice(0, 90)}`];
    });
  for (const [tall, options] of [[24, {}], [44, { hasTouch: true, isMobile: true }]] as const) {
    const held = await browser.newContext({
      ...options,
      viewport: { width: 390, height: 844 },
    });
    const hand = await held.newPage();
    await show(hand);
    await hand.evaluate(() =>
      document.querySelectorAll("details").forEach((one) => one.open = true)
    );
    assert.deepEqual([...new Set(await hand.evaluate(low, tall))], []);
    await held.close();
  }
}
