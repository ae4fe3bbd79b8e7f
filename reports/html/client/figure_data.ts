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
/** Figures of the original page, in the order of the packed numbers. */
let written: Element[] = [];

/** Numbers of a figure; undefined if it has none. */
export async function figureData(figure: Element): Promise<FigureData | undefined> {
  const own = figure.querySelector("script.chart-data")?.textContent;
  if (own) {
    const readout = figure.querySelector("metadata.readout")?.textContent;
    return { ...JSON.parse(own), ...(readout && { readout: JSON.parse(readout) }) };
  }
  if (packed === undefined) {
    written = [...document.querySelectorAll("figure")];
    const text = document.getElementById("chart-data")?.textContent;
    packed = text ? unpack(text) as Promise<FigureData[]> : Promise.resolve([]);
  }
  return (await packed)[written.indexOf(figure)];
}
