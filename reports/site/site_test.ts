import { OUTSIDE } from "../claims/sources.ts";
import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { z } from "zod";
import { type Result, resultSchema } from "../../suites/result/result_schema.ts";
import { ATTACK } from "../../suites/result/_hostile_result.ts";
import { sampleRetrieval } from "../../suites/result/_sample_retrieval.ts";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { renderHtml } from "../html/render_html.tsx";
import { readResult } from "../../suites/result/read_result.ts";
import { hostileRuns, sampleRuns } from "./_sample_site.ts";
import { claimLine, collectEvidence, deviceEvidence } from "./evidence.ts";
import type { NamedResult } from "../data/twins.ts";
import { countDevices, leadRun, MOST_RUNS, planSite } from "./runs.ts";
import { siteFiles } from "./site_files.tsx";

function filesOf(...args: Parameters<typeof sampleRuns>): Map<string, string> {
  return new Map(
    [...siteFiles(planSite(sampleRuns(...args)))].map(({ path, text }) => [path, text]),
  );
}

/** JSON Feed 1.1, transcribed from https://jsonfeed.org/version/1.1. */
const feedSchema = z.strictObject({
  version: z.literal("https://jsonfeed.org/version/1.1"),
  title: z.string(),
  home_page_url: z.url().optional(),
  feed_url: z.url().optional(),
  description: z.string().optional(),
  language: z.string().optional(),
  items: z.array(z.strictObject({
    id: z.string().min(1),
    url: z.url().optional(),
    title: z.string().optional(),
    content_text: z.string(),
    date_published: z.iso.datetime().optional(),
    tags: z.array(z.string()).optional(),
  })),
});

const sample = filesOf();

Deno.test("site: every link leads to a page or an anchor that exists", () => {
  let links = 0;
  for (const [path, text] of sample) {
    if (!path.endsWith(".html")) continue;
    for (const [, href] of text.matchAll(/ href="(?!data:image)([^"]*)"/g)) {
      if (OUTSIDE.includes(href)) continue;
      const url = new URL(href, `file:///${path}`);
      const target = url.pathname.slice(1);
      assert.equal(url.protocol, "file:", `${path}: ${href}`);
      assert.ok(sample.has(target), `${path}: ${href}`);
      if (url.hash !== "") {
        assert.ok(sample.get(target)!.includes(` id="${url.hash.slice(1)}"`), `${path}: ${href}`);
      }
      links++;
    }
    const ids = [...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, ids.length, `${path}: ids are unique`);
    assert.ok(
      !/(NaN|Infinity|undefined|\[object)/.test(text.replace(/<script[^]*?<\/script>/g, "")),
    );
  }
  assert.ok(links > 400);
});

Deno.test("site: the index names device, date, commit and verdict of every run", () => {
  const index = sample.get("index.html")!;
  for (const { result } of sampleRuns()) {
    assert.ok(index.includes(result.startedAt.slice(0, 10)));
    assert.ok(index.includes(result.tool.commit!.slice(0, 7)));
  }
  assert.match(index, /Synthetic adapter \(formula, not measured\)/);
  assert.match(index, /llvmpipe on synthetic/);
  assert.match(
    index,
    /<h1 class="verdict">The paper’s 21× at 512K tokens, forward, is [\d.–]+× here, over this suite’s own dense attention\. Reproduced/,
  );
  // It starts with the measurements, and does not list what each run left out.
  const main = index.slice(index.indexOf("<main"));
  assert.ok(main.indexOf("<svg") < main.indexOf("<table"), "a figure before any table");
  const runs = /<section id="runs">[^]*?<\/section>/.exec(main)![0];
  assert.match(runs, /over dense at 512K, forward/);
  assert.doesNotMatch(runs, /not run/);
  const own = [...sample.keys()].filter((path) => path.startsWith("runs/"));
  assert.equal(own.filter((path) => path.endsWith(".html")).length, 11);
  assert.equal(own.filter((path) => path.endsWith(".json")).length, 11);
});

