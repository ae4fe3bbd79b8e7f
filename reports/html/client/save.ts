/// <reference lib="dom" />
/**
 * Buttons that save: the numbers of a figure as CSV and JSON, its picture as SVG and PNG, a whole
 * result.
 *
 * @module
 */
import { button } from "./button.ts";
import { copyText, linkTo } from "./copy.ts";
import { figureData } from "./figure_data.ts";
import { makeWhole } from "./lean_result.ts";
import { unpack } from "./packed.ts";
import { toPng, toSvg } from "./save_picture.ts";
import { toCsv, toJson } from "./saved_data.ts";

/** Saves a file in the browser's folder for downloads. */
export function save(name: string, type: string, content: BlobPart): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Adds buttons under every figure with numbers, and for whole results. */
export function addSaveButtons(root: ParentNode): void {
  for (const place of root.querySelectorAll<HTMLElement>(".export")) {
    const figure = place.closest("figure");
    if (figure === null || place.childElementCount > 0) continue;
    const title = figure.querySelector("figcaption")?.textContent ?? figure.id;
    const add = (label: string, what: string, run: (pressed: HTMLButtonElement) => unknown) => {
      const one = button(label, `${what}: ${title}`, run);
      one.dataset.export = label.toLowerCase().replace(" ", "-");
      place.append(one);
    };
    const numbers = async () => (await figureData(figure))!;
    add(
      "CSV",
      "Save the numbers as CSV",
      async () => save(`${figure.id}.csv`, "text/csv", toCsv(await numbers())),
    );
    add(
      "JSON",
      "Save the numbers as JSON",
      async () => save(`${figure.id}.json`, "application/json", toJson(title, await numbers())),
    );
    if (figure.querySelector("svg.drawing") !== null) {
      add(
        "SVG",
        "Save the picture as SVG",
        () => save(`${figure.id}.svg`, "image/svg+xml", toSvg(figure)),
      );
      add(
        "PNG",
        "Save the picture as PNG",
        async () => save(`${figure.id}.png`, "image/png", await toPng(figure)),
      );
    }
    add("Copy link", "Copy a link to the figure", (one) => copyText(linkTo(figure.id), one));
  }
  for (const one of root.querySelectorAll<HTMLButtonElement>("button[data-result]")) {
    one.hidden = false;
    one.onclick = async () => {
      const id = one.dataset.result!;
      const text = document.getElementById(id)!.textContent!;
      const result = await unpack(text) as Parameters<typeof makeWhole>[0];
      makeWhole(result);
      save(`${id}.json`, "application/json", JSON.stringify(result));
    };
  }
}
