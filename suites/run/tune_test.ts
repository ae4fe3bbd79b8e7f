import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { sameTiling } from "../../kernels/dense_attention/tilings.ts";
import { shaderValidator, testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { DESK } from "../../kernels/gpu/_desk_device.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { CALIBRATION } from "../device/_calibration.ts";
import { parseBench } from "../cli/bench.ts";
import { replay } from "../cli/replay.ts";
import { UsageError } from "../errors.ts";
import { resultSchema } from "../result/result_schema.ts";
import { RESULT_FILE } from "../result/result_store.ts";
import { runSuite } from "./runner.ts";
import { tune, type TuneOptions } from "./tune.ts";
import { fastestTiling } from "./tune/tune_kernel.ts";
import { tuningEntrySchema } from "../device/tuning_file.ts";

/** Small enough to compile at once on a software adapter. */
const SMALL = { tileRows: 32, tileColumns: 32, threadsX: 8, threadsY: 8, chunk: 16 };

/** Replaces a tiling that a driver compiles wrongly. */
const WRONG = { ...SMALL, tileRows: 128, threadsY: 16 };

const TINY: TuneOptions = {
  contexts: [256],
  headDims: [32],
  heads: 1,
  rounds: 3,
  calibration: CALIBRATION,
  among: (tiling) => sameTiling(tiling, SMALL),
  budgetSeconds: 60,
};

Deno.test("fastestTiling compares within rounds, and needs enough of them at the full clock", () => {
  // The second takes 0.8 of the first in every round, while the clock halves and comes back.
  const rounds = [1, 1, 2, 2, 1, 1].map((slow) => [[10 * slow], [8 * slow], [9 * slow]]);
  const { fastest, ratio } = fastestTiling(rounds);
  assert.equal(fastest, 1);
  assert.ok(ratio.estimate === 0.8 && ratio.high < 1);
  const same = fastestTiling([[[10], [10.1]], [[10.2], [10]], [[9.9], [10]], [[10], [9.9]]]);
  assert.ok(same.ratio.high > 0.99);
  const dropped = [[[10], [9]], [[10], []], [[10], [9]], [[], [9]]];
  assert.throws(() => fastestTiling(dropped), /right in 2 of 4 rounds, 3 are needed/);
});

Deno.test("tune measures the correct tilings; others are excluded with a note", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  try {
    spoil(gpu, WRONG);
    const dtype = gpu.capabilities.f16 ? "f16" as const : "f32" as const;
    const notes: string[] = [];
    const steps: string[] = [];
    const hooks = {
      onNote: (line: string) => notes.push(line),
      onStep: ({ text, done, total }: { text: string; done: number; total: number }) =>
        steps.push(`${done}/${total} ${text}`),
    };
    const both = (tiling: object) => [SMALL, WRONG].some((one) => sameTiling(one, tiling));
    const query = { kernel: "portable", pass: "query", headDim: 32, dtype, rows: 256 } as const;
    const entries = [
      ...await tune(gpu, { ...TINY, directions: ["forward"], among: both }, hooks),
      ...await tune(
        gpu,
        // Known with this H, or without H; unknown with another H.
        {
          ...TINY,
          directions: ["backward"],
          known: [query, { ...query, pass: "key-value", heads: 2 }],
        },
        hooks,
      ),
    ];
    assert.deepEqual(steps.filter((step) => !step.includes("calibrating")), [
      `0/1 portable forward d=32 ${dtype} N=256 H=1`,
      `0/1 portable dK and dV d=32 ${dtype} N=256 H=1`,
    ]);
    assert.equal(notes.length, 1);
    assert.match(
      notes[0],
      /forward .*: 128\/32\/8\/16\/16 is out: check of (output|log-sum-exp) failed: error .* exceeds/,
    );
    assert.deepEqual(entries.map(({ pass }) => pass), ["forward", "key-value"]);
    for (const entry of entries) {
      assert.deepEqual(tuningEntrySchema.parse(entry), entry);
      const { measured, ratio } = entry;
      const passed = measured.filter(({ refused }) => refused === undefined);
      assert.deepEqual(passed.map(({ tiling }) => tiling), [entry.default, SMALL]);
      assert.ok(passed.every(({ seconds }) => seconds.length >= 6));
      assert.ok(passed.every(({ seconds }) => seconds.every((s) => s > 0 && s < 10)));
      assert.ok(measured.every(({ seconds, refused }) => !refused || seconds.length === 0));
      assert.ok(ratio.low <= ratio.estimate && ratio.estimate <= Math.min(1, ratio.high));
      // Noise keeps the default: only a whole interval below 0.99 takes the other one.
      assert.deepEqual(entry.tiling, ratio.high < 0.99 ? SMALL : entry.default);
    }
    await tune(gpu, { ...TINY, directions: ["forward"], budgetSeconds: 1e-3 }, hooks);
    assert.match(notes[1], /not measured: it takes about .* s of the budget are left$/);
  } finally {
    gpu.destroy();
  }
});

