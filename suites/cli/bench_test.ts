import assert from "node:assert/strict";
import { DeviceError } from "../../kernels/gpu/device.ts";
import { DeviceLostError } from "../../kernels/gpu/timing.ts";
import { NotComparableError, OutputError, UsageError } from "../errors.ts";
import { exitCodeFor } from "./errors.ts";
import { bench, parseBench } from "./bench.ts";
import { describeCase, formatLeft, ProgressDisplay } from "./progress.ts";

Deno.test("parseBench reads every option", () => {
  const line =
    "latency throughput --profile paper --stack dawn --context 8192 --context 16K --heads 8 --kv-heads 2,4 " +
    "--head-dim 64,128 --levels 3,4 --pooling 4 --k 1536,n/64 --dilation 2,4 --scorer norm --dtype f32 " +
    "--peer torch-fa2 --peer python:mine.py --keep-warm --tuning none --direction forward --seed 7 --samples 6 --budget 1.5 --out there --force --resume --no-install --quiet";
  const args = line.split(" ");
  assert.deepEqual(parseBench(args), {
    quiet: true,
    force: true,
    install: false,
    suite: {
      suites: ["latency", "throughput"],
      profile: "paper",
      stack: "dawn",
      contexts: [8192, 16384],
      heads: [8],
      kvHeads: [2, 4],
      headDims: [64, 128],
      options: { levels: [3, 4], pooling: [4], k: [1536, "N/64"], dilation: [2, 4] },
      implementations: undefined,
      scorers: ["norm"],
      directions: ["forward"],
      dtype: "f32",
      seed: 7,
      samples: 6,
      budgetSeconds: 1.5,
      out: "there",
      resume: true,
      peers: ["torch-fa2", "python:mine.py"],
      keepWarm: true,
      tuning: "none",
      command: ["deno", "task", "bench", ...args],
    },
  });
});

Deno.test("parseBench: stack and clock are left to the run, asked for, or refused", () => {
  const cases: [string, string, boolean | undefined][] = [
    ["", "auto", undefined],
    ["--stack deno --keep-warm", "deno", true],
    ["--stack auto --no-keep-warm", "auto", false],
  ];
  for (const [line, stack, keepWarm] of cases) {
    const { suite } = parseBench(line.split(" ").filter(Boolean))!;
    assert.deepEqual([suite.stack, suite.keepWarm], [stack, keepWarm], line);
  }
});

Deno.test("parseBench: each bad input is one line that names it", () => {
  const cases: [string, RegExp][] = [
    ["--frobnicate", /unknown option '--frobnicate'/],
    ["--contxt 8", /unknown option '--contxt'.*--context/],
    ["nothing", /suite nothing is not one of correctness, latency, throughput/],
    ["--context 1M", /"1M" is not a positive whole number of at most 12 digits, like 8192 or 16K/],
    ["--k foo", /"foo" is neither a number nor a rule like N\/64/],
    ["--context 0", /"0" is not a positive whole number/],
    ["--model 1000000x64x1x64", /^--model: "1000000" is not a whole number from 1 to 4096$/],
    ["--batch 1e3", /^--batch: "1e3" is not a whole number from 1 to 999999999$/],
    ["--context", /^--context needs a value$/],
    ["--k N/0", /"N\/0" is neither a number nor a rule/],
    ["--seed 4294967295", /whole number from 0 to 4294967292/],
    ["--budget -1", /"-1" is not a positive number of seconds/],
    ["--direction sideways", /"sideways" is not one of forward, backward/],
    ["--peer torch-fa9", /peer torch-fa9 is not one of torch-cudnn, .*, python:FILE/],
    ["--peer python:", /peer python: is not one of/],
    ["--stack cuda", /^--stack cuda is not one of auto, deno, dawn$/],
    ["--profile huge", /^--profile huge is not one of smoke, standard, paper, rivals$/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => parseBench(line.split(" ")),
      (error) =>
        error instanceof UsageError && message.test(error.message) && !/\n/.test(error.message),
      line,
    );
  }
});

