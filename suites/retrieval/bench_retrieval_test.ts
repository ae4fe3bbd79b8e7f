import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import { benchRetrieval, parseRetrieval } from "./bench_retrieval.ts";

Deno.test("parseRetrieval reads every option", () => {
  const line = "--profile paper --stack dawn --context 8192,16K --depth 0,12.5 --margin -1,4 " +
    "--trials 50 --scorer norm,gla --head-dim 64 --levels 2 --pooling 4 --k n/32 --dtype f16 " +
    "--seed 7 --budget 9 --out there --no-install --quiet";
  assert.deepEqual(parseRetrieval(line.split(" ")), {
    options: {
      profile: "paper",
      contexts: [8192, 16384],
      depths: [0, 12.5],
      margins: [-1, 4],
      trials: 50,
      scorers: ["norm", "gla"],
      headDim: 64,
      levels: 2,
      pooling: 4,
      k: "N/32",
      budgetSeconds: 9,
    },
    stack: "dawn",
    dtype: "f16",
    seed: 7,
    out: "there",
    quiet: true,
    install: false,
  });
});

Deno.test("parseRetrieval: each bad input is one line that names it", () => {
  const cases: [string, RegExp][] = [
    ["--depth 120", /depth 120 is not a percentage from 0 to 100/],
    ["--depth -0.5", /depth -0.5 is not a percentage/],
    ["--depth deep", /"deep" is not a finite number/],
    ["--margin NaN", /"NaN" is not a finite number/],
    ["--margin 1e999", /"1e999" is not a finite number/],
    ["--margin 99", /margin 99 is not a finite number from -40 to 40/],
    ["--context 5000", /context 5000: .*not a multiple of/],
    ["--context 1K", /context 1024: .*at least 128/],
    ["--k 200", /k 200 is not a multiple of 128/],
    ["--profile huge", /profile huge is not one of smoke/],
    ["--dept 3", /unknown option '--dept'/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => parseRetrieval(line.split(" ")),
      (error) =>
        error instanceof UsageError && error.exitCode === 2 && message.test(error.message) &&
        !/\n/.test(error.message),
      line,
    );
  }
});

Deno.test("benchRetrieval refuses a malformed checkpoint before it opens a device", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, '{"format": "other"}');
    await assert.rejects(
      benchRetrieval(["--checkpoint", path, "--out", "/nowhere/at/all"]),
      (error) => error instanceof UsageError && /checkpoint .*: format: /.test(error.message),
    );
  } finally {
    await Deno.remove(path);
  }
});
