import assert from "node:assert/strict";
import type { NamedResult } from "../data/twins.ts";
import { sampleRuns } from "./_sample_site.ts";
import { pairSentence, pairWord, planPairs, type RunPair } from "./pairs.ts";
import { planSite } from "./runs.ts";

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
  assert.ok(words.filter((word) => word === "no change").length >= 5, words.join("; "));
});

Deno.test("planPairs: the pairs grow with the runs, not with their square", () => {
  const count = (runs: number) => pairsOf(sampleRuns(runs)).length;
  assert.equal(count(12) - count(8), 4);
});
