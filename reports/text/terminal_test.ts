import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import type { CaseRecord } from "../../suites/result/result_schema.ts";
import { closingLines, renderTerminal } from "./terminal.ts";

Deno.test("renderTerminal leads with the verdict, then describes the adapter", () => {
  const lines = renderTerminal(sampleResult({ software: true, contexts: [8192] })).split("\n");
  assert.match(lines[0], /^The 21× at 512K was not run\. At 8K, /);
  assert.match(lines[1], /^Software adapter: /);
});

Deno.test("renderTerminal prints claims, latency, ceilings and what is missing", () => {
  const text = renderTerminal(sampleResult({ extras: true }));
  const wanted = [
    /│ 21\.0× faster than SDPA at 512K tokens, forward +│ 21\.0× +│ .*× \(.*×\) +│ +\d\.\d\d │ reproduced +│/,
    /│ +512K │ dense +│ +23\.5 s │/,
    /Slopes in log-log at the longest contexts: dense N\^\d\.\d\d \(\w+–\w+\), lighthouse-norm N\^\d\.\d\d/,
    /│ dense +│ +512K │ 24\.0 TFLOP\/s │ +38\.9 % │/,
    /^skipped: predicted 21\.4 s for one execution.*\n {2}latency\/dense\/forward\/N1048576/m,
    /│ +64K │ onnxruntime-web +│ forward +│ .* │ dense │ 1\.60× \(not interleaved\) │/,
    /^failed: output differs from the reference/m,
  ];
  for (const pattern of wanted) assert.match(text, pattern);
});

Deno.test("renderTerminal uses escapes only if colour is requested", () => {
  const result = sampleResult({ contexts: [8192] });
  assert.ok(!renderTerminal(result).includes("\u001b"));
  assert.ok(renderTerminal(result, { color: true }).includes("\u001b[1m"));
});

Deno.test("renderTerminal lets no text of a result control the terminal", () => {
  const result = sampleResult({ contexts: [8192, 16_384, 32_768], extras: true });
  const hostile = "\u001b[2J\u001b]0;title\u0007\r\u009b1m";
  for (const record of result.cases) {
    record.id += hostile;
    record.implementation += hostile;
    record.reason = hostile;
    for (const sample of record.samples) sample.atPowerLimit = true;
  }
  result.environment.adapter.description = hostile + "card";
  result.notes = [hostile];
  // deno-lint-ignore no-control-regex
  assert.ok(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(renderTerminal(result)));
});

Deno.test("renderTerminal is the same for the same result, and survives an empty one", () => {
  const text = () => renderTerminal(sampleResult({ extras: true, sweeps: true }));
  assert.equal(text(), text());
  assert.match(renderTerminal(sampleResult({ contexts: [] })), /^Nothing was measured\./);
});

Deno.test("renderTerminal fits 80, 120 and 160 columns, with the verdict and the ratio in each", () => {
  const result = sampleResult({ extras: true, sweeps: true, variants: true });
  for (const width of [80, 120, 160]) {
    const lines = renderTerminal(result, { width }).split("\n");
    // A line without a space is an identifier, which stays whole.
    const long = lines.filter((line) => line.length > width && line.trim().includes(" "));
    assert.deepEqual(long, [], String(width));
    const tables = lines.filter((line) => /^[│┌├└]/.test(line)).map((line) => line.length);
    assert.ok(Math.max(...tables) <= width);
    const text = lines.join("\n");
    assert.match(text, /│ Claim .*│ Verdict +│/);
    assert.match(text, /│ Context │ Implementation .* Median .* Against dense/);
  }
});