Deno.test("site: runs, devices, trends, claims and schemas have their pages", () => {
  const paths = [...sample.keys()];
  const count = (start: string) => paths.filter((path) => path.startsWith(start)).length;
  // Nine pairs of neighbours, the first with the newest, two devices, any two.
  assert.equal(count("compare/"), 9 + 1 + 1 + 1);
  assert.equal(count("data/"), 11);
  assert.equal(count("devices/"), 1);
  assert.equal(count("trends/"), 3);
  assert.equal(count("claims/"), 12);
  assert.deepEqual(paths.filter((path) => path.startsWith("schema/")).sort(), [
    "schema/gate-config.html",
    "schema/gate-config.schema.json",
    "schema/index.html",
    "schema/result.html",
    "schema/result.schema.json",
    "schema/retrieval.html",
    "schema/retrieval.schema.json",
  ]);
});

Deno.test("site: a value on few samples says so in the verdict, the claims and the list", async () => {
  const named = await Promise.all(["h200-default", "h100-dawn-512k"].map(async (name) => ({
    name,
    result: await readResult(
      new URL(`../../fixtures/baselines/${name}.json`, import.meta.url)
        .pathname,
    ),
  })));
  const site = planSite(named);
  const claim = collectEvidence(site).find(({ claim: { id } }) => id === "speedup-forward")!;
  assert.match(claimLine(claim, site.devices), / both devices that ran it, on 1 with n = [2-5]\.$/);
  const files = new Map([...siteFiles(site)].map(({ path, text }) => [path, text]));
  for (const path of ["index.html", "claims/index.html", "claims/speedup-forward.html"]) {
    assert.match(files.get(path)!, /n = [2-5], range [\d.]+–[\d.]+×/, path);
  }
  for (const path of ["index.html", "claims/index.html"]) {
    assert.match(files.get(path)!, /[\d.]+× \([\d.]+–[\d.]+×, n = \d+\)/, path);
  }
  const figure = /<figure id="speedup-figure"[^]*?<\/figure>/.exec(files.get("index.html")!)![0];
  assert.match(figure, /95 % interval, or range/);
  assert.match(figure, /n = [2-5], range/);
});

Deno.test("site: a step of all dense cases is found at its commit, and nothing else is", () => {
  const path = [...sample.keys()].find((path) => path.startsWith("trends/synthetic"))!;
  const page = sample.get(path)!;
  const steps = /<section id="steps">[^]*?<\/section>/.exec(page)![0];
  const rows = steps.split("<tr>").filter((row) => row.startsWith('<th scope="row"'));
  assert.equal(rows.length, 2, "one for each dense context that all runs have");
  const commit = sampleRuns()[5].result.tool.commit!.slice(0, 7);
  for (const row of rows) {
    assert.match(row, /Dense, (64|512)K, forward/);
    assert.ok(row.includes(commit));
    assert.match(row, /\+(19|20)\.\d %/);
  }
  // Cases that only one run has are in the table; a figure of one point would show nothing.
  assert.match(page, /Dense, 96K, forward/);
  assert.match(page, /<figcaption[^>]*>[^<]*64K/);
  assert.doesNotMatch(page, /<figcaption[^>]*>[^<]*96K/);
});

Deno.test("site: a claim's page contains the evidence of every run and both devices", () => {
  const page = sample.get("claims/speedup-forward.html")!;
  assert.match(page, /Reproduced on the one device that ran it/);
  const rows = page.match(/<tr><th scope="row"><a class="run-link"/g)!;
  assert.equal(rows.length, 11);
  assert.match(page, /The run was planned to 64K only/);
  // What no run measured is listed once.
  const none = sample.get("claims/final-loss.html")!;
  assert.equal(none.match(/A loss takes the training itself/g)!.length, 1);
});

Deno.test("site: comparisons use the gate's verdicts, devices are not judged", () => {
  const pages = [...sample].filter(([path]) => path.startsWith("compare/2000"));
  const slower = pages.filter(([, text]) => /<h1 class="verdict">2 slower, /.test(text));
  assert.equal(slower.length, 2, "the neighbours of the step, and the first with the newest");
  const devices = pages.filter(([, text]) => /not a verdict on code/.test(text));
  assert.equal(devices.length, 1);
});

