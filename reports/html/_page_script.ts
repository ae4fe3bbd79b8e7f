/**
 * The script of a page, run without a browser: what its buttons save.
 *
 * @module
 */
import assert from "node:assert/strict";
import script from "./page_script.js" with { type: "text" };

/** A file that a button saved. */
export interface SavedFile {
  readonly name: string;
  readonly text: string;
}

/** Presses every button of a page; the files in the order of the buttons. */
export async function saveAll(html: string): Promise<SavedFile[]> {
  const texts = new Map(
    [...html.matchAll(/<script type="application\/json[^"]*" id="([^"]+)">([^<]*)<\/script>/g)]
      .map(([, id, textContent]) => [id, { textContent }]),
  );
  const figures = [...html.matchAll(/<figure id="([^"]+)"[^]*?<figcaption[^>]*>([^<]*)</g)]
    .map(([, id, textContent]) => ({ id, querySelector: () => ({ textContent }) }));
  const button = (dataset: Record<string, string>, figure?: unknown) => ({
    dataset,
    hidden: true,
    closest: () => figure,
    onclick: async () => {},
  });
  const exports = figures.flatMap((figure) =>
    ["csv", "json"].map((format) => button({ export: format }, figure))
  );
  const results = [...html.matchAll(/ data-result="([^"]+)"/g)].map(([, result]) =>
    button({ result })
  );
  const blobs: Blob[] = [];
  const names: string[] = [];
  const document = {
    createElement: () => ({
      download: "",
      click() {
        names.push(this.download);
      },
    }),
    getElementById: (id: string) => texts.get(id),
    querySelectorAll: (selector: string) =>
      selector === "figure" ? figures : selector.includes("export") ? exports : results,
  };
  const urls = { createObjectURL: (blob: Blob) => (blobs.push(blob), "blob:1") };
  new Function("document", "URL", "setTimeout", script)(document, urls, () => {});
  for (const one of [...exports, ...results]) {
    assert.equal(one.hidden, false);
    await one.onclick();
  }
  const saved = await Promise.all(blobs.map((blob) => blob.text()));
  return saved.map((text, i) => ({ name: names[i], text }));
}
