/**
 * Times the host's own code: `deno task bench:host`. The suites time the kernels.
 *
 * @module
 */
import { DESK } from "../kernels/gpu/_desk_device.ts";
import { planDenseAttention } from "../kernels/dense_attention/dense_attention.ts";
import { MATRIX_UNITS } from "../kernels/dense_attention/matrix/_matrix_gpu.ts";
import { lighthouseNorm } from "../kernels/lighthouse/lighthouse_attention.ts";
import { compareResults } from "../reports/gate/compare_results.ts";
import { renderReport } from "../reports/render_report.ts";
import { planSite } from "../reports/site/runs.ts";
import { siteFiles } from "../reports/site/site_files.tsx";
import { parseResult, readResult } from "../suites/result/read_result.ts";
import { bootstrapMedian, bootstrapRatio } from "../suites/statistics/statistics.ts";

const folder = new URL("../fixtures/baselines/", import.meta.url);
const text = await Deno.readTextFile(new URL("h100-deno-paper.json", folder));
const paper = parseResult(text, "paper");
const short = await readResult(new URL("h100-deno-short.json", folder).pathname);

const samples = Array.from({ length: 24 }, (_, i) => 1 + ((i * 7919) % 101) / 1000);
const rounds = samples.map((seconds) => ({ numerator: [seconds, seconds], denominator: [1] }));

Deno.bench("parse a result of a whole run", () => {
  parseResult(text, "paper");
});
Deno.bench("render it as a page", () => {
  renderReport(paper);
});
Deno.bench("render it for the terminal", () => {
  renderReport(paper, { format: "terminal" });
});
Deno.bench("compare two runs", () => {
  compareResults(paper, short);
});
Deno.bench("write a site of two runs", () => {
  const site = planSite([{ name: "paper", result: paper }, { name: "short", result: short }]);
  for (const _ of siteFiles(site)) { /* A page is made when it is asked for. */ }
});

Deno.bench("interval of a median, 24 samples", () => {
  bootstrapMedian(samples, { seed: 1 });
});
Deno.bench("interval of a ratio, 24 rounds", () => {
  bootstrapRatio(rounds, { seed: 1 });
});

const shape = { heads: 8, context: 131072, headDim: 128, dtype: "f16" } as const;
const options = { levels: 3, pooling: 4, k: 2048 };
Deno.bench("plan a Lighthouse layer at 128K, both passes", () => {
  lighthouseNorm.plan(DESK, { shape, options, direction: "forward-backward" });
});
Deno.bench("generate a shader for matrix units", () => {
  planDenseAttention({ ...DESK, capabilities: MATRIX_UNITS }, {
    heads: 8,
    rows: 131072,
    headDim: 128,
    dtype: "f16",
    kernel: "matrix",
  });
});