Deno.test("site: a run of another suite is compared with none, and the next with the last of its kind", () => {
  const [first, other, third] = sampleRuns(3);
  other.result.cases = sampleResult({ contexts: [4096] }).cases;
  const pages = [...siteFiles(planSite([first, other, third]))]
    .filter(({ path }) => path.startsWith("compare/2000"));
  assert.equal(pages.length, 1, "the third has the first's cases, and many more");
  third.result.cases = structuredClone(first.result.cases);
  const [page, ...more] = [...siteFiles(planSite([first, other, third]))]
    .filter(({ path }) => path.startsWith("compare/2000"));
  assert.equal(more.length, 0);
  assert.match(page.path, /^compare\/2000-01-03.*\.2000-01-01/);
});

Deno.test("site: checks that runs share do not make them comparable, unless there is nothing else", () => {
  const [first, second] = sampleRuns(2);
  const { cases } = sampleResult({ contexts: [8192], extras: true });
  const checks = cases.filter(({ suite }) => suite === "correctness");
  const dense = (context: number) =>
    sampleResult({ contexts: [context] }).cases.filter((one) => one.implementation === "dense");
  const compared = () =>
    [...siteFiles(planSite([first, second]))]
      .filter(({ path }) => path.startsWith("compare/2000")).length;
  first.result.cases = [...checks, ...dense(32_768)];
  second.result.cases = [...checks, ...dense(524_288)];
  assert.ok(checks.length > 2, "they are most of both runs");
  assert.equal(compared(), 0);
  second.result.cases = dense(32_768);
  assert.equal(compared(), 1);
  first.result.cases = checks;
  second.result.cases = [...checks, ...dense(524_288)];
  assert.equal(compared(), 1);
});

Deno.test("site: a run of one suite does not represent a device that has a run of many contexts", () => {
  const [first, second, third] = sampleRuns(3);
  third.result.ratios = [];
  const device = planSite([first, second, third]).devices.find((one) => one.runs.length === 3)!;
  assert.equal(leadRun(device).whole, second.result);
});

Deno.test("site: a claim is judged on the run that covers most of it, not on the newest partial one", () => {
  const contexts = [[8192, 65_536, 524_288], [8192, 16_384, 32_768, 65_536], [524_288]];
  const runs = contexts.map((contexts, i): NamedResult => {
    const startedAt = `2000-01-0${i + 1}T00:00:00.000Z`;
    return { name: `${i}.json`, result: { ...sampleResult({ contexts }), startedAt } };
  });
  const verdictOf = (id: string, given: NamedResult[]) => {
    const site = planSite(given);
    const claim = collectEvidence(site).find((one) => one.claim.id === id)!;
    const { run, row } = deviceEvidence(claim, site.devices[0])!;
    return [given.findIndex(({ result }) => result === run.whole), row.verdict];
  };
  assert.deepEqual(verdictOf("growth", runs), [0, "reproduced"], "the whole range before a part");
  assert.deepEqual(verdictOf("growth", runs.slice(1)), [0, "partly"], "a part before nothing");
  assert.deepEqual(verdictOf("speedup-forward", runs), [2, "reproduced"], "the newest of equals");
  // The newest has one case, by chance without an empty row; the others have three and four.
  for (const record of runs[1].result.cases) if (record.options) record.zeroRows = 15;
  assert.deepEqual(
    verdictOf("coverage", runs),
    [1, "not reproduced"],
    "about as many cases as any",
  );
});

