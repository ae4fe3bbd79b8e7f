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

/** Opens every page at both widths: none may be wider than the screen. */
export async function measureWidths(page: Page, site: BuiltSite): Promise<void> {
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 900 });
    for (const path of site.paths.filter((one) => !/^(docs|schema)\//.test(one))) {
      await page.goto(urlOf(site, path));
      if (path === "compare/index.html") {
        // The boxes are as wide as the longest name that the script puts into them.
        await page.locator("#compare-implementation option:nth-child(2)")
          .waitFor({ state: "attached" });
      }
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${path} is ${over} pixels wider than ${width}`);
    }
  }
}
