import assert from "node:assert/strict";
import { PORTABLE_TILINGS } from "../../kernels/dense_attention/tilings.ts";
import { planDenseAttention } from "../../kernels/dense_attention/dense_attention.ts";
import { DESK } from "../../kernels/gpu/_desk_device.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { UsageError } from "../errors.ts";
import {
  applyTuning,
  cachedTuningPath,
  describeTunedDevice,
  readTuning,
  sealTuning,
  type TuningEntry,
  writeTuning,
} from "./tuning_file.ts";

const GPU = {
  ...DESK,
  stack: "deno",
  adapter: { ...DESK.adapter, vendor: "acme", description: "ACME Ray 9" },
} as Gpu;
const DRIVER = "acme 1.0";
const DEVICE = describeTunedDevice(GPU, DRIVER);
const LAYER = { heads: 1, rows: 4096, headDim: 64, dtype: "f16" } as const;

function entry(tiling: object): TuningEntry {
  return {
    kernel: "portable",
    pass: "forward",
    headDim: 64,
    dtype: "f16",
    rows: 4096,
    tiling: { ...tiling },
    heads: 8,
    clock: "gpu",
    default: { ...PORTABLE_TILINGS[0] },
    ratio: { estimate: 0.9, low: 0.89, high: 0.91 },
    measured: [
      { tiling: { ...PORTABLE_TILINGS[0] }, seconds: [2e-3, 2.1e-3] },
      { tiling: { ...tiling }, seconds: [1.8e-3, 1.9e-3] },
      { tiling: { ...PORTABLE_TILINGS[2] }, seconds: [], refused: "check of output failed" },
    ],
  };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function refusal(words: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.exitCode, 2);
    assert.match(error.message, words);
    assert.ok(!error.message.includes("\n"));
    return true;
  };
}

Deno.test("a tuning file is read back unchanged, and its device uses it by default", async () => {
  await withFolder(async (cache) => {
    const file = await sealTuning({ device: DEVICE, entries: [entry(PORTABLE_TILINGS[1])] });
    const path = await cachedTuningPath(DEVICE, cache);
    assert.match(path, /\/lighthouse-attention-bench\/tuning-acme-ray-9-deno-[0-9a-f]{12}\.json$/);
    const options = { tuning: "auto", driver: DRIVER, cache };
    assert.deepEqual(await applyTuning(GPU, options), { gpu: GPU, lines: [] });
    await writeTuning(path, file);
    assert.deepEqual(await readTuning(path), file);
    const { gpu, record, lines } = await applyTuning(GPU, options);
    assert.equal(planDenseAttention(gpu, LAYER).variant, "portable 128/64/16/16/16");
    assert.deepEqual(record, {
      digest: file.digest,
      measuredAt: file.measuredAt,
      tilings: [
        {
          kernel: "portable",
          pass: "forward",
          headDim: 64,
          dtype: "f16",
          rows: 4096,
          heads: 8,
          tiling: { ...PORTABLE_TILINGS[1] },
        },
      ],
    });
    assert.equal(lines.length, 1);
    assert.match(lines[0], /^tuning: 1 tiling measured on \d{4}-\d\d-\d\d, digest [0-9a-f]{12}$/);
    // The recorded tilings of a result do the same without the file, on any driver.
    const again = await applyTuning(GPU, { tuning: record, driver: null });
    assert.deepEqual(again.gpu.capabilities, gpu.capabilities);
    assert.deepEqual(await applyTuning(GPU, { ...options, tuning: "none" }), {
      gpu: GPU,
      lines: [],
    });
  });
});

Deno.test("concurrent runs that tune one device keep all measurements", async () => {
  await withFolder(async (cache) => {
    const path = await cachedTuningPath(DEVICE, cache);
    await writeTuning(path, await sealTuning({ device: DEVICE, entries: [] }));
    const lengths = [1024, 2048, 4096, 8192];
    await Promise.all(lengths.map((rows) =>
      writeTuning(path, async () => {
        const { entries } = await readTuning(path);
        const own = { ...entry(PORTABLE_TILINGS[1]), rows };
        return await sealTuning({ device: DEVICE, entries: [...entries, own] });
      })
    ));
    const { entries } = await readTuning(path);
    assert.deepEqual(entries.map(({ rows }) => rows).sort((a, b) => a - b), lengths);
    assert.equal([...Deno.readDirSync(`${cache}/lighthouse-attention-bench`)].length, 1);
  });
});

