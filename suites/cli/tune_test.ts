import assert from "node:assert/strict";
import { UsageError } from "../errors.ts";
import type { TuningEntry } from "../device/tuning_file.ts";
import { describeTilings, describeTuning, tuneCommand } from "./tune.ts";

Deno.test("tuneCommand refuses what cannot be used in one line with code 2", async () => {
  const file = await Deno.makeTempFile();
  const refused: [string, RegExp][] = [
    ["--bogus", /^unknown option '--bogus'$/],
    ["--dtype bf16", /"bf16" is not one of f16, f32/],
    ["--direction sideways", /"sideways" is not one of forward, backward/],
    ["--kernel naive", /"naive" is not one of portable, matrix/],
    ["--budget 0", /"0" is not a positive number of seconds/],
    [`--out ${file}`, /it exists; --force overwrites it$/],
    [`--out ${file}/tuning.json`, /a part of the path is a file$/],
  ];
  try {
    for (const [line, words] of refused) {
      await assert.rejects(tuneCommand(line.split(" ")), (error) => {
        assert.ok(error instanceof UsageError, line);
        assert.equal(error.exitCode, 2);
        assert.match(error.message, words);
        return !error.message.includes("\n");
      });
    }
  } finally {
    await Deno.remove(file);
  }
});

const own = { tileRows: 128, tileColumns: 128, threadsX: 16, threadsY: 16, chunk: 16 };
const other = { ...own, tileColumns: 64 };
const entry: TuningEntry = {
  kernel: "portable",
  pass: "query",
  headDim: 128,
  dtype: "f16",
  rows: 16384,
  tiling: other,
  heads: 8,
  clock: "gpu",
  default: own,
  ratio: { estimate: 0.8, low: 0.79, high: 0.81 },
  measured: [
    { tiling: own, seconds: [0.02, 0.02] },
    { tiling: other, seconds: [0.016, 0.016] },
    { tiling: { ...own, chunk: 32 }, seconds: [], refused: "it is wrong" },
  ],
};

Deno.test("describeTilings: every tiling at each context, the taken one in bold", () => {
  const measured = entry.measured.slice(0, 1);
  const later = { ...entry, rows: 32768, measured, tiling: own };
  assert.deepEqual(describeTilings([later, entry]).split("\n"), [
    "portable dQ, d = 128, f16, H = 8:",
    "",
    "| tiling | N = 16,384 | N = 32,768 |",
    "| --- | --- | --- |",
    "| 128/128/16/16/16 | 41.2 TFLOP/s | **165 TFLOP/s** |",
    "| 128/64/16/16/16 | **51.5 TFLOP/s** | – |",
    "| 128/128/16/16/32 | out | – |",
    "",
  ]);
  // On matrix units it is one product, not three.
  assert.match(
    describeTilings([{ ...entry, kernel: "matrix" }]),
    /13\.7 TFLOP\/s \|\n.*17\.2 TFLOP/,
  );
  const forward = { ...entry, pass: "forward" as const };
  assert.equal(describeTilings([entry, forward]).match(/H = 8:/g)!.length, 2);
});

Deno.test("describeTuning: a row says what a kernel takes by itself, what is fastest, and which it gets", () => {
  const cells = (row: TuningEntry) =>
    describeTuning([row]).split("\n")[3].split("│").map((cell) => cell.trim()).filter(Boolean);
  assert.deepEqual(cells(entry), [
    "portable dQ, d = 128, f16, H = 8",
    "16K",
    "128/128/16/16/16",
    "20.0 ms (20.0 ms)",
    "128/64/16/16/16",
    "16.0 ms (16.0 ms)",
    "0.80× (0.79–0.81×)",
    // 3 products of N²·d·H.
    "51.5 TFLOP/s",
    "the fastest",
  ]);
  const tie = { ...entry, tiling: own, ratio: { estimate: 0.99, low: 0.9, high: 1.1 } };
  assert.equal(cells(tie).at(-1), "its own");
  for (const width of [80, 120, 160]) {
    const lines = describeTuning([entry, tie], width).split("\n");
    assert.ok(lines.every((line) => line.length <= width), lines[0]);
    assert.match(lines[1], /Kernel .* Context .* Fastest of all .* Taken/);
  }
});
