import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { lighthouseNorm } from "../../kernels/lighthouse/lighthouse_attention.ts";
import { ASSUMED_DEVICE } from "./memory_plan.ts";
import { planIdentity } from "../run/plan_run.ts";
import { planShares } from "../run/_planned.ts";
import { checkProblem } from "./check_gates.ts";
import type { PlanOptions } from "./plan_options.ts";
import { membersOf, type PlannedDevice } from "./planned_case.ts";
import { predictSeconds } from "./predict.ts";
import { peerImplementation } from "../peers/peer_plan.ts";
import { loadProfile, PROFILE_NAMES, resolveBudget } from "./profile.ts";

const h100: PlannedDevice = { ...ASSUMED_DEVICE, deviceMemoryBytes: 80 * 2 ** 30 };

/** Plans that several tests look at. */
const known = new Map<string, ReturnType<typeof planShares>>();

function plan(options: PlanOptions, device = h100) {
  const key = JSON.stringify([options, device]);
  if (!known.has(key)) known.set(key, planShares(options, { device }));
  return known.get(key)!;
}

Deno.test("peers run at every context, after their counterparts, and never in throughput", () => {
  const peer = (name: string, computes: "dense" | "lighthouse", unavailable?: string) =>
    peerImplementation({
      name,
      title: name,
      computes,
      scorer: "norm",
      directions: ["forward"],
      unavailable,
    });
  const registry = [
    ...IMPLEMENTATIONS,
    peer("torch-fa2", "dense"),
    peer("theirs", "lighthouse"),
    peer("absent", "dense", "there is no python3"),
  ];
  const peerNames = ["peer:torch-fa2", "peer:theirs", "peer:absent"];
  const { groups, throughput, checks } = planShares(
    { profile: "paper", peerNames },
    { device: h100, registry },
  );
  const forward = groups.filter(({ baseline }) => baseline?.direction === "forward");
  for (const context of loadProfile("paper").contexts) {
    const group = forward.find(({ baseline }) => baseline!.problem.shape.context === context)!;
    const names = group.candidates.map(({ implementation }) => implementation);
    assert.ok(names.includes("peer:torch-fa2"));
    const at = names.indexOf("peer:theirs");
    const [ours, theirs] = group.candidates.slice(at - 1, at + 1);
    assert.equal(ours.implementation, "lighthouse-norm");
    assert.deepEqual(ours.problem, theirs.problem);
    assert.equal(theirs.plan!.flops, ours.plan!.flops);
    const absent = group.candidates.find(({ implementation }) => implementation === "peer:absent")!;
    assert.equal(absent.skip, "there is no python3");
  }
  const all = groups.flatMap(({ candidates }) => candidates);
  assert.ok(
    all.every(({ implementation, direction }) =>
      !implementation.startsWith("peer:") || direction === "forward"
    ),
  );
  assert.ok(throughput.every(({ implementation }) => !implementation.startsWith("peer:")));
  assert.ok(checks.some(({ id }) => id.startsWith("correctness/peer:torch-fa2/forward/N193")));
  assert.ok(!checks.some(({ id }) => id.includes("peer:absent")));
});

Deno.test("every profile can be planned on a large device; only impossible grid points are skipped", () => {
  for (const profile of PROFILE_NAMES) {
    const { groups, checks, throughput } = plan({ profile });
    assert.ok(groups.length >= loadProfile(profile).contexts.length);
    assert.ok(checks.length >= 3);
    const { suites } = loadProfile(profile);
    assert.ok(throughput.length >= (suites.includes("throughput") ? 2 : 0), profile);
    const ids = groups.flatMap((g) => membersOf(g)).map((entry) => entry.id);
    assert.equal(new Set(ids).size, ids.length);
    for (const group of groups) {
      // Layers with shared keys have no baseline where dense attention has none.
      assert.equal(group.baseline?.skip, undefined);
      for (const entry of group.candidates) {
        assert.ok(checks.some((check) => check.id === entry.gate) || entry.skip, entry.id);
      }
    }
  }
});