Deno.test("a file of another device is refused if it was named, and ignored otherwise", async () => {
  await withFolder(async (cache) => {
    const file = await sealTuning({ device: DEVICE, entries: [entry(PORTABLE_TILINGS[1])] });
    const path = `${cache}/tuning.json`;
    await writeTuning(path, file);
    for (
      const [gpu, driver, words] of [
        [GPU, "acme 1.1", /another device: driver is "acme 1\.1" here, "acme 1\.0" there$/],
        [GPU, null, /driver is null here/],
        [{ ...GPU, stack: "dawn" }, DRIVER, /stack is "dawn" here, "deno" there$/],
        [{ ...GPU, adapter: DESK.adapter }, DRIVER, /vendor is "" here, "acme" there$/],
      ] as const
    ) {
      await assert.rejects(applyTuning(gpu as Gpu, { tuning: path, driver }), refusal(words));
      const place = await cachedTuningPath(describeTunedDevice(gpu as Gpu, driver), cache);
      await writeTuning(place, file);
      const auto = await applyTuning(gpu as Gpu, { tuning: "auto", driver, cache });
      assert.equal(auto.gpu, gpu);
      assert.equal(auto.record, undefined);
      assert.equal(auto.lines.length, 1);
      assert.match(auto.lines[0], /another device: .*; the kernels choose their tilings$/);
    }
  });
});

Deno.test("a file that is not a tuning file, or was edited, is refused in one line", async () => {
  await withFolder(async (folder) => {
    const file = await sealTuning({ device: DEVICE, entries: [entry(PORTABLE_TILINGS[1])] });
    const path = `${folder}/tuning.json`;
    const edited = structuredClone(file);
    edited.entries[0].tiling = { ...PORTABLE_TILINGS[3] };
    const bare = { ...file, entries: [{ ...file.entries[0], rows: "many" }] };
    const bad: [string, RegExp][] = [
      ["", /it is not JSON$/],
      ["[]", /the whole file: /],
      [JSON.stringify(file).replace("{", '{"version": 1,'), /it names version twice$/],
      [JSON.stringify(bare), /entries\[0\]\.rows: /],
      [JSON.stringify({ ...file, version: 2 }), /version: /],
      [JSON.stringify({ ...file, digest: "no" }), /digest: /],
      [
        JSON.stringify(edited),
        /its digest [0-9a-f]{12} is not that of its content: it was edited$/,
      ],
      [" ".repeat(2 ** 20 + 1), /it has 1,[\d,]+ bytes, the limit is 1,048,576 bytes$/],
    ];
    for (const [text, words] of bad) {
      await Deno.writeTextFile(path, text);
      await assert.rejects(applyTuning(GPU, { tuning: path, driver: DRIVER }), refusal(words));
    }
    await assert.rejects(readTuning(folder), refusal(/it is a folder, a file was expected$/));
    await assert.rejects(readTuning(`${folder}/none.json`), refusal(/there is no such file$/));
    // An unusable cache is not a reason to stop.
    const place = await cachedTuningPath(DEVICE, folder);
    await writeTuning(place, edited);
    const { gpu, lines } = await applyTuning(GPU, {
      tuning: "auto",
      driver: DRIVER,
      cache: folder,
    });
    assert.equal(gpu, GPU);
    assert.match(lines.join("\n"), /^tuning .*it was edited; the kernels choose their tilings$/);
  });
});

Deno.test("tilings that are undeclared or do not fit are ignored with a line each", async () => {
  const strange = { ...PORTABLE_TILINGS[1], tileRows: 4096 };
  const units = { subgroups: 64, tileColumns: 32 };
  const file = await sealTuning({
    device: DEVICE,
    entries: [
      entry(strange),
      { ...entry(units), kernel: "matrix", pass: "query" },
      { ...entry(PORTABLE_TILINGS[0]), headDim: 96 },
    ],
  });
  await withFolder(async (folder) => {
    const path = `${folder}/tuning.json`;
    await writeTuning(path, file);
    const { gpu, record, lines } = await applyTuning(GPU, { tuning: path, driver: DRIVER });
    assert.equal(gpu, GPU);
    assert.equal(record, undefined);
    assert.deepEqual(lines.map((line) => line.replace(/ fit .*;/, " fit …;")), [
      "tuning: portable forward d=64 f16 N=4096 H=8: 4096/64/16/16/16 is not one of the kernel's tilings; " +
      "it is ignored",
      "tuning: matrix dQ d=64 f16 N=4096 H=8: 64/32 is not one of the kernel's tilings; it is ignored",
      "tuning: portable forward d=96 f16 N=4096 H=8: 128/128/16/16/16 does not fit …; it is ignored",
      "tuning: no measured tiling is for this device",
    ]);
  });
});
