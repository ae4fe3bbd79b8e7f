/**
 * Checks of the charts and of the script's additions that need a browser, run as a separate
 * program like `../site/_browser_checks.ts`. `browser_test.ts` starts it with the path of Chromium.
 *
 * Prints a line of JSON for each check: `{"name", "ok", "detail"}`.
 */
import assert from "node:assert/strict";
import { type Browser, chromium, type Page } from "playwright-core";
import { type ChartPage, chartPages, everything, software } from "./_chart_pages.ts";
import { findTextFaults } from "./_overlaps.ts";
import * as uses from "./_use_checks.ts";
import { findViolations, prepareRules } from "../site/_axe.ts";
import { check } from "../site/_check_lines.ts";
import { ALL_CASES, chooseCases } from "../../tools/_cases.ts";

/** Phone, small and large window, and A4 paper between its margins. Every day the outer ones. */
const { cases: VIEWS } = chooseCases(
  [
    { width: 390, media: "screen" },
    { width: 1100, media: "screen" },
    { width: 1440, media: "screen" },
    { width: 688, media: "print" },
  ] as const,
  ({ width }) => width === 390 || width === 1440,
);

/** Most bytes of a page with one run. */
const MOST_BYTES = 1_000_000;

/** Shows a page from a file. */
async function show(page: Page, { name, html }: ChartPage, folder: string): Promise<void> {
  const path = `${folder}/${name.replace(/[^a-z0-9]+/g, "-")}.html`;
  await Deno.writeTextFile(path, html);
  await page.goto(`file://${path}`);
  await page.waitForSelector("html[data-ready]", { state: "attached" });
}

/** Texts of every chart of every page. */
async function checkTexts(browser: Browser, folder: string): Promise<void> {
  const page = await browser.newPage({ reducedMotion: "reduce" });
  let figures = 0;
  for await (const one of chartPages()) {
    await check(`no text covers another, a point or a line: ${one.name}`, async () => {
      if (!/^(four|site)/.test(one.name)) assert.ok(one.html.length < MOST_BYTES, "page weight");
      await show(page, one, folder);
      figures += await page.locator("figure").count();
      for (const { width, media } of VIEWS) {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ media });
        assert.deepEqual(await page.evaluate(findTextFaults), [], `${media}, ${width} pixels`);
      }
      await page.emulateMedia({ media: "screen" });
    });
  }
  await check("the pages have charts", async () => {
    assert.ok(figures > (ALL_CASES ? 170 : 60), `${figures} figures`);
    await Promise.resolve();
  });
  await check("the measure finds what is wrong", async () => {
    const wrong = `<figure id="f"><svg class="drawing" viewBox="0 0 200 100" width="200">` +
      `<text x="10" y="20">one text</text><text x="30" y="22">another</text>` +
      `<path class="curve" d="M10,60H190"/><text x="50" y="63">on the line</text>` +
      `<circle class="dot" cx="100" cy="90" r="4"/><text x="90" y="94">on a dot</text>` +
      `<text x="180" y="40">out of it</text></svg></figure>`;
    await page.setContent(wrong);
    const kinds = (await page.evaluate(findTextFaults)).map(({ kind }) => kind);
    assert.deepEqual([...new Set(kinds)].sort(), [
      "out of its drawing",
      "text over line",
      "text over mark",
      "text over text",
    ]);
  });
  await page.close();
}