Deno.test("key heads of their own number are part of a case's identity, others of none", () => {
  const options = { profile: "smoke", implementations: ["dense", "sliding-window"], heads: [4] };
  const ids = (kvHeads?: number[]) => {
    const { groups, throughput } = plan({ ...options, contexts: [512], ...kvHeads && { kvHeads } });
    const timed = groups.flatMap((group) => [group.baseline!, ...group.candidates]);
    return { timed, ids: timed.map(({ id }) => id), throughput };
  };
  const [without, four, two] = [ids(), ids([4]), ids([2])];
  assert.deepEqual(four.ids, without.ids);
  assert.deepEqual(two.ids, without.ids.map((id) => id.replace("-H4-", "-H4-kv2-")));
  assert.ok(four.timed.every(({ problem }) => !("kvHeads" in problem.shape)));
  assert.ok(two.throughput.every(({ problem }) => problem.shape.kvHeads === 2));
  assert.deepEqual(ids([2, 4]).ids.toSorted(), [...two.ids, ...four.ids].toSorted());
  // The check of a case runs the same kernels: groups of two.
  const { checks } = plan({ ...options, contexts: [512], kvHeads: [2] });
  assert.ok(checks.every(({ id }) => id.includes("-H4-kv2-")), checks.map(({ id }) => id).join());
  assert.throws(() => ids([3]), {
    name: "UsageError",
    message: "plan dense: kvHeads 3 does not divide 4 heads",
  });
  const lighthouse = { ...options, implementations: ["lighthouse-norm"], contexts: [8192] };
  assert.throws(() => plan({ ...lighthouse, kvHeads: [2] }), {
    name: "UsageError",
    message: "plan lighthouse-norm: 2 key heads for 4 heads: it needs one key head a head",
  });
});

Deno.test("the rivals profile times 131,072 tokens first, with both numbers of key heads, then shorter ones", () => {
  const { groups } = plan({ profile: "rivals" });
  const shapes = groups.map((group) => {
    const [{ direction, problem: { shape: { context, kvHeads = 8 } } }] = membersOf(group);
    return [context, kvHeads, direction] as const;
  });
  const contexts = shapes.map(([context]) => context);
  const first = contexts.lastIndexOf(131072) + 1;
  assert.deepEqual(new Set(contexts.slice(0, first)), new Set([131072]));
  assert.deepEqual(
    new Set(shapes.slice(0, first).map(([, kvHeads, direction]) => `${kvHeads} ${direction}`)),
    new Set(["8 forward", "1 forward", "8 forward-backward", "1 forward-backward"]),
  );
  const later = contexts.slice(first);
  assert.deepEqual(later, later.toSorted((a, b) => a - b));
  assert.deepEqual([later[0], later.at(-1)], [8192, 524288]);
});

Deno.test("the paper profile covers its figure in both directions, the grid, and 1M", () => {
  const { groups, checks } = plan({ profile: "paper" });
  const contexts = (direction: string) =>
    groups.filter(({ baseline }) => baseline!.direction === direction)
      .map(({ baseline }) => baseline!.problem.shape.context);
  // The forward figure comes before everything else, whatever the budget.
  // Two contexts below it: the crossover of Lighthouse must lie on the curve.
  const figure = [2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288];
  assert.deepEqual(contexts("forward"), [...figure, 98304, 1048576]);
  assert.deepEqual(
    groups.slice(0, figure.length).map(({ baseline }) => baseline!.direction),
    figure.map(() => "forward"),
  );
  assert.deepEqual(contexts("forward-backward"), [...figure, 98304].sort((a, b) => a - b));
  const find = (context: number, direction = "forward") =>
    groups.find(({ baseline }) =>
      baseline!.problem.shape.context === context && baseline!.direction === direction
    )!;
  const longest = find(524288).candidates;
  const times = (count: number) => (name: string) => Array.from({ length: count }, () => name);
  assert.deepEqual(longest.map(({ implementation }) => implementation), [
    "lighthouse-norm",
    "lighthouse-dilated",
    "lighthouse-gla",
    ...["sliding-window", "bigbird", "moba"].flatMap(times(3)),
    ...["nsa", "dsa", "hisa"].flatMap(times(2)),
  ]);
  const scored = longest.filter(({ family }) => family === "lighthouse");
  assert.deepEqual(scored.map(({ problem }) => problem.options!.k), [8192, 8192, 8192]);
  assert.deepEqual(scored.map(({ problem }) => problem.options!.dilation), [undefined, 4, 4]);
  const windows = longest.filter(({ implementation }) => implementation === "sliding-window");
  assert.deepEqual(windows.map(({ problem }) => problem.options!.window), [512, 4096, 9216]);
  assert.deepEqual(windows.map(({ rules }) => rules), [undefined, undefined, { window: "9N/512" }]);
  const blocks = (context: number) =>
    find(context).candidates.filter(({ implementation }) => implementation === "bigbird");
  assert.deepEqual(blocks(131072).map(({ problem }) => problem.options!.randomBlocks), [3, 32, 5]);
  assert.deepEqual(blocks(8192).map(({ problem }) => problem.options!.randomBlocks), [3, 0, 5]);
  assert.match(blocks(524288)[1].skip!, /randomBlocks 140 exceeds the limit of 32$/);
  const selected = longest.filter(({ implementation }) => implementation === "moba");
  assert.deepEqual(selected.map(({ problem }) => problem.options!.block), [512, 8192, 3648]);
  assert.equal(longest[0].plan!.gathered, 98304);
  // Dense attention at 1M is predicted, not run.
  const million = find(1048576);
  assert.equal(million.baseline!.predictedOnly, true);
  assert.deepEqual(million.candidates.map(({ skip }) => skip), [undefined]);
  const grid = find(98304).candidates;
  const shared = grid.find(({ id }) => id.endsWith("L3-p2-k1536"))!;
  assert.deepEqual(shared.sweeps, ["k", "pooling", "levels", "grid"]);
  const block = grid.find(({ implementation, skip }) => implementation === "bigbird" && skip)!;
  assert.equal(block.skip, "plan bigbird: block 192 is not a power of two");
  const impossible = grid.filter((entry) => entry.skip && entry !== block);
  assert.ok(impossible.length > 0 && impossible.length < grid.length / 2);
  assert.ok(
    impossible.every(({ skip, sweeps }) => skip!.startsWith("plan lighthouse: ") && sweeps),
  );
  assert.ok(find(98304, "forward-backward").candidates.length > 8);
  // A check of both directions replaces the check of the forward pass.
  assert.equal(longest[0].gate, checks.find(({ id }) => id.includes("lighthouse-norm"))!.id);
  assert.ok(longest[0].gate!.includes("forward-backward"));
});