Deno.test("site: the feed is a JSON Feed 1.1, with links only if the address is known", () => {
  const bare = feedSchema.parse(JSON.parse(sample.get("feed.json")!));
  assert.equal(bare.items.filter(({ tags }) => tags![0] === "run").length, 11);
  assert.equal(bare.items.filter(({ tags }) => tags![0] === "step").length, 2);
  assert.ok(bare.items.every(({ url }) => url === undefined));
  assert.equal(new Set(bare.items.map(({ id }) => id)).size, bare.items.length);
  const files = siteFiles(planSite(sampleRuns(2)), { url: "https://example.org/bench" });
  const linked = feedSchema.parse(
    JSON.parse([...files].find(({ path }) => path === "feed.json")!.text),
  );
  assert.equal(linked.feed_url, "https://example.org/bench/feed.json");
  assert.ok(linked.items.every(({ url }) => url!.startsWith("https://example.org/bench/runs/")));
});

Deno.test("site: the exported JSON Schema accepts results and refuses other files", () => {
  const schema = z.fromJSONSchema(JSON.parse(sample.get("schema/result.schema.json")!));
  const result: Result = sampleResult({ extras: true, variants: true, contexts: [8192] });
  assert.ok(schema.safeParse(result).success);
  assert.ok(!schema.safeParse({ ...result, cases: [{ id: 1 }] }).success);
  assert.ok(!schema.safeParse({ ...result, schemaVersion: 1 }).success);
  const page = sample.get("schema/result.html")!;
  for (const field of ["cases[].shape.heads", "environment.limits", "retrieval.cells[].lost"]) {
    assert.ok(page.includes(`<code>${field}`), field);
  }
  assert.ok(resultSchema.safeParse(result).success);
});

Deno.test("site: a device under two stacks is one device", async () => {
  const folder = new URL("../../fixtures/baselines/", import.meta.url);
  const read = async (name: string): Promise<NamedResult> => ({
    name,
    result: await readResult(new URL(name, folder).pathname),
  });
  const runs = [await read("h100-dawn-512k.json"), await read("h100-deno-paper.json")];
  for (const given of [runs, runs.toReversed()]) {
    const site = planSite(given);
    assert.equal(countDevices(site.devices), "1 device, 2 stacks");
    assert.deepEqual(
      site.devices.map(({ label }) => label).sort(),
      ["NVIDIA H100 80GB HBM3, dawn", "NVIDIA H100 80GB HBM3, deno"],
    );
    const claim = collectEvidence(site).find((one) => one.claim.id === "speedup-forward")!;
    assert.match(claimLine(claim, site.devices), / on the one device that ran it\b.*\.$/);
    // The verdicts of the two stacks may differ.
    const stacks = site.devices.map((one) => deviceEvidence(claim, one)!.row.verdict);
    assert.ok(stacks.every((verdict) => verdict !== "not run"), String(stacks));
  }
  // Another model is another device.
  const other = structuredClone(runs[0]);
  other.result.environment.device.name = "NVIDIA H200";
  other.result.startedAt = "2000-01-01T00:00:00.000Z";
  const three = planSite([...runs, other]);
  assert.equal(countDevices(three.devices), "2 devices, 2 stacks");
  const claim = collectEvidence(three).find((one) => one.claim.id === "speedup-forward")!;
  assert.match(claimLine(claim, three.devices), / both devices that ran it\.$/);
});

Deno.test("site: the schema pages describe each field", () => {
  for (const format of ["result", "retrieval", "gate-config"]) {
    const rows = sample.get(`schema/${format}.html`)!.split("<tr>")
      .filter((row) => row.includes('<th scope="row"'));
    assert.ok(rows.length >= 10, `${format}: ${rows.length} fields`);
    const silent = rows.filter((row) => /<td[^>]*>(\s|<[^>]*>)*<\/td>/.test(row));
    assert.deepEqual(silent, [], format);
  }
  assert.match(
    sample.get("schema/result.html")!,
    /<code>cases\[\]\.samples\[\]\.seconds<\/code>.*?GPU time in seconds: sum over submissions/,
  );
});

Deno.test("site: the same results give the same bytes, in any order", () => {
  const runs = sampleRuns(3);
  const once = [...siteFiles(planSite(runs))];
  assert.deepEqual([...siteFiles(planSite(runs.toReversed()))], once);
});

