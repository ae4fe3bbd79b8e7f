/** Checks the page that compares any two runs in a browser. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";

type Check = (name: string, run: () => Promise<void>) => Promise<void>;

/** The visible rows. */
async function rowsOf(page: Page): Promise<{ ratio: number; verdict: string; name: string }[]> {
  return await page.locator("#compare-table tbody tr").evaluateAll((rows) =>
    rows.map((row) => {
      const [name, ratio, verdict] = ["th", "td:nth-of-type(3) strong", "td:last-child"]
        .map((selector) => row.querySelector(selector)!.textContent!);
      return { name, ratio: Number(ratio.replace("×", "")), verdict };
    })
  );
}

const sentence = (page: Page) => page.locator("#compare-status").textContent();

/** Waits until the page has compared the chosen runs. */
async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const text = document.getElementById("compare-status")!.textContent!;
    return text !== "" && !text.startsWith("Reading");
  });
}

/** Chooses runs, filters and sorts, and opens the address again. */
export async function checkComparing(
  page: Page,
  { url, complaints, check }: { url: string; complaints: string[]; check: Check },
): Promise<void> {
  await check("any two runs: the newest pair at first, the step between others", async () => {
    await page.goto(url);
    await settled(page);
    assert.match((await sentence(page))!, /^\d+ cases timed in both runs: /);
    const options = await page.locator("#compare-a option").evaluateAll((all) =>
      all.map((one) => ({ value: (one as HTMLOptionElement).value, text: one.textContent! }))
    );
    assert.equal(options.length, 11);
    const of = (day: string) => options.find(({ text }) => text.startsWith(`2000-01-${day}`))!;
    await page.selectOption("#compare-a", of("05").value);
    await page.selectOption("#compare-b", of("06").value);
    await settled(page);
    const rows = await rowsOf(page);
    assert.match(rows[0].name, /^Dense, /);
    assert.ok(Math.abs(rows[0].ratio - 1.2) < 0.03, String(rows[0].ratio));
    const sizes = rows.map(({ ratio }) => Math.abs(Math.log(ratio)));
    assert.deepEqual(sizes, sizes.toSorted((a, b) => b - a), "the largest change first");
    assert.deepEqual(
      rows.filter(({ verdict }) => verdict === "slower").map(({ name }) => name.slice(0, 5)),
      ["Dense", "Dense"],
    );
  });
  await check(
    "any two runs: filters and order are in the address, which opens the same",
    async () => {
      await page.selectOption("#compare-implementation", "dense");
      await page.locator("#compare-changed").check();
      await page.locator("button[data-sort=case]").click();
      const before = await rowsOf(page);
      assert.equal(before.length, 2);
      assert.equal(
        await page.locator("th[aria-sort=ascending]").textContent(),
        "Case",
      );
      const address = page.url();
      await page.goto("about:blank");
      await page.goto(address);
      await settled(page);
      assert.deepEqual(await rowsOf(page), before);
      assert.equal(await page.locator("#compare-implementation").inputValue(), "dense");
      assert.match((await page.locator("#compare-count").textContent())!, /^2 of \d+ cases$/);
    },
  );
  await check("any two runs: Back undoes a choice, and a new pair keeps the filter", async () => {
    const state = async () => ({
      b: await page.locator("#compare-b").inputValue(),
      filter: await page.locator("#compare-implementation").inputValue(),
    });
    const first = await state();
    const others = await page.locator("#compare-b option").evaluateAll((all) =>
      all.map((one) => (one as HTMLOptionElement).value)
    );
    const a = await page.locator("#compare-a").inputValue();
    const other = others.find((value) => value !== a && value !== first.b)!;
    await page.selectOption("#compare-b", other);
    await page.waitForFunction((value) => location.href.includes(value), other);
    assert.deepEqual(await state(), { b: other, filter: first.filter });
    await page.selectOption("#compare-implementation", "");
    await page.goBack();
    await page.waitForFunction(() =>
      (document.getElementById("compare-implementation") as HTMLSelectElement).value !== ""
    );
    assert.deepEqual(await state(), { b: other, filter: first.filter });
    await page.goBack();
    await page.waitForFunction(
      (value) => (document.getElementById("compare-b") as HTMLSelectElement).value === value,
      first.b,
    );
    await settled(page);
    assert.deepEqual(await state(), first);
    // What neither run has is kept too, and said.
    const kept = new URL(page.url());
    const params = new URLSearchParams(kept.hash.slice(1) || kept.search);
    params.set("implementation", "absent");
    await page.goto("about:blank");
    await page.goto(`${url}#${params}`);
    await settled(page);
    assert.equal((await state()).filter, "absent");
    assert.match((await page.locator("#compare-count").textContent())!, /^0 of \d+ cases$/);
    await page.goto("about:blank");
    await page.goto(kept.href);
    await settled(page);
  });
  await check("any page: an address that somebody cut throws nothing", async () => {
    const open = await page.context().newPage();
    const thrown: string[] = [];
    open.on("pageerror", (error) => thrown.push(String(error)));
    for (const one of [url, url.replace("compare/index.html", "index.html")]) {
      await open.goto(`${one}#%E0%A4%A`);
      await open.waitForLoadState("load");
    }
    await open.close();
    assert.deepEqual(thrown, []);
  });
  await check("any two runs: swapped, and of two devices not comparable", async () => {
    await page.locator("#compare-swap").click();
    await settled(page);
    const rows = await rowsOf(page);
    assert.ok(rows.every(({ ratio, verdict }) => ratio < 0.9 && verdict === "faster"));
    await page.locator("#compare-changed").uncheck();
    const processor = await page.locator("#compare-b optgroup", { hasText: "2000-01-11" })
      .locator("option").getAttribute("value");
    await page.selectOption("#compare-b", processor!);
    await settled(page);
    assert.match((await sentence(page))!, /^Not comparable: different adapters: /);
    const judged = (await rowsOf(page)).map(({ verdict }) => verdict);
    assert.ok(judged.length > 0 && judged.every((verdict) => verdict === "not judged"));
    assert.deepEqual(complaints, []);
  });
  await check("any two runs: without script there are the comparisons made before", async () => {
    const context = await page.context().browser()!.newContext({ javaScriptEnabled: false });
    const bare = await context.newPage();
    await bare.goto(url);
    assert.ok(await bare.locator("#compare-unscripted").isVisible());
    assert.ok(!await bare.locator("#compare-controls").isVisible());
    assert.ok(!await bare.locator("#compare-result").isVisible());
    assert.ok(await bare.locator("#run-pairs tbody a[href$='.html']").count() >= 9);
    await context.close();
  });
}
