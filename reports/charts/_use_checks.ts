/**
 * Checks of a page in use: filters that nothing passes, and how high what is pressed is.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { packedRowsOf } from "../html/_page_script.ts";
import { renderHtml } from "../html/render_html.tsx";

/** Moves the pointer to an empty corner of a plot, which reads a column, and out of it again. */
export async function snapToColumn(page: Page): Promise<void> {
  const drawing = page.locator("#latency-figure svg.wide");
  const panel = page.locator("#latency-figure .readout");
  assert.ok(await panel.isHidden());
  // Its times grow to the right: the upper left corner is empty.
  const { x, y, width, height } = (await drawing.boundingBox())!;
  await page.mouse.move(x + 0.2 * width, y + 0.2 * height);
  // The highest of the column, then the others.
  const highest = await panel.locator("b").textContent();
  assert.match(await panel.locator("strong").textContent() ?? "", /^[\d.,]+ (ms|s|µs)$/);
  assert.equal(await drawing.locator(".hair").count(), 1);
  const others = await panel.locator("li").allTextContents();
  assert.match(others.join("|"), /(^|\|)lighthouse-norm [\d.,]+ (ms|s|µs)/);
  assert.ok(others.every((text) => !text.startsWith(`${highest} `)));
  await page.mouse.move(x + 0.2 * width, y - 60);
  assert.ok(await panel.isHidden());
  assert.equal(await drawing.locator(".hair").count(), 0);
}

/** Hides a series by its entry in the legend, and shows it again. */
export async function pressLegend(page: Page): Promise<void> {
  const entry = page.locator("#latency-figure .legend button").first();
  const parts = page.locator('#latency-figure svg [data-s="0"]:not(.off)');
  const before = await parts.count();
  assert.ok(before >= 3, `${before} parts`);
  await entry.press("Enter");
  assert.equal(await entry.getAttribute("aria-pressed"), "false");
  assert.equal(await parts.count(), 0);
  await entry.press("Enter");
  assert.equal(await parts.count(), before);
}

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
  // The chart of the headline stays and says that it is not filtered.
  assert.ok(await page.locator("#hero-figure svg.wide .curve").first().isVisible());
  assert.match(await page.locator(".hero .no-match").textContent() ?? "", /whole run/);
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

/** The packed rows of long tables come by a link, by sorting, by a filter and by a button. */
export async function useLongTables(browser: Browser, folder: string): Promise<void> {
  const contexts = Array.from({ length: 100 }, (_, i) => 512 * (i + 1));
  const html = renderHtml([sampleResult({ contexts })]);
  const path = `${folder}/long.html`;
  await Deno.writeTextFile(path, html);
  // The longest case, in the table of samples.
  const last = /id="(latency\/dense\/forward\/N51200[^"]*)"/.exec(await packedRowsOf(html))![1];
  const page = await browser.newPage();
  const show = async (hash: string) => {
    // A new fragment alone would not load the page again.
    await page.goto("about:blank");
    await page.goto(`file://${path}${hash}`);
    await page.waitForSelector("html[data-ready]", { state: "attached" });
  };
  await show("");
  await page.evaluate(() => document.querySelectorAll("details").forEach((one) => one.open = true));
  const rows = () => page.locator("#correctness tbody tr").count();
  const before = await rows();
  const all = Number(
    /of ([\d,]+) rows/.exec(await page.locator("#correctness .more-rows").innerText())![1]
      .replace(",", ""),
  );
  assert.ok(all > 100);
  await page.locator("#correctness .more-rows button").click();
  await page.waitForFunction(
    (count) => document.querySelectorAll("#correctness tbody tr").length === count,
    before - 40 + all,
  );
  assert.equal(await page.locator("#correctness .more-rows").count(), 0);
  // A heading sorts what is not shown as well.
  const memory = page.locator("#memory");
  await memory.locator("th .sort").nth(2).click();
  await page.waitForFunction(() =>
    document.querySelector("#memory th[aria-sort=ascending]") !== null
  );
  assert.equal(await memory.locator("template").count(), 0);
  await memory.locator("th .sort").nth(2).click();
  await page.waitForFunction(() =>
    document.querySelector("#memory th[aria-sort=descending]") !== null
  );
  assert.match(await memory.locator("tbody tr").first().innerText(), /50K/);
  await page.selectOption("select[name=context]", "51200");
  await page.waitForFunction(() => document.querySelector("template.rows") === null);
  await show(`#${last}`);
  await page.waitForFunction(() => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    return target !== null && target.closest("details:not([open])") === null;
  });
  await page.close();
}

/** Parts that a large page has packed come when they open and by a link, with buttons and readouts. */
export async function useFoldedParts(browser: Browser, folder: string): Promise<void> {
  const contexts = Array.from({ length: 24 }, (_, i) => 4096 * (i + 1));
  const options = { contexts, variants: true, sweeps: true, extras: true };
  const runs = ["one", "other"].map((description) => sampleResult({ ...options, description }));
  const html = renderHtml(runs);
  assert.match(html, /<template class="folded"/);
  const path = `${folder}/folded.html`;
  await Deno.writeTextFile(path, html);
  const page = await browser.newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  const show = async (hash: string) => {
    await page.goto("about:blank");
    await page.goto(`file://${path}${hash}`);
    await page.waitForSelector("html[data-ready]", { state: "attached" });
  };
  await show("");
  assert.equal(await page.locator("#run-2-latency-figure").count(), 0);
  // Filters offer what only folded figures have, and hold for what opens later.
  await page.selectOption("select[name=scorer]", "gla");
  await page.locator("#run-2 > .whole-run > summary").click();
  const figure = page.locator("#run-2-latency-figure");
  await figure.locator("button[data-export=csv]").waitFor();
  await page.waitForFunction(() =>
    document.querySelector("#run-2-latency-figure svg.wide [data-s].off") !== null
  );
  assert.equal(await page.locator("#run-2 .packed").count(), 0);
  assert.equal(await page.locator("#run-1-latency-figure").count(), 0);
  // The numbers are those of this figure.
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    figure.locator("button[data-export=csv]").click(),
  ]);
  const saved = (await Deno.readTextFile(await download.path())).split("\r\n")[1].split(",");
  await figure.locator("summary").click();
  assert.match(await figure.locator("tbody tr").first().innerText(), new RegExp(saved[0]));
  // A link leads to what is not there yet.
  await show("#run-1-memory-figure");
  await page.locator("#run-1-memory-figure").waitFor();
  assert.ok(await page.locator("#run-1-memory-figure svg.wide").isVisible());
  assert.deepEqual(faults, []);
  await page.close();
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
