/**
 * Checks of the pages that need a browser, run as a separate program: Playwright needs all
 * permissions, which the tests do not have. `browser_test.ts` starts it.
 *
 * Prints a line of JSON for each check: `{"name", "ok", "detail"}`. With `--update` it writes the
 * reference pictures of the pages.
 */
import assert from "node:assert/strict";
import { type Browser, chromium, type Page } from "playwright-core";
import { findViolations, prepareRules } from "./_axe.ts";
import { checkComparing } from "./_browser_compare.ts";
import { BLOCKS, compareLook } from "./_browser_looks.ts";
import { buildSite, type BuiltSite, measureTables, measureWidths, urlOf } from "./_browser_site.ts";
import { hostileRuns, sampleRuns } from "./_sample_site.ts";
import { ALL_CASES } from "../../tools/_cases.ts";
import { check } from "./_check_lines.ts";

const [executablePath, ...flags] = Deno.args;
const update = flags.includes("--update");

/** Everything that a page did besides showing itself. */
interface Watch {
  complaints: string[];
  requests: string[];
}

async function openPage(
  browser: Browser,
  { bypassCSP = false } = {},
): Promise<{ page: Page; watch: Watch }> {
  const context = await browser.newContext({
    bypassCSP,
    reducedMotion: "reduce",
    viewport: { width: 1280, height: 900 },
  });
  const page = await context.newPage();
  const watch: Watch = { complaints: [], requests: [] };
  page.on("console", (message) => watch.complaints.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => watch.complaints.push(String(error)));
  page.on("dialog", async (dialog) => {
    watch.complaints.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  page.on("request", (request) => watch.requests.push(request.url()));
  return { page, watch };
}

/** The page on which any two runs are compared. */
const COMPARE = "compare/index.html";

/** Waits until the script of the page has finished its additions. */
async function isReady(page: Page): Promise<void> {
  await page.waitForSelector("html[data-ready]", { state: "attached" });
}

/** Opens every page and checks the rules for all pages. */
async function openAll(
  { page, watch }: { page: Page; watch: Watch },
  site: BuiltSite,
): Promise<void> {
  for (const path of site.paths) {
    await page.goto(urlOf(site, path), { waitUntil: "domcontentloaded" });
    await isReady(page);
    // The one page with its own script reads two runs at once.
    const compares = path === COMPARE;
    if (compares) await page.locator("#compare-table tbody tr").first().waitFor();
    const found = await page.evaluate(() => {
      const text = (id: string) => document.getElementById(id)?.textContent?.trim() ?? "";
      const named = (drawing: Element) =>
        (drawing.getAttribute("aria-label") ?? "") !== "" ||
        (drawing.getAttribute("aria-labelledby") ?? "").split(" ").every((id) => text(id) !== "");
      return {
        title: document.title,
        headings: document.querySelectorAll("h1").length,
        figures: document.querySelectorAll("figure").length,
        nameless: [...document.querySelectorAll("svg[role=img]")].filter((svg) =>
          !named(svg)
        ).length,
        mute: [...document.querySelectorAll("svg:not([role=img]):not([aria-hidden])")].length,
        tableless: [...document.querySelectorAll("figure")]
          .filter((figure) => figure.querySelector("td") === null).map(({ id }) => id),
        unsaved: [...document.querySelectorAll("figure")]
          .filter((figure) =>
            // CSV, JSON and a link; SVG and PNG where there is a drawing.
            figure.querySelectorAll("button[data-export]").length !==
              (figure.querySelector("svg.drawing") === null ? 3 : 5)
          ).map(({ id }) => id),
        unread: [...document.querySelectorAll("figure")]
          .filter((figure) =>
            figure.querySelector("svg.drawing") !== null &&
            figure.querySelector(".readout") === null
          ).map(({ id }) => id),
        handlers: [...document.querySelectorAll("*")].filter((element) =>
          [...element.attributes].some(({ name }) => name.startsWith("on"))
        ).length,
        foreign: document.querySelectorAll(
          "img,iframe,object,embed,base,link:not([rel=icon]),form:not(.filters),video,audio",
        ).length,
        scripts: [...document.querySelectorAll("script")].filter(({ type }) => type === "").length,
        pwned: "pwned" in globalThis,
      };
    });
    assert.deepEqual(
      { path, ...found, title: found.title !== "", figures: 0 },
      {
        path,
        title: true,
        headings: 1,
        figures: 0,
        nameless: 0,
        mute: 0,
        tableless: [],
        unsaved: [],
        unread: [],
        handlers: 0,
        foreign: 0,
        scripts: compares ? 4 : 1,
        pwned: false,
      },
    );
  }
  assert.deepEqual(watch.complaints, []);
  // Only the files themselves.
  const allowed = new Set(site.paths.map((path) => urlOf(site, path)));
  const data = urlOf(site, "data/");
  assert.deepEqual(
    watch.requests.filter((url) => !allowed.has(url) && !url.startsWith(data)),
    [],
  );
}

/** Presses Tab through a page and compares the focused elements with those that must be reachable. */
async function walkByKeyboard(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await isReady(page);
  const targets = await page.evaluate(() => {
    const all = document.querySelectorAll("a[href],button,select,input,summary,[tabindex='0']");
    const visible = [...all].filter((element) =>
      element.checkVisibility({ visibilityProperty: true }) &&
      element.getClientRects().length > 0
    );
    visible.forEach((element, i) => element.setAttribute("data-stop", String(i)));
    const seen: string[] = [];
    const dim: string[] = [];
    Object.assign(globalThis, { seen, dim });
    document.addEventListener("focusin", ({ target }) => {
      const element = target as HTMLElement;
      seen.push(element.dataset.stop ?? element.outerHTML.slice(0, 80));
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      if (outlineStyle === "none" || outlineWidth === "0px") {
        dim.push(element.outerHTML.slice(0, 80));
      }
    });
    return visible.length;
  });
  for (let i = 0; i < targets; i++) await page.keyboard.press("Tab");
  const { seen, dim } = await page.evaluate(() => {
    const { seen, dim } = globalThis as unknown as { seen: string[]; dim: string[] };
    return { seen, dim };
  });
  const missed = Array.from({ length: targets }, (_, i) => String(i))
    .filter((stop) => !seen.includes(stop));
  const names = await page.evaluate(
    (stops) =>
      stops.map((stop) => document.querySelector(`[data-stop="${stop}"]`)!.outerHTML.slice(0, 120)),
    missed,
  );
  assert.deepEqual(names, [], "reached by Tab");
  assert.deepEqual(dim, [], "shows that it has the focus");
  assert.ok(targets > 10);
}

/** Saves a figure's numbers by keyboard, and compares both formats with its table. */
async function saveNumbers(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await isReady(page);
  const save = async (format: string) => {
    const button = page.locator(`#latency-figure button[data-export="${format}"]`);
    await button.focus();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.keyboard.press("Enter"),
    ]);
    assert.equal(download.suggestedFilename(), `latency-figure.${format}`);
    return await Deno.readTextFile(await download.path());
  };
  const csv = (await save("csv")).trimEnd().split("\r\n");
  const json = JSON.parse(await save("json"));
  const rows = await page.locator("#latency-figure tbody tr").count();
  assert.equal(
    csv[0],
    "series,context_tokens,median_seconds,median_seconds_low,median_seconds_high,samples,ends_are,first_sample_seconds,steady_seconds,steady_samples",
  );
  assert.equal(csv.length - 1, rows);
  assert.equal(json.rows.length, rows);
  assert.equal(csv[1].split(",")[2], String(json.rows[0].median_seconds));
  const details = page.locator("#latency-figure details");
  await details.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.ok(await details.locator("table").isVisible());
}

