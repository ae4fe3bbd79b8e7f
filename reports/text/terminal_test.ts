import assert from "node:assert/strict";
import { sampleResult } from "../../suites/result/_sample_result.ts";
import { renderTerminal } from "./terminal.ts";

Deno.test("renderTerminal leads with the verdict, then says what the adapter is", () => {
  const lines = renderTerminal(sampleResult({ software: true, contexts: [8192] })).split("\n");
  assert.match(lines[0], /^The 21× at 512K was not run\. At 8K, /);
  assert.match(lines[1], /^Software adapter: /);
});

Deno.test("renderTerminal prints claims, latency, ceilings and what is missing", () => {
  const text = renderTerminal(sampleResult({ extras: true }));
  const wanted = [
    /│ 21\.0× faster than SDPA at 512K tokens, +│ 21\.0× +│ .*× \(.*×\) +│ +\d\.\d\d │ reproduced +│/,
    /│ +512K │ dense +│ +23\.5 s │/,
    /Slopes in log-log, by least squares: dense N\^\d\.\d\d, lighthouse-norm N\^\d\.\d\d/,
    /│ dense +│ +512K │ 24\.0 TFLOP\/s │ +38\.9 % │/,
    /skipped │ predicted 21\.4 s for one execution/,
    /│ +64K │ onnxruntime-web +│ forward +│ .* │ dense │ 1\.60× \(not interleaved\) │/,
    /failed +│ output differs from the reference/,
  ];
  for (const pattern of wanted) assert.match(text, pattern);
});

Deno.test("renderTerminal uses escapes only where colour is asked for", () => {
  const result = sampleResult({ contexts: [8192] });
  assert.ok(!renderTerminal(result).includes("\u001b"));
  assert.ok(renderTerminal(result, { color: true }).includes("\u001b[1m"));
});

Deno.test("renderTerminal lets no text of a result steer the terminal", () => {
  const result = sampleResult({ contexts: [8192], extras: true });
  const hostile = "\u001b[2J\u001b]0;title\u0007\r\u009b1m";
  for (const record of result.cases) {
    record.id += hostile;
    record.implementation += hostile;
    record.reason = hostile;
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
