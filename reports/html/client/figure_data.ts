/// <reference lib="dom" />
/**
 * The numbers of the figures: packed together at the end of the page, or inside a figure that was
 * drawn later.
 *
 * @module
 */
import type { ChartData } from "../../charts/chart_data.ts";
import type { Readout } from "../../charts/drawing.ts";
import { unpack } from "./packed.ts";

/** Numbers of one figure, and the readouts of its points. */
export type FigureData = ChartData & { readout?: Readout };

let packed: Promise<FigureData[]> | undefined;

/** Numbers of a figure; undefined if it has none. */
export async function figureData(figure: Element): Promise<FigureData | undefined> {
  const own = figure.querySelector("script.chart-data")?.textContent;
  if (own) {
    const readout = figure.querySelector("metadata.readout")?.textContent;
    return { ...JSON.parse(own), ...(readout && { readout: JSON.parse(readout) }) };
  }
  const at = figure.querySelector<HTMLElement>(".export")?.dataset.at;
  return at === undefined ? undefined : (await packedFigures())[Number(at)];
}

/** The numbers of all figures that the page was written with, those of folded parts as well. */
export function packedFigures(): Promise<readonly FigureData[]> {
  const text = document.getElementById("chart-data")?.textContent;
  return packed ??= text ? unpack(text) as Promise<FigureData[]> : Promise.resolve([]);
}