/** Runs all rules in the light theme, and those on contrast in the dark one. */
async function checkRules(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await isReady(page);
  if (url.includes(COMPARE)) await page.locator("#compare-table tbody tr").first().waitFor();
  // Figures like those beside them.
  await prepareRules(page, {
    alike: [
      ".grid-of-figures>:nth-child(n+2)",
      ".grid-of-small>:nth-child(n+2)",
      ".figure~.figure",
    ],
  });
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const violations = await findViolations(page, { contrastOnly: colorScheme === "dark" });
    assert.deepEqual(violations, [], `${url}, ${colorScheme}`);
  }
}

/** Folders with a site each, and one page of each kind. */
interface Sites {
  sample: BuiltSite;
  /** Undefined every day: `deno task test:all` opens it whole. */
  hostile?: BuiltSite;
  report: string;
  trend: string;
}

/** What can be operated, and what must not. */
async function checkUse(browser: Browser, { sample, hostile, report, trend }: Sites) {
  const opened = await openPage(browser);
  const { page } = opened;
  await check(
    "pages open from disk: no complaint, no request, tables and text for charts",
    () => openAll(opened, sample),
  );
  await check(
    "figures save their numbers, tables open, both by keyboard",
    () => saveNumbers(page, urlOf(sample, report)),
  );
  for (const path of ["index.html", COMPARE, ...(ALL_CASES ? [sample.paths[0], trend] : [])]) {
    await check(
      `the keyboard reaches everything: ${path}`,
      () => walkByKeyboard(page, urlOf(sample, path)),
    );
  }
  const comparing = await openPage(browser);
  await checkComparing(comparing.page, {
    url: urlOf(sample, COMPARE),
    complaints: comparing.watch.complaints,
    check,
  });
  if (hostile) {
    const guarded = await openPage(browser);
    await check(
      "a result full of HTML, script and path tricks is inert on every page",
      () => openAll(guarded, hostile),
    );
    await check(
      "no page of names without end is wider than a screen",
      () => measureWidths(guarded.page, hostile),
    );
  }
  await check(
    "a desk's screen shows tables whole, and nothing to press is lower than 24 pixels",
    () => measureTables(page, sample),
  );
}

