import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import type { CaseRecord, Result } from "../../suites/result/result_schema.ts";
import { Requests, timeObstacles } from "./comparability.ts";
import { readResult } from "../../suites/result/read_result.ts";
import { compareResults, describeSide } from "./compare_results.ts";
import { renderGateText } from "./render_gate.ts";
import { renderAnnotations, renderGateMarkdown } from "./render_github.ts";

const CONTEXTS = [8192, 16_384, 32_768];

function run(startedAt: string, change: (result: Result) => void = () => {}): Result {
  const result = sampleResult({ contexts: CONTEXTS, samples: 12 });
  result.startedAt = startedAt;
  result.hashes.wgsl = startedAt.replace(/\D/g, "").padEnd(64, "0").slice(0, 64);
  result.configuration = {
    suites: ["latency"],
    implementations: ["dense", "lighthouse-norm"],
    directions: ["forward"],
    contexts: CONTEXTS,
    heads: [8],
    headDims: [128],
    dtype: "f16",
    options: { levels: [3], pooling: [4], k: ["N/64"] },
    sweeps: [],
  };
  for (const record of result.cases) if (record.options) record.rules = { k: "N/64" };
  change(result);
  return result;
}

const BASELINE = run("2026-01-01T00:00:00Z");

function compare(change: (result: Result) => void, baseline = BASELINE) {
  return compareResults(baseline, run("2026-01-02T00:00:00Z", change));
}

/** Every reason why times of two results are not comparable. */
const INCOMPARABLE: [string, (result: Result) => void, RegExp][] = [
  [
    "adapter",
    (r) => r.environment.adapter.description = "Other GPU",
    /different adapters: .*Other/,
  ],
  [
    "device",
    (r) => r.environment.device.name = "nvidia-h200",
    /different adapters: .* and NVIDIA\s+H200/,
  ],
  ["stack", (r) => r.stack = "dawn", /different stacks: deno and dawn/],
  ["driver", (r) => r.environment.driver = "formula 2.0", /different drivers: .* and formula 2\.0/],
  ["no driver", (r) => r.environment.driver = null, /different drivers: .* and unknown/],
  ["Deno", (r) => r.environment.runtime.deno = "3.0.0", /different versions of Deno: .*3\.0\.0/],
  ["fingerprint", (r) => r.environment.fingerprint = "x", /different device fingerprints/],
  ["clock", (r) => r.calibration!.clock = "wall", /different clocks: gpu and wall/],
  ["suite", (r) => {
    for (const record of r.cases) {
      record.id = record.id.replace("latency", "throughput");
      record.suite = "throughput";
    }
    r.configuration.suites = ["throughput"];
  }, /no case in common: latency and throughput/],
  ["contexts", (r) => {
    r.cases = sampleResult({ contexts: [65_536] }).cases;
    r.configuration.contexts = [65_536];
  }, /no case in common/],
  ["checks alone", (r) => {
    const checks = r.cases.slice(0, 2).map((record) => ({
      ...structuredClone(record),
      samples: [],
    }));
    r.cases = sampleResult({ contexts: [65_536] }).cases;
    for (const record of checks) r.cases.push(Object.assign(record, { suite: "correctness" }));
    r.configuration.contexts = [65_536];
  }, /nothing but checks in common/],
];

Deno.test("results with incomparable times: not comparable, exit 4, in a few lines", () => {
  for (const [name, change, reason] of INCOMPARABLE) {
    const baseline = name === "checks alone"
      ? run("2026-01-01T00:00:00Z", (result) => {
        for (const record of result.cases.slice(0, 2)) {
          Object.assign(record, { suite: "correctness", samples: [] });
        }
      })
      : BASELINE;
    const report = compare(change, baseline);
    assert.deepEqual([report.outcome, report.exitCode], ["not comparable", 4], name);
    assert.match(report.sentence, /^Not comparable: /, name);
    assert.match(report.sentence, reason, name);
    assert.ok(report.cases.every(({ time, fails }) => time === undefined && !fails), name);
    for (const text of [renderGateText(report), renderGateMarkdown(report)]) {
      assert.match(text, reason, name);
      assert.ok(text.trim().split("\n").length <= 10, `${name}: ${text}`);
      assert.ok(!text.includes("missing"), name);
    }
    assert.equal(renderAnnotations(report).trim().split("\n").length, 1, name);
  }
});