Deno.test("exitCodeFor maps every kind of error in one place", () => {
  const codes: [unknown, number | undefined][] = [
    [new UsageError("x"), 2],
    [new OutputError("x"), 2],
    [new NotComparableError("x"), 4],
    [new DeviceError("no-adapter", "x"), 5],
    [new DeviceError("feature", "x"), 2],
    [new DeviceLostError("x"), 1],
    [new DOMException("x", "AbortError"), 3],
    [new TypeError("x"), undefined],
  ];
  for (const [error, code] of codes) assert.equal(exitCodeFor(error), code, String(error));
});

Deno.test("ProgressDisplay writes whole lines off a terminal and rewrites one on it", () => {
  const event = { done: 2, total: 11, remainingSeconds: 80 };
  let text = "";
  const write = (part: string) => text += part;
  const plain = new ProgressDisplay({ isTerminal: false, columns: 80, write });
  plain.show({ ...event, kind: "step", text: "calibrating" });
  plain.show({ ...event, kind: "note", text: "something" });
  plain.finish();
  assert.equal(text, "note: something\n");
  text = "";
  const terminal = new ProgressDisplay({ isTerminal: true, columns: 40, write });
  terminal.show({ ...event, kind: "step", text: "x".repeat(90) });
  assert.match(text, /^\r\[2\/11, 1 min 20 s left\] x+$/);
  assert.equal(text.length, 40);
  terminal.finish();
  assert.match(text, / {39}\r$/);
});

Deno.test("ProgressDisplay: the time left never rises, and says where it was too low", () => {
  let text = "";
  const terminal = new ProgressDisplay({
    isTerminal: true,
    columns: 80,
    write: (part) => text += part,
  });
  for (const remainingSeconds of [null, 50, 35, 64.5, 35.5, 20, 0]) {
    terminal.show({ kind: "step", text: "", done: 1, total: 2, remainingSeconds });
  }
  const shown = [...text.matchAll(/\[1\/2(?:, (.*?))?\]/g)].map(([, left]) => left);
  assert.deepEqual(shown, [
    undefined,
    "50 s left",
    "35 s left",
    "over 35 s left",
    "over 35 s left",
    "20 s left",
    undefined,
  ]);
});

Deno.test("describeCase and formatLeft say what there is", () => {
  assert.equal(formatLeft(0.2), "1 s left");
  assert.equal(formatLeft(60), "1 min 0 s left");
  const record = {
    id: "latency/dense/forward/N8-H1-d32-f32",
    suite: "latency" as const,
    implementation: "dense",
    family: "dense",
    direction: "forward" as const,
    shape: { batch: 1 as const, heads: 1, context: 8, headDim: 32, dtype: "f32" as const },
    status: "skipped" as const,
    reason: "too large",
    flops: 0,
    bytes: 0,
    peakBytes: 0,
    stages: [],
    samples: [],
  };
  const event = { kind: "case" as const, text: "", done: 3, total: 11, remainingSeconds: null };
  assert.equal(
    describeCase({ ...event, case: record }),
    " 3/11 skipped latency/dense/forward/N8-H1-d32-f32: too large",
  );
  const colored = describeCase({ ...event, case: record }, { color: true });
  assert.ok(colored.startsWith(" 3/11 \u001b[33mskipped\u001b[0m latency"), colored);
});

Deno.test("bench refuses a peer's module that is not there before it does anything", async () => {
  await assert.rejects(
    bench(["latency", "--peer", "python:/nonexistent/mine.py", "--no-install"]),
    (error) =>
      error instanceof UsageError &&
      error.message === "peer python:/nonexistent/mine.py: there is no such file or folder",
  );
  await assert.rejects(
    bench(["latency", "--out", "", "--no-install"]),
    /^UsageError: --out is empty/,
  );
  await assert.rejects(
    bench(["latency", "--peer", "python:/tmp", "--no-install"]),
    (error) =>
      error instanceof UsageError && error.message === "peer python:/tmp: it is not a file",
  );
});