Deno.test("the scorers, directions and dilations of options are combined", () => {
  const options: PlanOptions = {
    profile: "smoke",
    contexts: [8192],
    scorers: ["norm", "dilated"],
    directions: ["backward"],
    options: { dilation: [2, 8] },
  };
  const [{ candidates, baseline }] = plan(options).groups;
  assert.equal(baseline!.id, "latency/dense/backward/N8192-H1-d64-f16");
  assert.deepEqual(candidates.map(({ id }) => id), [
    "latency/lighthouse-norm/backward/N8192-H1-d64-f16-L3-p4-k128",
    "latency/lighthouse-dilated/backward/N8192-H1-d64-f16-L3-p4-k128-δ2",
    "latency/lighthouse-dilated/backward/N8192-H1-d64-f16-L3-p4-k128-δ8",
  ]);
});

Deno.test("throughput is measured at every requested context, else at the profile's", () => {
  const contexts = (asked?: number[]) => {
    const suites = ["throughput"];
    const { throughput } = plan({ profile: "smoke", suites, ...(asked && { contexts: asked }) });
    return throughput.map(({ implementation, problem }) => [implementation, problem.shape.context]);
  };
  assert.deepEqual(contexts([2048, 8192, 2048]), [
    ["dense", 2048],
    ["lighthouse-norm", 2048],
    ["dense", 8192],
    ["lighthouse-norm", 8192],
  ]);
  assert.deepEqual(contexts(), [["dense", 4096], ["lighthouse-norm", 4096]]);
});

Deno.test("a grid point that cannot be computed is skipped with its reason", () => {
  const scorers = ["norm"];
  const { groups } = plan({
    profile: "smoke",
    contexts: [8192],
    options: { k: [128, 1536] },
    scorers,
  });
  const [small, large] = groups[0].candidates;
  assert.equal(small.skip, undefined);
  assert.match(large.skip!, /plan lighthouse: /);
});

Deno.test("options that leave only impossible combinations are a usage error in one line", () => {
  const cases: [PlanOptions, RegExp][] = [
    [{ profile: "smoke", contexts: [8192], options: { k: [1536] } }, /plan lighthouse: /],
    [
      { profile: "smoke", options: { k: [100] } },
      /k 100 is not a whole number from 128|k 100 is not/,
    ],
    [{ profile: "smoke", options: { k: [200] } }, /k 200 is not a multiple of 128/],
    [{ profile: "smoke", contexts: [1024] }, /leaves 64 coarsest entries/],
    [
      { profile: "smoke", scorers: ["dilated"], options: { dilation: [3] } },
      /dilation 3 does not divide/,
    ],
    [{ profile: "smoke", headDims: [7] }, /head dimension 7 is not one of/],
    [{ profile: "smoke", options: { pooling: [3] } }, /pooling 3 is not a power of two/],
    [{ profile: "nope" }, /profile nope is not one of smoke, standard, paper, rivals/],
    [
      { profile: "smoke", scorers: ["nope"] },
      /scorer nope is not one of norm, dilated, gla, random/,
    ],
    [{ profile: "smoke", implementations: ["nope"] }, /implementation nope is not one of dense/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => plan(options),
      (error) =>
        error instanceof UsageError && message.test(error.message) && !error.message.includes("\n"),
    );
  }
});