Deno.test("site: paths are plain names, whatever the results contain", () => {
  const files = [...siteFiles(planSite(hostileRuns()))];
  for (const { path, text } of files) {
    assert.match(path, /^[a-z0-9-]+(\/[a-z0-9-]+)?(\.[a-z0-9-]+)*$/);
    assert.ok(path.length < 160);
    if (!path.endsWith(".html")) continue;
    for (const [, href] of text.matchAll(/ href="(?!data:image)([^"]*)"/g)) {
      if (OUTSIDE.includes(href)) continue;
      assert.match(
        href,
        /^(#[\w-]+|(\.\.\/)?[a-z0-9-]+(\/[a-z0-9-]+)?(\.[a-z0-9-]+)*(#[\w-]+|\?a=[a-z0-9-]+&amp;b=[a-z0-9-]+)?)$/,
      );
    }
    assert.ok(!text.includes(ATTACK) && !/<img|<base|<svg onload/.test(text), path);
  }
  assert.ok(files.length > 25, `${files.length} files`);
});

Deno.test({
  ...slow("site: pages of paper-profile runs stay below 1 MB, retrieval on a page of its own"),
  fn: async () => {
    const folder = new URL("../../fixtures/baselines/", import.meta.url);
    const runs: NamedResult[] = [];
    for await (const { name } of Deno.readDir(folder)) {
      if (!name.endsWith(".json")) continue;
      runs.push({ name, result: await readResult(new URL(name, folder).pathname) });
    }
    // The largest one again, with all that its plan had and time did not allow.
    const largest = runs.reduce((a, b) => b.result.cases.length > a.result.cases.length ? b : a);
    const whole = structuredClone(largest.result);
    whole.startedAt = "2099-01-01T00:00:00.000Z";
    const measured = whole.cases.filter((record) => record.selectionQuality !== undefined);
    for (const [i, record] of whole.cases.entries()) {
      if (record.status === "ok") continue;
      const { samples, statistic, throughput, check, digest, selectionQuality, stages } =
        measured[i % measured.length];
      const timed = record.stages.map((stage, j) => ({ ...stage, ...stages[j % stages.length] }));
      const own = {
        samples,
        statistic,
        throughput,
        check,
        digest,
        selectionQuality,
        stages: timed,
      };
      Object.assign(record, { status: "ok", reason: undefined, ...own });
    }
    whole.retrieval = sampleRetrieval({ paper: true });
    assert.ok(whole.cases.length > 150 && whole.retrieval.cells.length > 2200);
    const files = [...siteFiles(planSite([...runs, { name: "whole", result: whole }]))];
    for (const { path, text } of files.filter(({ path }) => path.endsWith(".html"))) {
      const { length } = new TextEncoder().encode(text);
      assert.ok(length < 1e6, `${path}: ${length} bytes`);
    }
    // The report of one file, with its result embedded.
    for (const { name, result } of runs) {
      const { length } = new TextEncoder().encode(renderHtml([result]));
      assert.ok(length < 1e6, `${name}: ${length} bytes`);
    }
    const page = files.find(({ path }) => path.endsWith(".retrieval.html"))!;
    assert.match(page.text, /<section id="retrieval">/);
    const report = files.find(({ path }) => `${path.slice(0, -5)}.retrieval.html` === page.path)!;
    assert.ok(report.text.includes(`href="${page.path.slice("runs/".length)}"`));
    assert.ok(!report.text.includes('id="retrieval"'));
  },
});

Deno.test("site: refuses no results, too many, and two of one run", () => {
  const [{ result }] = sampleRuns(1);
  assert.throws(() => planSite([]), /^UsageError: 0 results given, 1 is needed$/);
  assert.throws(
    () => planSite(Array(MOST_RUNS + 1).fill({ name: "a", result })),
    /^UsageError: 201 results given, the limit is 200$/,
  );
  assert.throws(
    () =>
      planSite([
        { name: "a.json", result: { ...result, finishedAt: null, cases: [] } },
        { name: "b.json", result },
      ]),
    /^UsageError: a\.json and b\.json are results of one run, started 2000-01-01T00:00:00\.000Z: give one of them$/,
  );
});
