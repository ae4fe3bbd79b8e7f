import assert from "node:assert/strict";
import { readResult } from "../../suites/result/read_result.ts";
import { compareResults } from "../gate/compare_results.ts";
import { DEFAULTS } from "../gate/gate_config.ts";
import { sampleRuns } from "./_sample_site.ts";
import { CaseNames } from "./case_names.ts";
import { packRun, unpackRun } from "./compare_chunk.ts";
import { comparedRun } from "./compare_data.ts";
import { compareRuns } from "./compare_runs.ts";
import { filterTimes, sentenceOf, sortTimes, summaryOf } from "./compare_view.ts";
import { planSite, type SiteRun } from "./runs.ts";

/** As in a page: packed, written as JSON, and read again. */
function inPage(run: SiteRun) {
  return unpackRun(
    JSON.parse(JSON.stringify(packRun(comparedRun(run, new CaseNames({ runs: [run] }))))),
  );
}

const baseline = (name: string) =>
  readResult(new URL(`../../fixtures/baselines/${name}.json`, import.meta.url).pathname);

/** The runs of a site, the oldest first. */
function runsOf(...results: Awaited<ReturnType<typeof baseline>>[]): readonly SiteRun[] {
  return planSite(results.map((result, i) => ({ name: String(i), result }))).runs;
}

Deno.test("compareRuns: the same verdict and ratio of every case as the gate", async () => {
  const [a, b] = runsOf(await baseline("h100-dawn-cudnn"), await baseline("h100-dawn-peers"));
  // Cases that lowered the clock by their own power, one of them without the canary before it.
  for (const [i, { samples }] of b.result.cases.entries()) {
    if (i % 3 > 0) continue;
    for (const sample of samples) {
      Object.assign(sample, { atPowerLimit: true, ...(i > 0 && { canaryBefore: 1.02 }) });
    }
  }
  const report = compareResults(a.result, b.result);
  const judged = report.cases.filter(({ time }) => time !== undefined);
  const { obstacles, times } = compareRuns(inPage(a), inPage(b), DEFAULTS);
  assert.deepEqual(obstacles, []);
  assert.ok(judged.length > 40);
  assert.equal(times.length, judged.length);
  for (const { id, verdict, time } of judged) {
    const found = times.find((one) => one.before.id === id)!;
    assert.equal(found.verdict, verdict, id);
    for (const end of ["ratio", "low", "high", "threshold"] as const) {
      assert.ok(Math.abs(found[end]! / time![end] - 1) < 1e-6, `${id} ${end}`);
    }
    assert.equal(found.after.atPowerLimit, time!.atPowerLimit !== undefined, id);
  }
  // That nothing changed says up to which size, which is not the noise of the row.
  assert.ok(times.some(({ verdict, threshold }) => verdict === "same" && threshold! > 0.02));
  assert.ok(times.every(({ tolerance }) => tolerance === DEFAULTS.tolerance));
  assert.match(sentenceOf(compareRuns(inPage(a), inPage(b), DEFAULTS)), / with no change above 10/);
  assert.ok(times.some(({ verdict }) => verdict === "slower"));
  assert.ok(times.some(({ verdict }) => verdict === "faster"));
  // The largest change first, in either direction.
  const sizes = times.map(({ ratio }) => Math.abs(Math.log(ratio)));
  assert.deepEqual(sizes, sizes.toSorted((x, y) => y - x));
});

Deno.test("compareRuns: two stacks are not comparable, and nothing is judged", async () => {
  const [a, b] = runsOf(await baseline("h100-deno-paper"), await baseline("h100-dawn-peers"));
  const compared = compareRuns(inPage(a), inPage(b), DEFAULTS);
  assert.ok(compared.obstacles.length > 0);
  assert.ok(compared.times.length > 5);
  assert.ok(
    compared.times.every(({ verdict, threshold }) => verdict === null && threshold === null),
  );
  assert.match(
    sentenceOf(compared),
    /^Not comparable: different stacks: deno and dawn\. .* none of them is judged/,
  );
});

Deno.test("compareRuns: identical code has only noise", () => {
  const [{ result }] = sampleRuns(1);
  const again = structuredClone(result);
  again.startedAt = "2000-02-01T00:00:00.000Z";
  for (const record of again.cases) for (const one of record.samples) one.seconds *= 3;
  const [a, b] = runsOf(result, again).map(inPage);
  const compared = compareRuns(a, b, DEFAULTS);
  assert.equal(compared.identical, true);
  assert.ok(compared.times.every(({ verdict }) => verdict === "same"));
  assert.match(sentenceOf(compared), /every difference below is noise/);
});

Deno.test("compareRuns: cases that one run lacks are counted, not judged", () => {
  const [first, second] = sampleRuns(3).map(({ result }) => result);
  const lost = second.cases.pop()!;
  const [a, b] = runsOf(first, second).map(inPage);
  const { alone, times } = compareRuns(a, b, DEFAULTS);
  assert.ok(alone.before.some(({ id }) => id === lost.id));
  assert.ok(!times.some(({ before }) => before.id === lost.id));
});

Deno.test("filterTimes and sortTimes: by facets of a case, and by every column in both directions", async () => {
  const [a, b] = runsOf(await baseline("h100-dawn-cudnn"), await baseline("h100-dawn-peers"));
  const { times } = compareRuns(inPage(a), inPage(b), DEFAULTS);
  const all = { suite: "", implementation: "", direction: "", context: "", changedOnly: false };
  assert.equal(filterTimes(times, all).length, times.length);
  const dense = filterTimes(times, { ...all, implementation: "dense", context: "65536" });
  assert.ok(dense.length > 0 && dense.length < times.length);
  assert.ok(dense.every(({ before }) => before.implementation === "dense"));
  const changed = filterTimes(times, { ...all, changedOnly: true });
  assert.ok(changed.every(({ verdict }) => verdict === "slower" || verdict === "faster"));
  for (const key of ["case", "a", "b", "change", "verdict"] as const) {
    const down = sortTimes(times, { key, down: true });
    assert.equal(down.length, times.length);
    if (key === "a") assert.ok(down[0].times[0] >= down.at(-1)!.times[0]);
  }
  const verdicts = sortTimes(times, { key: "verdict", down: true }).map(({ verdict }) => verdict);
  assert.equal(verdicts[0], "slower");
});

Deno.test("summaryOf: range and geometric mean of all, and of what changed, by hand", () => {
  const times = [
    { ratio: 0.5, verdict: "faster" as const },
    { ratio: 2, verdict: "slower" as const },
    { ratio: 0.8, verdict: "faster" as const },
    { ratio: 1, verdict: "same" as const },
  ];
  assert.equal(
    summaryOf(times),
    "B ÷ A of these cases: 0.50× to 2.00×, geometric mean 0.95×. 1 slower: 2.00×. " +
      "2 faster: 0.50× to 0.80×, geometric mean 0.63×.",
  );
  assert.equal(summaryOf(times.slice(0, 1)), "B ÷ A of these cases: 0.50×.");
  assert.equal(summaryOf([]), "");
});
