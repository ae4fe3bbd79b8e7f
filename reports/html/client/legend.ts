/// <reference lib="dom" />
/**
 * A click on an entry of a legend hides its series, and shows it again.
 *
 * @module
 */
import { figureData } from "./figure_data.ts";
import { hiddenOf, showAsHidden } from "./marks.ts";

/** Makes every entry that names a series of its figure a button. */
export async function addLegendToggles(root: ParentNode): Promise<void> {
  const legends = [...root.querySelectorAll<HTMLElement>("figure ul.legend")];
  await Promise.all(legends.map(async (legend) => {
    const figure = legend.closest("figure")!;
    const series = (await figureData(figure))?.readout?.series ?? [];
    if (legend.querySelector("button") !== null) return;
    let toggles = 0;
    for (const entry of legend.children) {
      const at = series.findIndex(({ name }) => name === entry.textContent?.trim());
      if (at < 0) continue;
      const press = document.createElement("button");
      press.type = "button";
      press.title = "Hide or show";
      press.setAttribute("aria-pressed", "true");
      press.append(...entry.childNodes);
      press.onclick = () => {
        const { toggled } = hiddenOf(figure);
        if (!toggled.delete(at)) toggled.add(at);
        press.setAttribute("aria-pressed", String(!toggled.has(at)));
        showAsHidden(figure, series.length);
      };
      entry.append(press);
      (entry as HTMLElement).dataset.legend = String(at);
      toggles++;
    }
    if (toggles > 0) {
      legend.removeAttribute("aria-hidden");
      legend.setAttribute("aria-label", "Series; press one to hide or show it");
    }
  }));
}