/** The actions of a reader on a chart. */
async function checkUse(browser: Browser, folder: string): Promise<void> {
  const context = await browser.newContext({
    reducedMotion: "reduce",
    viewport: { width: 1440, height: 900 },
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => complaints.push(message.text()));
  const whole = everything();
  await show(page, whole, folder);
  const panel = page.locator("#latency-figure .readout");
  const drawing = page.locator("#latency-figure svg.wide");
  const read = () => panel.evaluate((one) => [...one.children].map((line) => line.textContent));

  await check(
    "a pointer reads series, value, interval, count, and links to the samples",
    async () => {
      await drawing.locator("use").nth(2).hover();
      const lines = await read();
      assert.equal(lines[0], "dense");
      assert.match(lines[1]!, /^[\d.,]+ (ms|s|µs)$/);
      assert.match(
        lines.join("|"),
        /context N, tokens: 32K\|[^|]* to [^|]*, n = \d+\|its samples\|lighthouse-/,
      );
      await drawing.locator("use").nth(2).click();
      await panel.locator("a").click();
      const target = await page.evaluate(() => {
        const id = decodeURIComponent(location.hash.slice(1));
        const element = document.getElementById(id);
        return { id, open: element?.closest("details")?.open ?? null };
      });
      assert.match(target.id, /^latency\/dense\/forward\/N32768-/);
      assert.notEqual(target.open, false);
    },
  );
  await check("the arrow keys go from point to point, Escape ends it", async () => {
    await drawing.focus();
    await page.keyboard.press("ArrowRight");
    const first = await read();
    await page.keyboard.press("ArrowRight");
    const second = await read();
    assert.equal(first[0], second[0]);
    assert.notEqual(first[1], second[1]);
    await page.keyboard.press("ArrowDown");
    assert.notEqual((await read())[0], second[0]);
    await page.keyboard.press("Escape");
    assert.ok(await panel.isHidden());
  });
  await check(
    "far from every mark the pointer snaps to the nearest column",
    () => uses.snapToColumn(page),
  );
  await check("every point of every chart has a readout", async () => {
    const wrong = await page.evaluate(() =>
      [...document.querySelectorAll("svg.drawing.wide, svg.drawing:not(.compact)")].filter((svg) =>
        svg.getAttribute("tabindex") !== "0"
      ).map((svg) => svg.closest("figure")?.id)
    );
    assert.deepEqual(wrong, []);
  });
  await check(
    "an entry of the legend hides its series in both drawings",
    () => uses.pressLegend(page),
  );
  await check("filters act on charts and tables together, and are taken back", async () => {
    const rows = page.locator("#latency-figure tbody tr:not([hidden])");
    const all = await rows.count();
    await page.selectOption("select[name=scorer]", "norm");
    await page.selectOption("select[name=context]", "65536");
    const names = await page.locator("#latency-figure svg.wide [data-s]:not(.off)").evaluateAll(
      (parts) => new Set(parts.map((part) => part.getAttribute("data-s"))).size,
    );
    assert.equal(names, 3, "dense, the norm scorer and the peer, but no other scorer");
    const marks = page.locator("#latency-figure svg.wide [data-s]:not(.off) use:not(.off)");
    const contexts = await rows.count();
    assert.equal(await marks.count(), contexts);
    const texts = await rows.evaluateAll((found) =>
      found.map((row) =>
        [...(row as HTMLTableRowElement).cells].slice(0, 2).map((cell) => cell.textContent)
      )
    );
    assert.deepEqual(texts.slice(0, 2), [["64K", "dense"], ["64K", "lighthouse-norm"]]);
    assert.ok(texts.every(([context, name]) => context === "64K" && !/gla|dilated/.test(name!)));
    await page.selectOption("select[name=direction]", "forward-backward");
    assert.ok(await page.locator("#latency-figure").isHidden());
    await page.locator("form.filters button").click();
    await page.waitForFunction(() => document.querySelector("form.filters:not(.active)") !== null);
    assert.equal(await rows.count(), all);
    assert.ok(await page.locator("#latency-figure").isVisible());
  });
  await check(
    "filters without a match say so, fold the section, and stay in the address",
    () => uses.useEmptyFilters(page),
  );
  await check("a table is sorted by a heading, up, down and back", async () => {
    const box = page.locator("#latency-figure details");
    await box.evaluate((one) => (one as HTMLDetailsElement).open = true);
    const heading = box.locator("th", { hasText: "Median" });
    const column = () =>
      box.locator("tbody tr").evaluateAll((rows) =>
        rows.map((row) => (row as HTMLTableRowElement).cells[2].textContent!)
      );
    const before = await column();
    await heading.locator("button").press("Enter");
    assert.equal(await heading.getAttribute("aria-sort"), "ascending");
    const up = await column();
    assert.notDeepEqual(up, before);
    assert.deepEqual([...up].sort(), [...before].sort());
    await heading.locator("button").press("Enter");
    assert.equal(await heading.getAttribute("aria-sort"), "descending");
    assert.equal((await column())[0], up.at(-1));
    await heading.locator("button").press("Enter");
    assert.equal(await heading.getAttribute("aria-sort"), null);
    assert.deepEqual(await column(), before);
  });
  await check("a picture is saved as SVG and PNG, with its title and legend", async () => {
    const save = async (format: string) => {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.locator(`#latency-figure button[data-export=${format}]`).click(),
      ]);
      assert.equal(download.suggestedFilename(), `latency-figure.${format}`);
      return await Deno.readFile(await download.path());
    };
    const svg = new TextDecoder().decode(await save("svg"));
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    // Title and source stand whole, in lines that no edge cuts.
    const texts = await page.evaluate((text) => {
      const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      document.body.append(root);
      const width = Number(root.getAttribute("width"));
      const own = [...root.querySelectorAll<SVGTextElement>(":scope > text")];
      const found = own.map((one) => ({
        text: one.textContent!,
        fits: one.getBBox().x + one.getBBox().width <= width,
      }));
      root.remove();
      return found;
    }, svg);
    assert.deepEqual(texts.filter(({ fits }) => !fits), []);
    const written = texts.map(({ text }) => text).join(" ").replace(/\s+/g, " ");
    const [title, source] = await page.evaluate(() =>
      [
        document.querySelector("#latency-figure figcaption")!.textContent!,
        document.title,
      ].map((text) => text.replace(/\s+/g, " ").trim())
    );
    assert.match(title, /^Latency /);
    assert.ok(written.includes(title) && written.includes(source), written);
    assert.match(svg, />lighthouse-norm</);
    assert.doesNotMatch(svg, /var\(|class=|<use/);
    const png = await save("png");
    assert.deepEqual([...png.slice(1, 4)], [..."PNG"].map((char) => char.charCodeAt(0)));
    const width = new DataView(png.buffer).getUint32(16);
    assert.equal(width, 2 * (760 + 32));
  });
  await check("commands and links are copied", async () => {
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await page.locator("#latency-figure button[data-export=copy-link]").click();
    await page.waitForFunction(async () =>
      (await navigator.clipboard.readText()).endsWith("#latency-figure")
    );
    await page.locator("details:has(.copy)").first().evaluate((one) =>
      (one as HTMLDetailsElement).open = true
    );
    const command = page.locator(".copy").first();
    await command.click();
    await page.waitForFunction(async () =>
      (await navigator.clipboard.readText()).startsWith("deno task")
    );
    assert.match(await copied(), /^deno task bench/);
  });
  await check("the theme is chosen, remembered, and there before anything is drawn", async () => {
    const toggle = page.locator("nav .theme");
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme ?? "");
    assert.equal(await theme(), "");
    await toggle.click();
    assert.equal(await theme(), "light");
    await toggle.click();
    assert.equal(await theme(), "dark");
    // At the first paint, without the rest of the script.
    await page.addInitScript(() =>
      new MutationObserver(() => {
        if (document.body !== null) {
          (globalThis as { atBody?: string }).atBody ??= document.documentElement.dataset.theme;
        }
      }).observe(document, { childList: true, subtree: true })
    );
    await page.reload();
    await page.waitForFunction(() => "atBody" in globalThis);
    assert.equal(
      await page.evaluate(() => (globalThis as { atBody?: string }).atBody),
      "dark",
    );
    await page.waitForSelector("html[data-ready]", { state: "attached" });
    await toggle.click();
    assert.equal(await theme(), "");
  });
  await check("axe-core finds nothing in a page in use, light and dark", async () => {
    // The script of the rules is not the page's.
    const free = await browser.newContext({ bypassCSP: true, reducedMotion: "reduce" });
    const used = await free.newPage();
    await show(used, { name: "used", html: software().html }, folder);
    await used.selectOption("form.filters select >> nth=0", { index: 1 });
    await used.locator(".legend button >> visible=true").last().click();
    await used.locator("#speed-up-figure svg.wide use >> visible=true").first().click();
    await used.evaluate(() =>
      document.querySelectorAll("details").forEach((one) => one.open = true)
    );
    await used.locator("th .sort >> visible=true").first().click();
    await prepareRules(used);
    for (const colorScheme of ["light", "dark"] as const) {
      await used.emulateMedia({ colorScheme });
      const violations = await findViolations(used, { contrastOnly: colorScheme === "dark" });
      assert.deepEqual(violations, [], colorScheme);
    }
    await free.close();
  });
  await check("a figure that is drawn anew gets what it lacks", async () => {
    const found = await page.evaluate(async () => {
      const figure = document.getElementById("latency-figure")!;
      const fresh = figure.cloneNode(true) as HTMLElement;
      fresh.querySelectorAll(".readout,.export *").forEach((one) => one.remove());
      fresh.querySelector(".export")!.insertAdjacentHTML(
        "afterend",
        `<script type="application/json" class="chart-data">${
          JSON.stringify({ columns: ["a"], rows: [[1]] })
        }</script>`,
      );
      const said = document.createElementNS("http://www.w3.org/2000/svg", "metadata");
      said.setAttribute("class", "readout");
      said.textContent = JSON.stringify({
        x: "x",
        y: "y",
        series: [{ name: "new", points: [["1", "2", null, null, null, null]] }],
      });
      fresh.querySelector("svg.wide")!.append(said);
      figure.replaceWith(fresh);
      fresh.parentElement!.dispatchEvent(new Event("lighthouse-rendered", { bubbles: true }));
      const until = Date.now() + 30_000;
      while (fresh.querySelector("div.readout") === null && Date.now() < until) {
        await new Promise((done) => requestAnimationFrame(done));
      }
      return {
        buttons: fresh.querySelectorAll("[data-export]").length,
        panel: fresh.querySelectorAll("div.readout").length,
      };
    });
    assert.deepEqual(found, { buttons: 5, panel: 1 });
  });
  await check(
    "rows of long tables come when they are wanted",
    () => uses.useLongTables(browser, folder),
  );
  await check(
    "folded parts of a large page come when they open",
    () => uses.useFoldedParts(browser, folder),
  );
  await check("a finger reads a point on a phone", async () => {
    const phone = await browser.newContext({
      hasTouch: true,
      isMobile: true,
      viewport: { width: 390, height: 844 },
    });
    const phonePage = await phone.newPage();
    await show(phonePage, whole, folder);
    const mark = phonePage.locator("#speed-up-figure svg.compact use").nth(1);
    await mark.scrollIntoViewIfNeeded();
    const box = (await mark.boundingBox())!;
    await phonePage.touchscreen.tap(box.x + box.width / 2, box.y + box.height / 2);
    const text = await phonePage.locator("#speed-up-figure .readout").textContent();
    assert.match(text!, /×/);
    await phone.close();
  });
  await check(
    "what is pressed is high enough for a finger, and 24 pixels for a pointer",
    () => uses.measureTargets(browser, (hand) => show(hand, whole, folder)),
  );
  await check("without the script the charts and tables are there", async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    const still = await plain.newPage();
    await still.goto(page.url());
    const shown = {
      charts: await still.locator("svg.drawing.wide:visible").count() > 10,
      legends: await still.locator(".legend:visible").count() > 3,
      buttons: await still.locator("button:visible").count(),
      tables: await still.locator("table").count() > 10,
    };
    assert.deepEqual(shown, { charts: true, legends: true, buttons: 0, tables: true });
    await plain.close();
  });
  await check("no page complained", async () => {
    assert.deepEqual(complaints, []);
    await Promise.resolve();
  });
}

const folder = await Deno.makeTempDir();
const browser = await chromium.launch({
  executablePath: Deno.args[0],
  args: ["--disable-gpu", ...(Deno.uid() === 0 ? ["--no-sandbox"] : [])],
});
try {
  await Promise.all([checkTexts(browser, folder), checkUse(browser, folder)]);
} finally {
  await browser.close();
  await Deno.remove(folder, { recursive: true });
}
