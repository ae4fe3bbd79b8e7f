import assert from "node:assert/strict";
import { readResult } from "./read_result.ts";
import type { Result } from "./result.ts";
import { sampleResult } from "./_sample_result.ts";
import { upgradeResult } from "./upgrade.ts";

const FOLDER = new URL("../../fixtures/baselines/", import.meta.url);

Deno.test("every committed baseline keeps its digests, samples and medians when it is read", async () => {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
    .filter((name) => name.endsWith(".json"));
  assert.ok(names.length >= 13);
  for (const name of names) {
    const path = new URL(name, FOLDER);
    // deno-lint-ignore no-explicit-any
    const raw: any = JSON.parse(await Deno.readTextFile(path));
    const read = await readResult(path.pathname);
    assert.equal(read.cases.length, raw.cases.length);
    for (const [i, record] of read.cases.entries()) {
      const { id, digest, statistic, samples, check, ratio } = raw.cases[i];
      const { id: id2, digest: digest2, statistic: statistic2 } = record;
      assert.deepEqual([id2, digest2, statistic2], [id, digest, statistic]);
      assert.deepEqual([record.samples, record.check, record.ratio], [samples, check, ratio]);
      assert.ok(
        raw.cases[i].suite === "retrieval" ||
          read.implementations.some((known) => known.name === record.implementation),
        `${name}: ${record.implementation} has no descriptor`,
      );
    }
    assert.deepEqual(read.ratios, raw.ratios);
  }
});

Deno.test("upgradeResult adds the device to files without one", () => {
  const { device, ...environment } = sampleResult().environment;
  for (const schemaVersion of [1, 2]) {
    const upgraded = upgradeResult({ schemaVersion, environment, cases: [] });
    assert.deepEqual((upgraded as Result).environment, { ...environment, device });
  }
  const spoiled = { ...environment, adapter: 1 };
  const kept = upgradeResult({ schemaVersion: 1, environment: spoiled, cases: [] }) as Result;
  assert.equal(kept.environment, spoiled as unknown);
});

Deno.test("upgradeResult adds descriptors that the cases of a file lack", () => {
  const { implementations, ...result } = sampleResult();
  const [first, ...others] = implementations;
  const upgraded = upgradeResult({ ...result, implementations: others }) as Result;
  assert.deepEqual(upgraded.implementations, [...others, first]);
});

Deno.test("upgradeResult moves the options of a Lighthouse layer, its scorer and its rule", () => {
  const lighthouse = { levels: 3, pooling: 4, k: 128, scorer: "dilated", dilation: 4 };
  const [layer, dense, peer] = (upgradeResult({
    schemaVersion: 1,
    cases: [
      { implementation: "lighthouse-dilated", lighthouse: { ...lighthouse, kRule: "N/64" } },
      { implementation: "dense", extra: 1 },
      { implementation: "peer:theirs", lighthouse },
    ],
  }) as { cases: unknown[] }).cases;
  const options = { levels: 3, pooling: 4, k: 128, dilation: 4 };
  const common = { family: "lighthouse", scorer: "dilated", options };
  assert.deepEqual(layer, {
    implementation: "lighthouse-dilated",
    ...common,
    rules: { k: "N/64" },
  });
  assert.deepEqual(dense, { implementation: "dense", extra: 1, family: "dense" });
  assert.deepEqual(peer, { implementation: "peer:theirs", ...common });
  for (const other of [null, [], "x", { schemaVersion: 3 }, { schemaVersion: 2, cases: 1 }]) {
    assert.equal(upgradeResult(other), other);
  }
});
