/// <reference lib="dom" />
/**
 * The script of every page of the report and of the site. It only adds features: readouts of points,
 * toggles, filters, sorting, and the buttons that save and copy. Drawings,
 * tables and links work without it.
 *
 * `deno task generate` bundles it to `../page_script.generated.js`, which a page has in its head, so that the
 * theme is known before anything is drawn. A page that draws a figure again sends the event
 * {@linkcode RENDERED} from the element that contains it.
 *
 * @module
 */
import { addCopyButtons, openTarget } from "./copy.ts";
import { addFilters } from "./filters.ts";
import { addRowButtons, unfoldOnOpen } from "./more_rows.ts";
import { addLegendToggles } from "./legend.ts";
import { addReadouts } from "./readout.ts";
import { addSaveButtons } from "./save.ts";
import { addSorting } from "./sort_tables.ts";
import { addThemeToggle, applyStoredTheme } from "./theme.ts";

/** Sent, bubbling, from an element whose figures or tables were drawn again. */
const RENDERED = "lighthouse-rendered";

/** Adds the missing features to everything inside `root`, but the filters of the page. */
async function enhanceParts(root: ParentNode): Promise<void> {
  addSorting(root);
  addRowButtons(root, () => void addFilters());
  addCopyButtons(root);
  addSaveButtons(root);
  await Promise.all([addLegendToggles(root), addReadouts(root)]);
}

async function enhance(root: ParentNode): Promise<void> {
  await enhanceParts(root);
  await addFilters();
}

applyStoredTheme();
addEventListener("DOMContentLoaded", () => {
  addThemeToggle();
  unfoldOnOpen(enhanceParts, addFilters);
  // For tests, which must wait for it.
  void enhance(document).then(() => document.documentElement.dataset.ready = "");
  document.addEventListener(RENDERED, ({ target }) => void enhance(target as Element));
  addEventListener("hashchange", () => void openTarget());
  void openTarget();
});
