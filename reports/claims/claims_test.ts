import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import * as claims from "./claims.ts";
import type { Result } from "../../suites/result/result_schema.ts";

function row(result: Result, id: string): claims.ClaimRow {
  return claims.judgeClaims(result).find((row) => row.id === id)!;
}

function withHeadline(ratio: number, spread = 0.01): Result {
  const result = sampleResult();
  Object.assign(result.ratios.at(-1)!, {
    ratio,
    low: ratio * (1 - spread),
    high: ratio * (1 + spread),
  });
  return result;
}

Deno.test("judgeRatio follows the printed rule", () => {
  assert.equal(claims.judgeRatio(16.8, 21), "reproduced");
  assert.equal(claims.judgeRatio(40, 21), "reproduced");
  assert.equal(claims.judgeRatio(16.79, 21), "partly");
  assert.equal(claims.judgeRatio(8.4, 21), "partly");
  assert.equal(claims.judgeRatio(8.39, 21), "not reproduced");
  assert.ok(claims.VERDICT_RULE.includes("0.8") && claims.VERDICT_RULE.includes("0.4"));
});

Deno.test("the headline claim is judged on the upper end of the interleaved ratio", () => {
  const judged = row(withHeadline(16.7), "speedup-forward");
  assert.equal(judged.verdict, "reproduced");
  assert.equal(judged.ours!.value, 16.7);
  assert.equal(judged.ratio, 16.7 / 21);
  assert.equal(row(withHeadline(16.5), "speedup-forward").verdict, "partly");
  assert.equal(row(withHeadline(3), "speedup-forward").verdict, "not reproduced");
  assert.match(
    claims.verdictLine(withHeadline(3)),
    /^The 21× does not hold here: 3\.00× \(2\.97–3\.03×, n = 6\) at 512K/,
  );
  for (const [stack, name] of [["dawn", "Dawn"], ["deno", "Deno's own WebGPU"]] as const) {
    assert.match(
      claims.verdictLine({ ...withHeadline(28.6), stack }),
      new RegExp(
        ` forward, over this suite's own dense kernel on ${name}(, without matrix units)?\\.$`,
      ),
    );
  }
});

Deno.test("a claim beyond the run's contexts shows the nearest point and is not run", () => {
  const result = sampleResult({
    contexts: [2048, 8192],
    heads: 8,
    software: true,
    description: "llvmpipe",
  });
  const judged = row(result, "speedup-forward");
  assert.equal(judged.verdict, "not run");
  assert.equal(judged.ours, null);
  assert.match(judged.nearest!, /× \(.*×\) at 8K$/);
  assert.equal(judged.why, "The run was planned to 8K only.");
  assert.ok(judged.software);
  assert.match(
    judged.command!,
    /--context 524288 .*--k N\/64 .*--direction forward --stack deno --seed 42$/,
  );
  assert.match(
    claims.verdictLine(result),
    /^The 21× at 512K was not run\. At 8K, .*software adapter\.$/,
  );
});