Deno.test("two software adapters count as equal only on the same processor", () => {
  const software = (result: Result) => result.environment.adapter.software = true;
  const baseline = run("2026-01-01T00:00:00Z", software);
  const [same, other] = ["synthetic CPU", "another CPU"].map((cpu) =>
    run("2026-01-02T00:00:00Z", (result) => {
      software(result);
      result.environment.cpu = cpu;
    })
  );
  assert.deepEqual(timeObstacles(baseline, same), []);
  assert.match(timeObstacles(baseline, other)[0], /different processors: .*another CPU/);
});

Deno.test("two versions of Dawn are two devices, two versions of another package are not", () => {
  const dawn = (webgpu: string, zod: string) =>
    run("2026-01-02T00:00:00Z", (result) => {
      result.stack = "dawn";
      Object.assign(result.environment.packages, { webgpu, zod });
    });
  const baseline = dawn("0.6.2", "4.6.7");
  assert.match(timeObstacles(baseline, dawn("0.7.0", "4.6.7"))[0], /versions of Dawn: 0\.6\.2 and/);
  assert.deepEqual(timeObstacles(baseline, dawn("0.6.2", "5.0.0")), []);
});

Deno.test("a difference that no device can explain fails even between devices", () => {
  const report = compare((result) => {
    result.environment.adapter.description = "Other GPU";
    result.cases[0].flops++;
  });
  assert.deepEqual([report.exitCode, report.sentence.includes("different result")], [1, true]);
  assert.ok(renderGateText(report).split("\n").length < 12);
});

const PEER = "peer:torch-fa2";

function addPeer(result: Result): void {
  (result.configuration.implementations as string[]).push(PEER);
  for (const record of result.cases.filter(({ implementation }) => implementation === "dense")) {
    result.cases.push({
      ...structuredClone(record),
      implementation: PEER,
      id: record.id.replace("/dense/", `/${PEER}/`),
    });
  }
}

/** Changes of a run, as another run of the same code could have them. */
const PARTS: [string, (result: Result) => void][] = [
  ["no peer", () => {}],
  ["fewer contexts", (result) => {
    result.configuration.contexts = [8192];
    result.cases = result.cases.filter(({ shape }) => shape.context === 8192);
  }],
  ["one implementation", (result) => {
    result.configuration.implementations = ["dense"];
    result.cases = result.cases.filter(({ implementation }) => implementation === "dense");
  }],
  ["another rule for k", (result) => {
    result.configuration.options = { levels: [3], pooling: [4], k: ["N/32"] };
    result.cases = result.cases.filter(({ options }) => !options);
  }],
  ["a shard", (result) => {
    Object.assign(result, { shard: { index: 1, count: 3, plan: "p", cases: [] } });
    result.cases.splice(2);
  }],
];

Deno.test("a run of a part is judged on the common cases, with one line on the rest", () => {
  const whole = run("2026-01-01T00:00:00Z", addPeer);
  for (const [name, change] of PARTS) {
    const part = run("2026-01-02T00:00:00Z", change);
    for (const [baseline, candidate] of [[whole, part], [part, whole]]) {
      const report = compareResults(baseline, candidate);
      const side = baseline === whole ? "candidate" : "baseline";
      assert.deepEqual([report.outcome, report.exitCode], ["passed", 0], `${name}, ${side}`);
      assert.equal(report.cases.length, part.cases.length, name);
      assert.ok(report.cases.every(({ verdict }) => verdict === "same"), name);
      const left = report.notes.filter((note) => note.includes("left out"));
      assert.equal(left.length, 1, name);
      assert.match(
        left[0],
        new RegExp(`since the ${side} did not plan them: \\d+ case`),
        name,
      );
      assert.equal(
        Math.max(report.leftOut.baseline, report.leftOut.candidate),
        whole.cases.length - part.cases.length,
        name,
      );
    }
    // Common cases still count.
    for (const sample of part.cases[0].samples) sample.seconds *= 1.5;
    assert.equal(compareResults(whole, part).exitCode, 1, name);
  }
});

Deno.test("a case that both runs planned and one lost fails, even if others were left out", () => {
  const whole = run("2026-01-01T00:00:00Z", addPeer);
  for (const [name, change] of PARTS) {
    if (name === "a shard") continue;
    const part = run("2026-01-02T00:00:00Z", change);
    const [lost] = part.cases.splice(0, 1);
    const report = compareResults(whole, part);
    assert.deepEqual([report.exitCode, report.sentence], [1, "Failed: 1 case missing."], name);
    assert.equal(report.cases.find(({ verdict }) => verdict === "missing")!.id, lost.id, name);
  }
  // Of the same shard, and of a whole run with the same configuration.
  const shard = (result: Result) =>
    Object.assign(result, { shard: { index: 1, count: 3, plan: "p", cases: [] } });
  const both = [shard(run("2026-01-01T00:00:00Z")), shard(run("2026-01-02T00:00:00Z"))];
  both[1].cases.pop();
  assert.equal(compareResults(both[0], both[1]).exitCode, 1);
  assert.equal(compare((result) => result.cases.pop()).exitCode, 1);
});