/** Makes a device scale the scores of one tiling's kernels slightly wrong. */
function spoil({ device }: Gpu, { tileRows, tileColumns }: typeof SMALL): void {
  const create = device.createShaderModule.bind(device);
  const constants = [`const TILE_ROWS = ${tileRows}u;`, `const TILE_COLUMNS = ${tileColumns}u;`];
  device.createShaderModule = (source) => {
    const own = constants.every((text) => source.code.includes(text));
    const scale = (factor: string) => `(1.01 * ${factor})`;
    return create({
      ...source,
      code: own ? source.code.replace(/\bparams\.scale\b/g, scale) : source.code,
    });
  };
}

Deno.test("tune compiles for matrix units, and a device that computes nothing fails every check", async (t) => {
  const own = await shaderValidator(t);
  if (!own) return;
  const units = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const capabilities = {
    ...own.capabilities,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    timestamps: false,
    subgroupMatrix: [units],
  };
  const notes: string[] = [];
  const options: TuneOptions = {
    ...TINY,
    headDims: [64],
    directions: ["forward"],
    kernels: ["matrix"],
  };
  const entries = await tune({ ...own, capabilities }, options, {
    onNote: (line) => notes.push(line),
  });
  own.destroy();
  assert.deepEqual(entries, []);
  assert.match(notes[0], /^matrix forward d=64 f16: [\d/]+ is out: check of inputs failed/);
  assert.match(notes[1], /not measured: the default [\d/]+ fails: check of inputs failed/);
});

Deno.test("tune refuses bad options before it measures", async () => {
  const bad: [TuneOptions, Partial<Gpu["capabilities"]>, RegExp][] = [
    [{ contexts: [5000] }, {}, /context 5000 is not a power of two$/],
    [{ headDims: [40] }, {}, /head dimension 40 is not one of 32, 64, 96, 128$/],
    [{ dtypes: ["f16"] }, { f16: false }, /the device does not grant shader-f16$/],
  ];
  for (const [options, capabilities, words] of bad) {
    const gpu = { ...DESK, capabilities: { ...DESK.capabilities, ...capabilities } } as Gpu;
    await assert.rejects(
      tune(gpu, options),
      (error) => error instanceof UsageError && words.test(error.message),
    );
  }
});

Deno.test({
  ...slow("a result records the tilings that it used, and a replay uses them again"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    gpu.destroy();
    const out = await Deno.makeTempDir();
    try {
      const args = "correctness --profile smoke --context 512 --heads 1 --head-dim 32 --seed 3 " +
        "--implementation dense --direction forward --dtype f32";
      const { suite } = parseBench(args.split(" "))!;
      assert.equal(suite.tuning, "auto");
      const tiling = { kernel: "portable", pass: "forward", headDim: 32, dtype: "f32" } as const;
      const tuning = {
        digest: "5".repeat(64),
        measuredAt: "2026-11-22T00:00:00.000Z",
        tilings: [
          { ...tiling, rows: 512, tiling: SMALL },
          { ...tiling, rows: 65536, tiling: { ...SMALL, tileRows: 4096 } },
        ],
      };
      const result = await runSuite({ ...suite, out, tuning });
      assert.deepEqual(result.tuning, { ...tuning, tilings: tuning.tilings.slice(0, 1) });
      assert.equal(result.configuration.tuning, tuning.digest);
      assert.deepEqual(result.notes.filter((note) => note.startsWith("tuning")), [
        "tuning: 1 tiling measured on 2026-11-22, digest 555555555555",
        "tuning: portable forward d=32 f32 N=65536: 4096/32/8/8/16 is not one of the kernel's tilings; " +
        "it is ignored",
      ]);
      const [before] = result.cases;
      assert.equal(before.status, "ok");
      assert.equal(before.stages[0].variant, "portable 32/32/8/8/16");
      const path = `${out}/${RESULT_FILE}`;
      assert.equal(await replay([path, "--no-install", "--out", `${out}/again`]), 0);
      const text = await Deno.readTextFile(`${out}/again/${RESULT_FILE}`);
      const now = resultSchema.parse(JSON.parse(text));
      assert.equal(now.cases[0].stages[0].variant, before.stages[0].variant);
      assert.deepEqual(now.cases[0].digest, before.digest);
      assert.deepEqual(now.tuning, result.tuning);
      assert.equal(now.hashes.configuration, result.hashes.configuration);
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
});

Deno.test("tune that is stopped before its first kernel says that nothing is kept", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const notes: string[] = [];
  const signal = AbortSignal.abort();
  const entries = await tune(gpu, {}, { signal, onNote: (line) => notes.push(line) });
  assert.deepEqual(entries, []);
  assert.deepEqual(notes, ["tune: stopped before the first kernel was measured; nothing is kept"]);
  gpu.destroy();
});