Deno.test("a point of another shape never replaces the paper's", () => {
  const result = sampleResult({ heads: 4 });
  const judged = row(result, "speedup-forward");
  assert.equal(judged.verdict, "not run");
  assert.match(judged.nearest!, /at 512K with H = 4/);
  assert.match(judged.why, /not run at the paper's setting/);
});

Deno.test("a skipped case gives its reason", () => {
  const result = sampleResult();
  const dense = result.cases.find(({ id }) => id.includes("/dense/forward/N524288"))!;
  Object.assign(dense, { status: "skipped", reason: "predicted 21.4 s, the budget is 10 s" });
  delete dense.statistic;
  const judged = row(result, "speedup-forward");
  assert.equal(judged.verdict, "not run");
  assert.equal(
    judged.why,
    "Dense attention at 512K was skipped: predicted 21.4 s, the budget is 10 s.",
  );
});

Deno.test("two times without interleaved rounds give no ratio", () => {
  const result = sampleResult();
  result.ratios = [];
  assert.match(row(result, "speedup-forward").why, /not in interleaved rounds/);
});

Deno.test("the forward-backward claims are not run while the direction is not measured", () => {
  for (const id of ["speedup-forward-backward", "equal-cost-forward-backward"]) {
    const judged = row(sampleResult(), id);
    assert.equal(judged.verdict, "not run");
    assert.match(judged.why, /No forward and backward case/);
  }
});

Deno.test("the context of equal cost is interpolated and judged by the advantage", () => {
  const result = sampleResult({ contexts: [65_536, 131_072, 524_288] });
  const at = (name: string) => result.cases.find(({ id }) => id.includes(name))!.statistic!;
  Object.assign(at("/dense/forward/N65536"), { median: 1, low: 1, high: 1 });
  Object.assign(at("/dense/forward/N131072"), { median: 4, low: 4, high: 4 });
  const target = at("/lighthouse-norm/forward/N524288");
  Object.assign(target, { median: 2, low: 2, high: 2 });
  const judged = row(result, "equal-cost-forward");
  assert.equal(Math.round(judged.ours!.value), Math.round(65_536 * Math.SQRT2));
  assert.equal(judged.verdict, "reproduced");
  // At 2K the rule N/64 is rounded up to 128: the series goes on.
  const short = sampleResult({ contexts: [2048] }).cases;
  for (const record of [...result.cases, ...short]) {
    if (!record.options) continue;
    record.options.k = Math.max(128, record.options.k);
    record.rules = { k: "N/64" };
  }
  assert.equal(
    row({ ...result, cases: [...short, ...result.cases] }, "equal-cost-forward").verdict,
    "reproduced",
  );
  Object.assign(target, { median: 1e9, low: 1e9, high: 1e9 });
  assert.match(row(result, "equal-cost-forward").why, /nothing is extrapolated/);
});

Deno.test("growth is reproduced over the paper's range only, and not when it falls", () => {
  assert.equal(row(sampleResult(), "growth").verdict, "reproduced");
  assert.equal(row(sampleResult({ contexts: [8192, 65_536] }), "growth").verdict, "partly");
  assert.equal(row(sampleResult({ contexts: [8192] }), "growth").verdict, "not run");
  assert.equal(row(withHeadline(1.5), "growth").verdict, "not reproduced");
});

Deno.test("growth names contexts of the paper without a speed-up, and its command has all of its own", () => {
  const whole = row(sampleResult(), "growth");
  assert.match(whole.why, /over the paper's whole range/);
  const gap = sampleResult({ contexts: [4096, 8192, 16_384, 32_768, 65_536, 131_072, 524_288] });
  const judged = row(gap, "growth");
  assert.doesNotMatch(judged.why, /whole range/);
  assert.match(judged.why, /256K has no speed-up here/);
  assert.match(judged.command!, / --context 4096,8192,.*,524288 /);
});

Deno.test("the FLOP ratio is exact or it is not reproduced", () => {
  assert.ok(Math.abs(claims.FLOP_RATIO - (16 / 3) ** 2) < 1e-12);
  const result = sampleResult();
  assert.equal(row(result, "flop-ratio").verdict, "reproduced");
  result.cases.find(({ options }) => options)!.stages.find(({ name }) => name === "attention")!
    .flops *= 1.001;
  assert.equal(row(result, "flop-ratio").verdict, "not reproduced");
});

Deno.test("coverage counts empty rows and allows those of the method", () => {
  const result = sampleResult();
  assert.equal(row(result, "coverage").verdict, "reproduced");
  const record = result.cases.find(({ options }) => options)!;
  record.zeroRows = 15;
  assert.equal(row(result, "coverage").verdict, "not reproduced");
  assert.match(row(result, "coverage").why, /^1 of 7 cases have empty rows/);
  record.zeroRows = 8 * 15 + 1;
  assert.match(row(result, "coverage").why, /a defect of this run/);
});

Deno.test("training claims are listed with the paper's rows and a reason", () => {
  const throughput = row(sampleResult(), "training-throughput");
  assert.equal(throughput.verdict, "not run");
  assert.equal(throughput.paper.text, "1.64–2.76×");
  assert.match(throughput.why, /No training step/);
  assert.equal(row(sampleResult(), "end-to-end").paper.text, "1.40–1.69×");
  assert.equal(row(sampleResult(), "retrieval").details.length, 5);
  assert.equal(row(sampleResult(), "final-loss").details.length, 20);
});

Deno.test("claims seen elsewhere are marked as not the paper's", () => {
  const rows = claims.judgeClaims(sampleResult()).filter(({ id }) => id.startsWith("elsewhere"));
  assert.equal(rows.length, 4);
  assert.ok(rows.every(({ verdict }) => verdict === "not the paper's claim"));
});

Deno.test("the hardware notice distinguishes software, other and same hardware", () => {
  assert.equal(claims.hardwareNotice(sampleResult({ software: true })).level, "software");
  assert.equal(
    claims.hardwareNotice(sampleResult({ description: "NVIDIA H100" })).level,
    "different",
  );
  assert.equal(claims.hardwareNotice(sampleResult({ description: "NVIDIA B200" })).level, "same");
});

Deno.test("the verdict line distinguishes slower, the same and faster", () => {
  const line = (ratio: number, spread: number) => {
    const result = sampleResult({ contexts: [8192] });
    Object.assign(result.ratios[0], {
      ratio,
      low: ratio * (1 - spread),
      high: ratio * (1 + spread),
    });
    return claims.verdictLine(result).replace("The 21× at 512K was not run. At 8K, ", "");
  };
  const on = "on Deno's own WebGPU, without matrix units.";
  assert.equal(
    line(0.5, 0.2),
    `Lighthouse takes 2.00× (1.67–2.50×, n = 6) as long as this suite's own dense attention here, ${on}`,
  );
  assert.match(line(0.95, 0.1), /^no difference in speed/);
  assert.equal(
    line(2, 0.1),
    `Lighthouse is 2.00× (1.80–2.20×, n = 6) as fast as this suite's own dense attention here, ${on}`,
  );
});

Deno.test("the verdict line of a run with both passes only names both passes", () => {
  const both = (contexts: number[]) => {
    const result = sampleResult({ contexts, variants: true });
    result.cases = result.cases.filter(({ direction }) => direction === "forward-backward");
    return result;
  };
  assert.match(
    claims.verdictLine(both([8192, 524_288])),
    /^The 21× was not run forward\. The 17\.3× holds here: \S+× \(\S+×, n = 6\) at 512K tokens, forward and/,
  );
  assert.match(
    claims.verdictLine(both([8192])),
    /^The 21× at 512K was not run, nor the 17\.3× forward and backward\. At 8K, forward and backward, /,
  );
});

Deno.test("the verdict line does not call an inconclusive 512K not run", () => {
  const result = sampleResult({ contexts: [8192, 524_288] });
  const long = result.cases.filter(({ shape }) => shape.context === 524_288);
  assert.ok(long.length >= 2);
  for (const record of long) {
    record.status = "inconclusive";
    delete record.statistic;
  }
  result.ratios = result.ratios.filter(({ denominator }) => !denominator.includes("N524288"));
  assert.match(
    claims.verdictLine(result),
    /^The 21× at 512K is inconclusive: the device's clock was down\. At 8K, Lighthouse /,
  );
});

Deno.test("the verdict line names the missing pair", () => {
  const line = (keep: (record: Result["cases"][number]) => boolean, ratios = true) => {
    const result = sampleResult({ contexts: [524_288], variants: true });
    result.cases = result.cases.filter(keep);
    if (!ratios) result.ratios = [];
    return claims.verdictLine(result);
  };
  assert.match(
    line(({ implementation }) => implementation !== "lighthouse-norm"),
    /^The 21× at 512K was not run with the norm scorer\. At 512K, lighthouse-\w+ is [\d.]+× .* as fast as this suite's own dense/,
  );
  const rounds = /: no dense and Lighthouse pair was measured in interleaved rounds\.$/;
  assert.match(
    line(({ implementation }) => implementation === "lighthouse-norm"),
    /At 512K, forward, one layer of Lighthouse takes .* \(.*\) here, .*; dense attention was not timed\.$/,
  );
  assert.match(line(() => true, false), rounds);
});

Deno.test("the verdict line of a run without Lighthouse compares its peer", () => {
  const line = (ratio: number, low: number, high: number, timed = true) => {
    const result = sampleResult({ contexts: [8192, 16_384], extras: true });
    result.cases = result.cases.filter(({ implementation }) =>
      implementation === "dense" || implementation.startsWith("peer:")
    );
    const peer = result.cases.find(({ id }) => id.startsWith("latency/peer:"))!;
    const numerator = peer.id;
    const denominator = peer.id.replace(peer.implementation, "dense");
    result.ratios = timed
      ? [{ ...result.ratios[0], numerator, denominator, ratio, low, high }]
      : [];
    return claims.verdictLine(result).replaceAll(peer.implementation.slice(5), "PEER");
  };
  const start = "The 21× at 512K was not run. At 8K, ";
  const on = "on Deno's own WebGPU, without matrix units.";
  assert.equal(
    line(1.5, 1.4, 1.6),
    `${start}this suite's dense attention is 1.50× (1.40–1.60×, n = 6) as fast as PEER here, ${on}`,
  );
  assert.equal(
    line(0.5, 0.4, 0.8),
    `${start}this suite's dense attention takes 2.00× (1.25–2.50×, n = 6) as long as PEER here, ${on}`,
  );
  assert.equal(
    line(1, 0.9, 1.1),
    `${start}no difference in speed between this suite's dense attention and PEER shows (n = 6) here, ${on}`,
  );
  assert.match(
    line(1, 1, 1, false),
    /^The 21× at 512K was not run\. At \d+K, forward, one layer of this suite's own dense attention takes [\d.]+ ms .*; Lighthouse was not timed\.$/,
  );
});

Deno.test("a run of dense attention beside another sparse layer says how these two compare", () => {
  const result = sampleResult({ contexts: [8192] });
  const named = (text: string) => text.replace("lighthouse-norm", "sliding-window");
  result.cases = result.cases.filter(({ scorer }) => scorer === undefined || scorer === "norm");
  for (const record of result.cases.filter(({ scorer }) => scorer === "norm")) {
    Object.assign(record, {
      id: named(record.id),
      implementation: "sliding-window",
      family: "sparse",
    });
    delete record.scorer;
  }
  result.ratios = result.ratios.filter(({ denominator }) => denominator.includes("-norm"))
    .map((ratio) => ({ ...ratio, denominator: named(ratio.denominator) }));
  assert.match(
    claims.verdictLine(result),
    /^The 21× at 512K was not run\. At 8K, sliding-window is [\d.]+× .* as fast as this suite's own dense attention here/,
  );
});

Deno.test("of several peers' ratios the verdict line takes the longest forward one, and does not hide a failure", () => {
  const line = (ratios: [string, number][], failed = false) => {
    const result = sampleResult({ contexts: [8192, 16_384], extras: true });
    const lost = result.cases.find(({ implementation }) => implementation === "lighthouse-norm")!;
    result.cases = result.cases.filter(({ implementation }) =>
      implementation === "dense" || implementation.startsWith("peer:")
    );
    for (const record of result.cases.filter(({ suite }) => suite === "latency")) {
      const id = record.id.replace("/forward/", "/forward-backward/");
      result.cases.push({ ...structuredClone(record), id, direction: "forward-backward" });
    }
    if (failed) result.cases.push({ ...lost, status: "failed" });
    const peers = result.cases.filter(({ id }) => id.startsWith("latency/peer:"));
    result.ratios = ratios.map(([where, ratio]) => {
      const { id, implementation } = peers.find(({ id }) => id.includes(where))!;
      const denominator = id.replace(implementation, "dense");
      const interval = { ratio, low: 0.9 * ratio, high: 1.1 * ratio };
      return { ...result.ratios[0], numerator: id, denominator, ...interval };
    });
    return claims.verdictLine(result);
  };
  const both: [string, number] = ["/forward-backward/N16384", 3];
  const forward: [string, number][] = [["/forward/N8192", 1.5], ["/forward/N16384", 2]];
  assert.match(line([both, ...forward]), /At 16K, this suite's dense attention is 2\.00×/);
  assert.match(
    line([both]),
    /At 16K, forward and backward, this suite's dense attention is 3\.00×/,
  );
  assert.match(line(forward, true), /no dense and Lighthouse pair was measured/);
});

Deno.test("a run of needles alone leads with its trials and its instrument", () => {
  const cell = { trials: 200 };
  const check = { passed: true };
  const line = (instrument: unknown[]) =>
    claims.verdictLine(
      {
        ...sampleResult({ contexts: [] }),
        retrieval: { cells: [cell, cell], instrument },
      } as unknown as Parameters<typeof claims.verdictLine>[0],
    );
  assert.equal(
    line([check, check]),
    "Nothing was timed: 400 needle trials in 2 cells, all 2 instrument checks within their bands.",
  );
  assert.match(line([check, { passed: false }]), /1 of 2 instrument checks failed\.$/);
});

Deno.test("an empty run says that nothing was measured", () => {
  const result = sampleResult({ contexts: [] });
  assert.equal(claims.verdictLine(result), "Nothing was measured.");
  assert.ok(claims.judgeClaims(result).every(({ ours }) => ours === null));
});

Deno.test("a run of checks alone says how many passed", () => {
  const result = sampleResult({ extras: true });
  const checks = result.cases.filter(({ suite }) => suite === "correctness");
  assert.ok(checks.length > 0);
  const line = (status: "ok" | "failed") =>
    claims.verdictLine({
      ...result,
      ratios: [],
      cases: checks.map((record) => ({ ...record, status, statistic: undefined })),
    });
  assert.equal(line("ok"), `${checks.length} of ${checks.length} checks passed.`);
  assert.equal(line("failed"), `0 of ${checks.length} checks passed.`);
});
