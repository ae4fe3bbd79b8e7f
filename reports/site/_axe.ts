/**
 * Rules of accessibility, checked by axe-core in a page.
 *
 * @module
 */
import axe from "axe-core";
import type { Page } from "playwright-core";

/** Rows like those above them, and what is drawn in a picture: its name is checked, and axe-core does not
 * see the colours of SVG. */
const ALIKE = [".scroll tbody tr:nth-child(n+3)", ".drawing>*"];

/**
 * Opens all that is folded, leaves out what takes most of the time and says nothing new, and loads the
 * rules into the page. Its policy must let scripts in, or automation must evaluate outside of it.
 *
 * @param options.alike selectors of further elements that are like others.
 */
export async function prepareRules(
  page: Page,
  { alike = [] }: { alike?: readonly string[] } = {},
): Promise<void> {
  await page.evaluate((selectors) => {
    document.querySelectorAll("details").forEach((one) => one.open = true);
    document.querySelectorAll(selectors).forEach((one) => one.remove());
  }, [...ALIKE, ...alike].join());
  await page.evaluate(axe.source);
}

/** Violations in a prepared page, of all rules or of those on contrast. */
export async function findViolations(
  page: Page,
  { contrastOnly }: { contrastOnly: boolean },
): Promise<string[]> {
  return await page.evaluate(async (contrastOnly) => {
    const page = globalThis as unknown as { axe: typeof axe };
    const run = await page.axe.run(document, {
      resultTypes: ["violations"],
      selectors: false,
      ...(contrastOnly ? { runOnly: { type: "rule", values: ["color-contrast"] } } : {}),
    });
    return run.violations.map(({ id, nodes }) =>
      `${id}: ${nodes.length} × ${nodes[0].html.slice(0, 160)} ${nodes[0].failureSummary}`
    );
  }, contrastOnly);
}
