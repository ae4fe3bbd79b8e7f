/** Sites that browsers open from disk, and how wide their pages are. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { NamedResult } from "../data/twins.ts";
import { readDocs } from "./doc_files.ts";
import { planSite } from "./runs.ts";
import { siteFiles } from "./site_files.tsx";
import { writeSite } from "./write_site.ts";

/** A site on disk. */
export interface BuiltSite {
  root: string;
  /** Of the pages. */
  paths: string[];
}

/** Writes the site of some runs, with the documents. */
export async function buildSite(runs: readonly NamedResult[], root: string): Promise<BuiltSite> {
  const docs = await readDocs(new URL("../../", import.meta.url));
  const files = [...siteFiles(planSite(runs), { docs })];
  await writeSite(files, root);
  return { root, paths: files.map(({ path }) => path).filter((path) => path.endsWith(".html")) };
}

/** Where a browser opens a page. */
export function urlOf({ root }: BuiltSite, path: string): string {
  return `file://${root}/${path}`;
}

/** Looks at every page at both widths: none may be wider than the screen. */
export async function measureWidths(page: Page, site: BuiltSite): Promise<void> {
  for (const path of site.paths.filter((one) => !/^(docs|schema)\//.test(one))) {
    await page.setViewportSize({ width: 390, height: 900 });
    await page.goto(urlOf(site, path));
    if (path === "compare/index.html") {
      // The boxes are as wide as the longest name that the script puts into them.
      await page.locator("#compare-implementation option:nth-child(2)")
        .waitFor({ state: "attached" });
    }
    for (const width of [390, 1440]) {
      await page.setViewportSize({ width, height: 900 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${path} is ${over} pixels wider than ${width}`);
    }
  }
}

/** On a desk's screen no table of a site's own pages is cut, and everything to press is 24 high. */
export async function measureTables(page: Page, site: BuiltSite): Promise<void> {
  await page.setViewportSize({ width: 1440, height: 900 });
  for (const path of ["index", "devices/index", "compare/index", "claims/index"]) {
    await page.goto(urlOf(site, `${path}.html`));
    const found = await page.evaluate(() => ({
      cut: [...document.querySelectorAll(".scroll")].filter((one) =>
        one.scrollWidth > one.clientWidth + 1
      ).map((one) => one.closest("section")!.id),
      low: [...document.querySelectorAll("nav a, main summary, th button, td > a, th > a")]
        .filter((one) => {
          const { height } = one.getBoundingClientRect();
          return height > 0 && height < 24;
        }).map((one) => one.textContent),
    }));
    assert.deepEqual(found, { cut: [], low: [] }, path);
  }
}