/** Pictures that are taken every day; `deno task test:all` takes all. */
const LOOKS_DAILY = ["index-light", "index-narrow", "report-dark", "compare-dark", "rivals-print"];

/** What can be seen and heard. */
async function checkSight(browser: Browser, { sample, report, trend }: Sites) {
  const { page } = await openPage(browser);
  for (
    const path of [
      ...["index.html", report, COMPARE, trend, "rivals/index.html"],
      ...(ALL_CASES
        ? ["devices/index.html", "trends/index.html", "claims/speedup-forward.html"]
        : []),
      ...(ALL_CASES ? ["docs/method.html"] : []),
    ]
  ) {
    await check(
      `axe-core finds nothing: ${path}`,
      () => checkRules(page, urlOf(sample, path)),
    );
  }
  const canvas = await browser.newPage();
  // The font of the letters is the test's, not the page's.
  const { page: stage } = await openPage(browser, { bypassCSP: true });
  const looks = [
    { name: "index-light", path: "index.html" },
    { name: "index-dark", path: "index.html", colorScheme: "dark" as const },
    { name: "index-narrow", path: "index.html", width: 400 },
    { name: "index-print", path: "index.html", media: "print" as const, width: 794 },
    { name: "report-dark", path: report, colorScheme: "dark" as const, id: "speed-up" },
    { name: "report-print", path: report, media: "print" as const, width: 794 },
    { name: "trend-light", path: trend, id: "figures" },
    { name: "compare-dark", path: COMPARE, colorScheme: "dark" as const },
    { name: "compare-narrow", path: COMPARE, width: 390 },
    { name: "devices-light", path: "devices/index.html", width: 1100 },
    { name: "rivals-print", path: "rivals/index.html", media: "print" as const, width: 794 },
    { name: "rivals-narrow", path: "rivals/index.html", width: 390 },
  ];
  for (const { name, path, colorScheme = "light" as const, media, width = 1280, id } of looks) {
    if (!ALL_CASES && !update && !LOOKS_DAILY.includes(name)) continue;
    await check(`looks right: ${name}`, async () => {
      await stage.setViewportSize({ width, height: 900 });
      await stage.emulateMedia({ colorScheme, media: media ?? "screen", reducedMotion: "reduce" });
      await stage.goto(urlOf(sample, path));
      await isReady(stage);
      if (path === COMPARE) await stage.locator("#compare-table tbody tr").first().waitFor();
      const overflow = await stage.evaluate(() =>
        document.documentElement.scrollWidth - innerWidth
      );
      assert.ok(overflow <= 0, `${overflow} pixels wider than the window`);
      if (media === "print") {
        // Headings and legends stay, though they are buttons.
        const shown = await stage.locator(
          "nav:visible,form:visible,.skip:visible,button:visible:not(.sort,[aria-pressed])",
        ).count();
        assert.equal(shown, 0, "what does nothing on paper is not printed");
      }
      await stage.addStyleTag({ content: BLOCKS });
      await stage.evaluate(async (id) => {
        await document.fonts.load("16px Blocks");
        document.getElementById(id ?? "main")!.scrollIntoView();
      }, id);
      await compareLook(stage, { name, canvas, update });
    });
  }
}

const folder = await Deno.makeTempDir();
const browser = await chromium.launch({
  executablePath,
  args: ["--disable-gpu", ...(Deno.uid() === 0 ? ["--no-sandbox"] : [])],
});
try {
  const sample = await buildSite(sampleRuns(), `${folder}/sample`);
  // One of several similar pages is enough.
  const alike =
    /^((runs|compare)\/2000-01-0[2-8]|schema\/|claims\/(?!index|speedup-forward\.)|docs\/(?!index|method))/;
  sample.paths = sample.paths.filter((path) => !alike.test(path));
  const hostile = ALL_CASES ? await buildSite(hostileRuns(), `${folder}/hostile`) : undefined;
  const sites: Sites = {
    sample,
    hostile,
    // The newest run of the GPU has everything that a report can have.
    report: sample.paths.filter((path) => path.startsWith("runs/")).at(-2)!,
    trend: sample.paths.find((path) => path.startsWith("trends/synthetic"))!,
  };
  await Promise.all([checkUse(browser, sites), checkSight(browser, sites)]);
} finally {
  await browser.close();
  await Deno.remove(folder, { recursive: true });
}