Deno.test("renderTerminal colours verdicts and states without moving anything", () => {
  const result = sampleResult({ extras: true });
  const colored = renderTerminal(result, { color: true, width: 120 });
  const plain = (text: string, style: number) => `\u001b[${style}m${text}\u001b[0m`;
  for (const text of [plain("reproduced", 32), plain("failed", 31)]) {
    assert.ok(colored.includes(text), text);
  }
  const short = sampleResult({ contexts: [8192, 16_384] });
  assert.ok(renderTerminal(short, { color: true }).includes(plain("not run", 2)));
  // deno-lint-ignore no-control-regex
  assert.equal(colored.replace(/\u001b\[\d+m/g, ""), renderTerminal(result, { width: 120 }));
});

Deno.test("closingLines: one finding for each direction, at its longest context", () => {
  const result = sampleResult({ variants: true, samples: 4 });
  const lines = closingLines(result);
  assert.equal(lines.length, 2);
  const number = "[\\d.]+ \\([\\d.]+–[\\d.]+, n = [1-5]\\)";
  assert.match(
    lines[0],
    new RegExp(`^lighthouse-\\w+ ran ${number} times faster than dense at 512K, forward$`),
  );
  assert.match(lines[1], / at \d+K, forward and backward$/);
  const best = Math.max(
    ...result.ratios.filter(({ numerator }) => /dense\/forward\/N524288/.test(numerator))
      .map(({ ratio }) => ratio),
  );
  assert.ok(lines[0].includes(`ran ${best.toPrecision(3)} (`), `${lines[0]}: ${best}`);
  const many = closingLines(sampleResult({ samples: 12 }))[0];
  assert.match(many, /ran [\d.]+ \([\d.]+–[\d.]+\) times faster/);
  assert.deepEqual(closingLines(sampleResult({ contexts: [] })), []);
  const beside = sampleResult({ contexts: [8192], samples: 4 });
  const peerOf = (headDim: number): CaseRecord[] => {
    const { id, shape, ...dense } = beside.cases.find(({ implementation, direction }) =>
      implementation === "dense" && direction === "forward"
    )!;
    const own = { ...dense, id: `${id}-${headDim}`, shape: { ...shape, headDim } };
    return [own, { ...own, id: `peer-${headDim}`, implementation: "peer:torch-fa2" }];
  };
  const pairs = [peerOf(64), peerOf(128)];
  beside.ratios = pairs.map(([own, peer]) => ({
    ...beside.ratios[0],
    numerator: own.id,
    denominator: peer.id,
  }));
  beside.cases = pairs.flat();
  const [line, ...others] = closingLines(beside);
  assert.match(
    line,
    /^dense ran [\d.]+ \([^)]*n = 4\) times slower than torch-fa2 at 8K, d = (64|128), forward$/,
  );
  assert.deepEqual(others, []);
  beside.cases.forEach((record) => record.implementation += "\u001b[31m");
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(closingLines(beside).join(), /\u001b/);
  beside.cases = pairs.flat().map((record) => ({
    ...record,
    implementation: record.implementation.slice(0, -5),
  }));
  const table = renderTerminal(beside);
  for (const d of [64, 128]) assert.match(table, new RegExp(`torch-fa2, d = ${d} `));
  const alone = sampleResult({ contexts: [8192] });
  alone.cases = alone.cases.filter(({ implementation }) => implementation === "dense");
  alone.ratios = [];
  assert.match(
    closingLines(alone).join(),
    /^dense took [\d.]+ ms .* at 8K, forward; nothing was timed in its rounds to compare with$/,
  );
  // A slowdown is reported as one.
  const slower = sampleResult({ samples: 12 });
  for (const one of slower.ratios) [one.ratio, one.low, one.high] = [0.5, 0.4, 0.8];
  assert.match(closingLines(slower)[0], /ran 2\.00 \(1\.25–2\.50\) times slower than dense/);
});

Deno.test("renderTerminal lists claims with a value, and counts the others", () => {
  const text = renderTerminal(sampleResult({ extras: true }));
  assert.match(
    text,
    /\n\d more claims of the paper were not run; the report says how to run them\.\n/,
  );
  assert.doesNotMatch(text, /│ Final loss/);
  const empty = renderTerminal(sampleResult({ contexts: [] }));
  assert.match(empty, /\n\d+ claims of the paper were not run; the report says/);
  assert.doesNotMatch(empty, /│|A speed-up counts as/);
});

Deno.test("renderTerminal says which peers, and which of our layers, were at the power limit", () => {
  const result = sampleResult({ contexts: [65_536], extras: true });
  const limit = "At the device’s power limit, which lowers its clock: ";
  assert.ok(!renderTerminal(result).includes(limit));
  const peer = result.cases.find(({ implementation }) => implementation.startsWith("peer:"))!;
  for (const sample of peer.samples) sample.atPowerLimit = true;
  assert.match(
    renderTerminal(result),
    new RegExp(`Above 1 ours is faster. ${limit}onnxruntime-web at 64K, forward\\.`),
  );
  for (const { samples } of result.cases) for (const one of samples) one.atPowerLimit = true;
  const text = renderTerminal(result);
  assert.ok(text.includes(`${limit}onnxruntime-web at 64K, forward, dense at 64K, forward.`));
  assert.match(text, new RegExp(`${limit}dense at 64K, [^.]*lighthouse-norm at 64K`));
});