Deno.test("the standard profile promises samples to the headline's contexts in both directions", () => {
  const { groups } = plan({ profile: "standard" });
  const promised = groups.filter(({ baseline }) => baseline?.promisedSamples);
  assert.deepEqual(
    promised.map(({ baseline, candidates }) => [
      baseline!.direction,
      baseline!.problem.shape.context,
      candidates.map(({ implementation }) => implementation).join(),
    ]),
    [
      ["forward", 131072, "lighthouse-norm"],
      ["forward", 524288, "lighthouse-norm"],
      ["forward-backward", 131072, "lighthouse-norm"],
      ["forward-backward", 524288, "lighthouse-norm"],
    ],
  );
  // The longest context of a direction is that of the profile's own contexts.
  const both = groups.filter(({ baseline }) => baseline?.direction === "forward-backward");
  const contexts = both.map(({ baseline }) => baseline!.problem.shape.context);
  assert.deepEqual(contexts, [4096, 8192, 16384, 32768, 131072, 524288]);
});

Deno.test("dtype auto follows the device, and the identity ignores predictions and memory", () => {
  const without = { ...h100, capabilities: { ...h100.capabilities, f16: false } };
  assert.equal(plan({ profile: "smoke" }).dtype, "f16");
  assert.equal(plan({ profile: "smoke" }, without).dtype, "f32");
  const whole = plan({ profile: "standard" });
  const small = plan({ profile: "standard" }, { ...h100, deviceMemoryBytes: 2 ** 30 });
  assert.notDeepEqual(small, whole);
  assert.deepEqual(planIdentity(small), planIdentity(whole));
  assert.notDeepEqual(
    planIdentity(plan({ profile: "smoke" })),
    planIdentity(plan({ profile: "smoke", samples: 4 })),
  );
});

Deno.test("checkProblem stays small and keeps everything that selects code", () => {
  const shape = { heads: 8, context: 98304, headDim: 128, dtype: "f16" as const };
  assert.equal(checkProblem({ shape }, dense).shape.context, 193);
  const layer = { shape, options: { levels: 3, pooling: 8, k: 1536 } };
  const small = checkProblem(layer, lighthouseNorm);
  assert.deepEqual(small.options, { levels: 3, pooling: 8, k: 128 });
  assert.equal(small.shape.context, 8192);
});

Deno.test("predictSeconds grows with the work and scales with what was seen", () => {
  const statistic = { count: 1, median: 1e12, low: 1e12, high: 1e12, min: 1, max: 1, mean: 1 };
  const calibration = { clock: "gpu" as const, fmaF32: { ...statistic, outliers: 0 } };
  const stages = [{ name: "attention", flops: 15e10, bytes: 0 }];
  const one = predictSeconds({ stages }, { calibration });
  assert.ok(Math.abs(one - 1) < 1e-9);
  assert.equal(predictSeconds({ stages }, { calibration, scale: 3 }), 3 * one);
});

Deno.test("resolveBudget rounds a rule up to a multiple of 128", () => {
  assert.deepEqual([
    resolveBudget("N/64", 8192),
    resolveBudget("N/64", 12288),
    resolveBudget("N/8", 4096),
  ], [
    128,
    256,
    512,
  ]);
});

Deno.test("a registry that has a name twice is refused", () => {
  assert.throws(
    () => planShares({ profile: "smoke" }, { registry: [...IMPLEMENTATIONS, dense] }),
    (error) =>
      error instanceof UsageError &&
      error.message === "the registry has two implementations of the name dense",
  );
});

Deno.test("dense-naive is refused on a software adapter where its loops would be stopped", () => {
  const software = { ...h100, adapter: { ...h100.adapter, software: true } };
  const at = (context: number, device = software) =>
    plan({
      profile: "smoke",
      suites: ["latency"],
      implementations: ["dense", "dense-naive"],
      contexts: [context],
      headDims: [64],
    }, device);
  assert.ok(at(1007).groups.length > 0);
  assert.throws(() => at(2048), /^UsageError: .*context 2048 is above 1007 for d = 64: software/);
  assert.ok(at(2048, h100).groups.length > 0);
});

Deno.test("an option that no chosen implementation takes is refused", () => {
  assert.throws(
    () => plan({ profile: "smoke", contexts: [2048], options: { dilation: [3] } }),
    /^UsageError: --dilation 3 reaches no case: it is for lighthouse-dilated, .*the run has dense, /,
  );
  assert.throws(
    () => plan({ profile: "paper", implementations: ["dense"], options: { k: [128] } }),
    /^UsageError: --k 128 reaches no case: it is for lighthouse-norm, .*, and the run has dense$/,
  );
});