Deno.test("a requested peer that is missing fails, one that was not requested is left out", () => {
  const whole = run("2026-01-01T00:00:00Z", addPeer);
  const lost = run("2026-01-02T00:00:00Z", (result) => {
    addPeer(result);
    result.cases = result.cases.filter(({ implementation }) => implementation !== PEER);
  });
  assert.deepEqual([compareResults(whole, lost).exitCode], [1]);
});

Deno.test("a case that another device did not plan is shown and fails nothing", () => {
  const report = compare((result) => {
    result.environment.adapter.description = "Other GPU";
    result.cases.pop();
  });
  assert.equal(report.exitCode, 4);
  assert.deepEqual(report.cases.at(-1)!.verdict, "missing");
  assert.match(report.cases.at(-1)!.reason!, /another device may not plan it/);
});

Deno.test("Requests: sweeps, longest contexts and the first version's options are read", () => {
  const ask = (configuration: Result["configuration"]) => {
    const [own, other] = [structuredClone(BASELINE), structuredClone(BASELINE)];
    own.configuration = {
      ...own.configuration,
      contexts: [8192],
      sweeps: [{ context: 98_304, options: { levels: [5] }, implementations: ["*"] }],
    };
    other.configuration = configuration;
    return new Requests(own, other);
  };
  const record = (change: Partial<CaseRecord>) => ({ ...BASELINE.cases[0], ...change });
  const shape = { ...BASELINE.cases[0].shape, context: 98_304 };
  const swept = record({ shape, options: { levels: 5 } });
  const dilated = record({ implementation: "lighthouse-dilated" });
  const plain = ask({ ...BASELINE.configuration, contexts: [8192] });
  assert.deepEqual([swept, dilated].map((one) => plain.has(one)), [false, false]);
  const old = ask({
    ...BASELINE.configuration,
    options: undefined,
    levels: [3],
    sweeps: [{ context: 98_304, levels: [3, 5], k: [1536] }],
  });
  assert.deepEqual([old.has(swept), old.has(record({ shape, options: { levels: 4 } }))], [
    true,
    true,
  ]);
  const short = ask({ ...BASELINE.configuration, longest: { forward: 4096 } });
  assert.equal(short.has(record({})), false);
});

Deno.test("Requests: checks, throughput and other suites are planned from the file's content", () => {
  const other = (change: Record<string, unknown>) =>
    new Requests(
      BASELINE,
      run("2026-01-02T00:00:00Z", (result) => Object.assign(result.configuration, change)),
    );
  const of = (suite: string) => ({ ...BASELINE.cases[0], suite }) as CaseRecord;
  assert.equal(other({}).has(of("correctness")), true);
  assert.equal(other({ contexts: [1024] }).has(of("correctness")), true);
  assert.equal(other({ options: {} }).has(of("correctness")), false);
  assert.equal(other({ throughput: { contexts: [1] } }).has(of("throughput")), false);
  assert.equal(other({ contextParallel: {} }).has(of("context-parallel")), false);
  assert.equal(other({ samples: {}, budgetSeconds: 7 }).has(of("retrieval")), true);
  assert.equal(other({ retrieval: {} }).has(of("retrieval")), false);
});

Deno.test("a card has its own name in every output, whatever its adapter's fields tell", async () => {
  const [h200, h100, deno] = await Promise.all(
    ["h200-default", "h100-dawn-peers", "h100-deno-paper"].map((name) =>
      readResult(new URL(`../../fixtures/baselines/${name}.json`, import.meta.url).pathname)
    ),
  );
  assert.deepEqual(
    [h200, h100, deno].map((result) => describeSide(result, "x").device),
    ["NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"],
  );
  const first = (a: Result, b: Result) => timeObstacles(a, b)[0];
  assert.equal(
    first(h200, h100),
    "different adapters: NVIDIA H200 and NVIDIA H100 80GB HBM3",
  );
  assert.equal(
    first(h200, deno),
    "different adapters: NVIDIA H200 and NVIDIA H100 80GB HBM3",
  );
  assert.equal(first(h100, deno), "different stacks: dawn and deno");
  // A description that holds the driver's version is another driver, not another card.
  const updated = structuredClone(h100);
  updated.environment.adapter.description = "NVIDIA: 590.1.01 590.1.1.0";
  updated.environment.driver = "NVIDIA 590.1.01";
  assert.match(first(h100, updated), /^different drivers: /);
});
