import assert from "node:assert/strict";
import type { NamedResult } from "../data/twins.ts";
import { sampleRuns } from "./_sample_site.ts";
import { pairSentence, pairWord, planPairs, type RunPair } from "./pairs.ts";
import { optionTexts } from "./compare_page.tsx";
import { CaseNames } from "./case_names.ts";
import { comparedRun } from "./compare_data.ts";
import { compareRuns } from "./compare_runs.ts";
import { pairPage } from "./pair_page.tsx";
import { planSite } from "./runs.ts";
import { DEFAULTS } from "../gate/gate_config.ts";
import { readResult } from "../../suites/result/read_result.ts";

/** The pairs of runs on the GPU. */
function pairsOf(runs: readonly NamedResult[]): readonly RunPair[] {
  return planPairs(planSite(runs)).filter(({ kind }) => kind !== "devices");
}

Deno.test("planPairs: a run that lacks a peer or got faster does not fail", () => {
  const [first, second] = sampleRuns(3);
  const peer = structuredClone(first.result.cases[0]);
  peer.implementation = "peer:torch-fa2";
  peer.id = peer.id.replace("/dense/", "/peer:torch-fa2/");
  first.result.cases.push(peer);
  for (const record of second.result.cases) {
    for (const sample of record.samples) sample.seconds /= 1.3;
  }
  // The request distinguishes a peer that was left out from a case that vanished.
  first.result.configuration.implementations = ["dense", "lighthouse-norm", "peer:torch-fa2"];
  second.result.configuration.implementations = ["dense", "lighthouse-norm"];
  const [pair] = pairsOf([first, second]);
  assert.equal(pair.report!.outcome, "passed");
  assert.equal(pairWord(pair), "4 faster");
  assert.equal(pairSentence(pair), "4 faster, in 4 cases that both runs timed.");
});

Deno.test("pairWord: another driver is not comparable, in short", () => {
  const [first, second] = sampleRuns(3);
  second.result.environment.driver = "formula 2.0";
  second.result.environment.fingerprint = "another";
  const [pair] = pairsOf([first, second]);
  assert.equal(pairWord(pair), "not comparable");
  assert.match(
    pairSentence(pair),
    /^Not comparable: different drivers: formula 1\.0 and formula 2\.0\./,
  );
  assert.ok(pairSentence(pair).length < 120);
});

Deno.test("pairWord: slower cases come first, and no change has its own word", () => {
  const runs = sampleRuns(8);
  const words = pairsOf(runs).filter(({ kind }) => kind === "consecutive").map(pairWord);
  assert.equal(words[4], "2 slower");
  assert.ok(
    words.filter((word) => word === "no change above 10\u00a0%").length >= 5,
    words.join("; "),
  );
});

Deno.test("planPairs: the pairs grow with the runs, not with their square", () => {
  const count = (runs: number) => pairsOf(sampleRuns(runs)).length;
  assert.equal(count(12) - count(8), 4);
});

Deno.test("pairWord: a pair has one count and one set of names, timed cases alone", async () => {
  const [first, second] = await Promise.all(["h100-dawn-cudnn", "h100-dawn-peers"].map(
    async (name): Promise<NamedResult> => ({
      name,
      result: await readResult(
        new URL(`../../fixtures/baselines/${name}.json`, import.meta.url).pathname,
      ),
    }),
  ));
  // A case that the clock spoilt has a verdict of the gate, but no time on both sides.
  const spoilt = second.result.cases.find(({ suite, status }) =>
    suite === "latency" && status === "ok" && first.result.cases.length > 0
  )!;
  spoilt.status = "inconclusive";
  delete spoilt.statistic;
  for (const sample of spoilt.samples) sample.flag = "clock";
  const site = planSite([first, second]);
  const [pair] = planPairs(site);
  const names = new CaseNames(site);
  const { times } = compareRuns(
    comparedRun(pair.before, names),
    comparedRun(pair.after, names),
    DEFAULTS,
  );
  const open = pair.report!.cases.filter(({ verdict }) => verdict === "inconclusive");
  assert.ok(open.some(({ time }) => time === undefined), "the test has such a case");
  const undecided = times.filter(({ verdict }) => verdict === "inconclusive").length;
  assert.ok(undecided > 0);
  assert.match(pairWord(pair), new RegExp(`\\b${undecided} undecided`));
  assert.match(pairSentence(pair), new RegExp(`in ${times.length} cases`));
  const { text } = pairPage(pair, names);
  assert.match(text, new RegExp(`>${undecided} cases? undecided: `));
  for (const { before: { title } } of times) assert.ok(text.includes(title), title);
  const words = /<section id="verdicts">[^]*?<\/section>/.exec(text)![0].replace(/<[^>]*>/g, "|");
  assert.doesNotMatch(words, /\|(same|inconclusive)\|/);
});

Deno.test("optionTexts: two runs of a minute have texts of their own", () => {
  const runs = sampleRuns(4).slice(0, 4);
  const [{ result }] = runs;
  ["00:00:01", "00:00:31", "00:00:31"].forEach((time, i) => {
    const { tool } = runs[i + 1].result;
    tool.commit = result.tool.commit;
    runs[i + 1].result.startedAt = `2000-01-01T${time}.${i}00Z`;
  });
  const site = planSite(runs);
  const texts = [...optionTexts(site.runs).values()];
  assert.equal(texts.length, 4);
  assert.equal(new Set(texts).size, 4, texts.join("; "));
});
