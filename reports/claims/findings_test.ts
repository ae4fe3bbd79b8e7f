import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { findings } from "./findings.ts";
import { verdictLine } from "./headline.ts";
import { shardedCases } from "../data/context_parallel_data.ts";

const textOf = (result: Parameters<typeof findings>[0], title: RegExp) =>
  findings(result).find((finding) => title.test(finding.title))?.sentences.join("\n") ?? "";

Deno.test("findings name a crossover for each scorer and direction, from the ratios of the result", () => {
  const result = sampleResult({ variants: true });
  const text = textOf(result, /begins to win/);
  assert.equal(text.split("\n").length, 6);
  assert.match(text, /lighthouse-gla, forward and backward: /);
  // A ratio below 1 at the first contexts moves the crossover to where the line passes 1.
  const norm = result.ratios.filter(({ denominator }) =>
    denominator.startsWith("latency/lighthouse-norm/forward/")
  );
  norm.forEach((ratio, i) => Object.assign(ratio, { ratio: i === 0 ? 0.25 : 4 ** i }));
  const [first, second] = [8192, 16_384];
  const expected = Math.sqrt(first * second);
  const shown = Number(expected.toPrecision(2)).toLocaleString("en-US");
  assert.match(textOf(result, /begins to win/), new RegExp(`norm, forward: .* about ${shown} tok`));
});

Deno.test("findings explain why the dilated scorer gains little, with the FLOP of the record", () => {
  const result = sampleResult({ variants: true, contexts: [131_072, 262_144, 524_288] });
  const text = textOf(result, /dilated/);
  // The formula's score stage has N²·d·H FLOP, half of dense attention's 2·N²·d·H.
  assert.match(text, /quadratic in N, with 50\.0 % of the FLOP/);
  assert.match(text, /cannot gain more than 2\.00×/);
  assert.match(text, /grows as N\^(1\.9\d|2\.00) from \d+K on/);
  // 3.5 times dense attention's forward FLOP compare with the same scores.
  assert.match(
    text,
    /Forward and backward the same bound is 7\.00× while both run at one rate, .* gains [\d.]+× by .* at 512K/,
  );
  assert.match(text, /1\.63–1\.72× over cuDNN attention at 256K–512K/);
  for (const record of result.cases) {
    for (const stage of record.stages) if (stage.name === "score") stage.flops /= 2;
  }
  assert.match(textOf(result, /dilated/), /cannot gain more than 4\.00×/);
});

Deno.test("findings of a result without these data are left out", () => {
  assert.deepEqual(findings(sampleResult({ contexts: [] })), []);
  const plain = findings(sampleResult());
  assert.deepEqual(plain.map(({ title }) => title), ["Where Lighthouse begins to win"]);
});

Deno.test("findings report grids, selections and shards", () => {
  const result = sampleResult({ variants: true, sweeps: true });
  assert.match(textOf(result, /k, p and L/), /gains most, .*×, and L = .* least/);
  const selection = textOf(result, /reaches/);
  assert.match(selection, /at most 0\.04 % of the rows have no contributor/);
  assert.match(selection, /lighthouse-dilated and lighthouse-norm agree with .* 0\.400 at 512K/);
  const shards = textOf(result, /shards/);
  assert.match(shards, /Cut into 2, 4 shards, every selection is the one made without/);
  assert.match(shards, /contiguous, 4 shards: .* up to 4\.00× the mean/);
});

Deno.test("findings word a share too small for two decimals, and a single selection, correctly", () => {
  const result = sampleResult({ variants: true, contexts: [524_288] });
  const [one] = result.cases.filter(({ selectionQuality }) => selectionQuality);
  result.cases = [one];
  const sentence = (uncoveredRows: number) => {
    Object.assign(one.selectionQuality!, { rows: 8 * 524_288, uncoveredRows });
    return textOf(result, /reaches/);
  };
  assert.match(sentence(120), /In 1 selection less than 0\.01 % of the rows have no contributor,/);
  assert.match(sentence(4200), /In 1 selection at most 0\.10 % of the rows have no contributor,/);
  assert.match(sentence(0), /In 1 selection every row has a contributor\./);
});

Deno.test("shardedCases: the slowest shard of each step against an even share, by hand", () => {
  const cases = shardedCases(sampleResult({ variants: true }));
  assert.deepEqual(
    cases.map(({ sharded }) => [sharded.partition, sharded.shards]),
    [["contiguous", 2], ["contiguous", 4], ["head-tail", 2], ["head-tail", 4]],
  );
  const ratios = cases.map(({ ring }) => ring!.criticalSeconds / ring!.evenSeconds);
  // W = 4, contiguous: 0.5 + 1 + 1 + 1 against (2 + 3 + 2 + 1) / 4.
  [1.5 / 1, 3.5 / 2, 1, 1].forEach((want, i) => assert.ok(Math.abs(ratios[i] - want) < 1e-9));
});

Deno.test("shardedCases: untimed shares give no ring time, and no NaN in the report", () => {
  const result = sampleResult({ variants: true });
  for (const record of result.cases) {
    record.contextParallel?.steps.forEach((step) => step.shardSeconds = []);
  }
  assert.ok(shardedCases(result).every(({ ring }) => ring === null));
  assert.ok(!/NaN|null/.test(textOf(result, /shards/)));
});

Deno.test("findings name no crossover of Lighthouse for a layer of another family", () => {
  const result = sampleResult();
  for (const record of result.cases) if (record.family === "lighthouse") record.family = "local";
  assert.deepEqual(findings(result), []);
});

Deno.test("the headline of a run of other layers alone says what they take", () => {
  const result = sampleResult({ contexts: [8192, 16_384] });
  result.ratios = [];
  const rename = (from: string, to: string) =>
    result.cases.filter(({ implementation }) => implementation === from).forEach((record) =>
      Object.assign(record, { implementation: to, family: "sparse", options: undefined })
    );
  rename("dense", "sliding-window");
  rename("lighthouse-norm", "moba");
  assert.match(
    verdictLine(result),
    /^The 21× at 512K was not run\. At 16K, forward, one layer of (moba|sliding-window) takes [\d.]+ [µm]s, of (moba|sliding-window) [\d.]+ [µm]s here, on .*; neither dense attention nor Lighthouse was timed\.$/,
  );
});
