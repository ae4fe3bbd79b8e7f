/**
 * Pages whose charts are checked in a browser: every baseline, a short run on a software adapter, a
 * run with one context, retrieval, an experiment, a comparison of four runs, and pages of a site.
 *
 * @module
 */
import { ALL_CASES } from "../../tools/_cases.ts";
import { readResult } from "../../suites/result/read_result.ts";
import type { Result } from "../../suites/result/result_schema.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { withTraining } from "../../suites/result/_sample_training.ts";
import { renderHtml } from "../html/render_html.tsx";
import { sampleExperimentResult } from "../_sample_experiment.ts";
import { sampleRuns } from "../site/_sample_site.ts";
import { planSite } from "../site/runs.ts";
import { siteFiles } from "../site/site_files.tsx";

const BASELINES = new URL("../../fixtures/baselines/", import.meta.url);

/** A page and its name. */
export interface ChartPage {
  readonly name: string;
  readonly html: string;
}

/** Baselines that together have every kind of chart. */
const EVERY_DAY = ["h100-dawn-peers", "h200-default", "h100-deno-retrieval"];

/** Makes a page when it is first needed. */
function once(name: string, resultOf: () => Result): () => ChartPage {
  let page: ChartPage | undefined;
  return () => page ??= { name, html: renderHtml([resultOf()]) };
}

/** The page of a short run on a software adapter. */
export const software: () => ChartPage = once(
  "software",
  () => sampleResult({ contexts: [2048, 4096, 8192], software: true, heads: 1, variants: true }),
);

/** The page of a run that has every part of a result. */
export const everything: () => ChartPage = once(
  "everything",
  () =>
    withTraining(sampleResult({ sweeps: true, extras: true, variants: true }), [
      { seconds: 10 },
      { scorer: "norm", seconds: 4 },
      { scorer: "dilated", levels: 5, pooling: 2, k: 6144, seconds: 6 },
      { peer: "torch-training", seconds: 5 },
    ]),
);

/** Pages, one after the other: all of them, or the everyday ones. */
export async function* chartPages(all: boolean = ALL_CASES): AsyncGenerator<ChartPage> {
  const baseline = (name: string) => readResult(new URL(`${name}.json`, BASELINES).pathname);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(BASELINES)) {
    const base = name.slice(0, -5);
    if (name.endsWith(".json") && (all || EVERY_DAY.includes(base))) names.push(base);
  }
  for (const name of names.sort()) yield { name, html: renderHtml([await baseline(name)]) };
  yield software();
  yield {
    name: "one context",
    html: renderHtml([sampleResult({ contexts: [8192], extras: true })]),
  };
  yield everything();
  const arms = ["dense", "norm", "dilated", "random"].map((arm, i) => ({
    arm,
    loss: 0.01 * i,
    share: 0.7 - 0.15 * i,
  }));
  yield {
    name: "experiment",
    html: renderHtml([sampleExperimentResult({ arms, seeds: [1, 2, 3], steps: 1600 })]),
  };
  if (!all) return;
  const four = ["h100-deno-paper", "h100-dawn-peers", "h100-dawn-cudnn", "h100-deno-short"];
  yield { name: "four runs", html: renderHtml(await Promise.all(four.map(baseline))) };
  const plan = planSite(sampleRuns());
  const wanted =
    /^(index|(devices|trends)\/index|claims\/speedup-forward|(trends\/synthetic|compare\/2000-01-06)[^/]*)\.html$/;
  for (const { path, text } of siteFiles(plan)) {
    if (wanted.test(path)) yield { name: `site ${path}`, html: text };
  }
}
