/**
 * The files that the buttons of a page save, without a browser: the script's modules run on the page's text.
 *
 * @module
 */
import type { FigureData } from "./client/figure_data.ts";
import { makeWhole } from "./client/lean_result.ts";
import { unpack } from "./client/packed.ts";
import { unpackTexts } from "./client/more_rows.ts";
import { toCsv, toJson } from "./client/saved_data.ts";

/** A file that a button saves. */
export interface SavedFile {
  readonly name: string;
  readonly text: string;
}

/** The data of every figure of a page. */
export async function figureDataOf(html: string): Promise<FigureData[]> {
  const text = /<script type="application\/json[^"]*" id="chart-data">([^<]*)</.exec(html)?.[1];
  return text === undefined ? [] : await unpack(text) as FigureData[];
}

/** The rows of long tables, as the page adds them: markup. */
export async function packedRowsOf(html: string): Promise<string> {
  const text = /<script type="application\/json[^"]*" id="more-rows">([^<]*)</.exec(html)?.[1];
  return text === undefined ? "" : (await unpackTexts(text)).join("\n");
}

/** CSV and JSON of every figure, then the results embedded in the page. */
export async function saveAll(html: string): Promise<SavedFile[]> {
  const data = await figureDataOf(html);
  const figures = [...html.matchAll(/<figure id="([^"]+)"[^]*?<figcaption[^>]*>([^<]*)</g)];
  const files = figures.flatMap(([, id, title], i): SavedFile[] => [
    { name: `${id}.csv`, text: toCsv(data[i]) },
    { name: `${id}.json`, text: toJson(title, data[i]) },
  ]);
  for (const [, id] of html.matchAll(/ data-result="([^"]+)"/g)) {
    const packed = new RegExp(`<script type="application/json[^"]*" id="${id}">([^<]*)<`);
    const result = await unpack(packed.exec(html)![1]) as Parameters<typeof makeWhole>[0];
    if (Array.isArray(result.cases)) makeWhole(result);
    files.push({ name: `${id}.json`, text: JSON.stringify(result) });
  }
  return files;
}
