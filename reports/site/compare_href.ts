/**
 * Links to the page that compares any two runs.
 *
 * @module
 */
import type { SiteRun } from "./runs.ts";
import { relative } from "./site_page.tsx";

/** The address at which that page shows two runs. `path` is that of the page with the link. */
export function compareHref(
  path: string,
  { before, after }: { before: SiteRun; after: SiteRun },
): string {
  return `${relative(path, "compare/index.html")}?a=${before.slug}&b=${after.slug}`;
}
