import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { F16 } from "../../kernels/training/model/_trained.ts";
import { createTrainingModel } from "../../kernels/training/model/training_model.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { renderHtml } from "../../reports/html/render_html.tsx";
import { renderTerminal } from "../../reports/text/terminal.ts";
import { slow } from "../../tools/_cases.ts";
import { UsageError } from "../errors.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { readResult } from "../result/read_result.ts";
import type { AnswerCell, Result } from "../result/result_schema.ts";
import { mergeResults } from "../run/merge.ts";
import { exitCodeOf, runSuite, type SuiteOptions } from "../run/runner.ts";
import { evaluateNeedles, planPrompts } from "./needle_model.ts";
import type { NeedleOptions } from "./options.ts";
import { openModel } from "./tested_model.ts";
import { packWeights } from "./trained_weights.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures", import.meta.url));

const SHIPPED = `${FIXTURES}/checkpoints/needle-norm-seed-1.safetensors`;

/**
 * Difference of the two largest logits below which rounding could decide: f16 moves them by 0.0054
 * at most.
 */
const NEAR_TIE = 0.1;

function testing(own: NeedleOptions, options: SuiteOptions = {}): SuiteOptions {
  return { suites: ["retrieval"], ...options, settings: { retrieval: { ...own } } };
}

Deno.test("bench retrieval --checkpoint: each bad input is one line with code 2, before a device is opened", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const whole = await Deno.readFile(SHIPPED);
    const write = async (name: string, bytes: Uint8Array<ArrayBuffer>) => {
      await Deno.writeFile(`${folder}/${name}.safetensors`, bytes);
      return `${folder}/${name}.safetensors`;
    };
    const replaced = (from: string, to: string) => {
      const at = new TextDecoder("latin1").decode(whole.subarray(0, 8000)).indexOf(from);
      assert.ok(at > 0 && from.length === to.length, from);
      const changed = whole.slice();
      changed.set(new TextEncoder().encode(to), at);
      return changed;
    };
    const model = { checkpoint: SHIPPED };
    const cases: [SuiteOptions, RegExp][] = [
      [testing({ checkpoint: `${folder}/none.safetensors` }), /none.*: there is no such file/],
      [testing({ checkpoint: `${folder}/none.json` }), /none\.json: there is no such file/],
      [
        testing({ checkpoint: await write("empty", new Uint8Array(0)) }),
        /: 0 bytes are no weights$/,
      ],
      [testing({ checkpoint: await write("cut", whole.slice(0, -9)) }), /bytes in a file of 70950/],
      [
        testing({ checkpoint: await write("shape", replaced('\\"ffn\\":384', '\\"ffn\\":392')) }),
        /layers\.0\.ffn\.gate_up has 393216 bytes .*, the model needs/,
      ],
      [
        testing({ checkpoint: await write("keys", replaced('\\"keys\\":8', '\\"keys\\":0')) }),
        /: protocol: /,
      ],
      [
        testing(model, { contexts: [512, 16384] }),
        /context 16384 is above the 8192 characters of /,
      ],
      [
        testing(model, { contexts: [26] }),
        /context 26 is below the 27 .* with 8 needles with keys/,
      ],
      [testing({ ...model, depths: [120] }), /depth 120 is not a percentage/],
      [testing({ ...model, trials: 25 }), /trials 25 is not a multiple of 10/],
      [testing({ ...model, keys: 53 }), /keys 53 is above 52/],
      [testing({ ...model, margins: [4] }), /--margin cannot be used with --checkpoint/],
      [testing(model, { scorers: ["norm"] }), /--scorer cannot be used with --checkpoint/],
      [testing({ keys: 4 }), /--keys needs a model, which --checkpoint names/],
    ];
    await Deno.mkdir(`${folder}/folder.safetensors`);
    cases.push([
      testing({ checkpoint: `${folder}/folder.safetensors` }),
      /: it is a folder, a file/,
    ]);
    for (const [options, message] of cases) {
      await assert.rejects(runSuite({ ...options, stack: "dawn" }), (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.equal(error.exitCode, 2);
        assert.match(error.message, message);
        return !error.message.includes("\n");
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a trained model in a run: its cells alone, resumed, in shards, merged, gated and shown", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const folder = await Deno.makeTempDir();
  const checkpoint = `${folder}/tiny.safetensors`;
  try {
    const trained = await createTrainingModel(gpu, { ...F16, vocabulary: 128 });
    const cells = { contexts: [64, 128], depths: [0, 50] };
    const protocol = { ...cells, keyed: { ...cells, contexts: [64], keys: 3 } };
    await Deno.writeFile(checkpoint, await packWeights(trained, { name: "tiny", protocol }));
    trained.destroy();
    const out = `${folder}/out`;
    const stop = new AbortController();
    const part = await runSuite(testing({ checkpoint }, { gpu, out }), {
      signal: stop.signal,
      onProgress: ({ kind }) => kind === "case" && stop.abort(),
    });
    assert.deepEqual([part.cases.length, part.finishedAt], [1, null]);
    const whole = await runSuite(testing({ checkpoint }, { gpu, out, resume: true }));
    assert.equal(exitCodeOf(whole), 0);
    assert.deepEqual(unknownFields(whole), []);
    const dtype = gpu.capabilities.f16 ? "f16" : "f32";
    const ids = (result: Result) => result.cases.map(({ id, status }) => `${id} ${status}`);
    assert.deepEqual(ids(whole), [
      `retrieval/answers/forward/N64-H2-d32-${dtype} ok`,
      `retrieval/keyed-answers/forward/N64-H2-d32-${dtype}-K3 ok`,
      `retrieval/answers/forward/N128-H2-d32-${dtype} ok`,
    ]);
    const { name, sha256, cells: found } = whole.retrieval!.checkpoint!;
    assert.deepEqual([name, sha256, whole.retrieval!.cells], [
      "tiny",
      (await openModel(checkpoint)).sha256,
      [],
    ]);
    const cellOf = ({ context, depth, keys }: { context: number; depth: number; keys?: number }) =>
      `${context} ${depth} ${keys ?? 1}`;
    const expected = ["64 0 1", "64 50 1", "64 0 3", "64 50 3", "128 0 1", "128 50 1"];
    assert.deepEqual(found.map(cellOf), expected);
    assert.ok(found.every(({ trials }) => trials === 10));

    await t.step("options choose contexts, depths, keys and prompts", async () => {
      const own = { checkpoint, depths: [100], keys: 5, trials: 20 };
      const result = await runSuite(testing(own, { gpu, contexts: [96] }));
      const { cells } = result.retrieval!.checkpoint!;
      assert.deepEqual(cells.map(cellOf), ["96 100 1", "96 100 5"]);
      assert.ok(cells.every(({ trials }) => trials === 20));
    });

    await t.step(
      "shards together have the same cells; the gate names one that differs",
      async () => {
        const shards = [];
        for (const index of [1, 2]) {
          const shard = { index, count: 2 };
          shards.push({
            name: `${index}`,
            result: await runSuite(testing({ checkpoint }, { gpu, shard })),
          });
        }
        const { result: merged } = await mergeResults(shards);
        const sorted = (all: typeof found) =>
          all.map((cell) => `${cell.case} ${cellOf(cell)}: ${cell.correct} of ${cell.trials}`)
            .sort();
        assert.deepEqual(sorted(merged.retrieval!.checkpoint!.cells), sorted(found));
        const later = { ...structuredClone(merged), startedAt: "2026-01-01T00:00:00.000Z" };
        assert.equal(compareResults(whole, later).exitCode, 0);
        const [changed] = later.retrieval!.checkpoint!.cells;
        changed.correct += changed.correct === 0 ? 1 : -1;
        later.cases.find(({ id }) => id === changed.case)!.digest!.output = "0".repeat(64);
        const report = compareResults(whole, later);
        assert.equal(report.exitCode, 1);
        const [failed] = report.cases.filter(({ fails }) => fails);
        assert.equal(failed.id, changed.case);
        assert.ok(failed.differences.some(({ field }) => /correct/.test(field)));
      },
    );

    await t.step("terminal and report have a table and a map for either kind of prompt", () => {
      const text = renderTerminal(whole);
      assert.match(text, /The model “tiny” answered .* of 40 prompts with one needle and /);
      assert.match(text, /tiny: one needle, share of prompts answered \(Wilson 95 %\)/);
      assert.match(text, /tiny: 3 needles with keys, share/);
      const html = renderHtml([whole]);
      for (const i of [1, 2]) assert.ok(html.includes(`checkpoint-figure-${i}"`), `map ${i}`);
      assert.ok(
        !/instrument (check|was)/.test(html),
        "nothing is said of a mechanism that did not run",
      );
    });
  } finally {
    gpu.destroy();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Cells of the shipped model's evaluation at the end, from the run that trained it. */
async function evaluatedCells(): Promise<AnswerCell[]> {
  const { experiment } = await readResult(`${FIXTURES}/baselines/h200-experiments.json`);
  const unit = experiment!.units.find(({ arm, seed }) => arm === "norm" && seed === 1)!;
  return unit.evaluations.find(({ when }) => when === "end")!.needles;
}

Deno.test("fixtures/checkpoints/README.md has the digest of the file and the cells of its run", async () => {
  const page = await Deno.readTextFile(`${FIXTURES}/checkpoints/README.md`);
  const { sha256: digest, cells } = await openModel(SHIPPED);
  assert.ok(page.includes(`\`${digest}\``), digest);
  const found = await evaluatedCells();
  assert.equal(found.length, 40);
  for (const { contexts, depths, keys } of cells) {
    for (const depth of depths) {
      const counts = contexts.map((context) =>
        found.find((cell) =>
          cell.context === context && cell.depth === depth && cell.keys === keys
        )!
      ).map(({ correct, trials }) => (assert.equal(trials, 10), correct));
      const rows = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim()))
        .filter(([, name]) => name === `${depth} %`)
        .map((row) => row.slice(2, -1).map(Number));
      const [own] = keys === undefined ? rows : rows.slice(1);
      assert.deepEqual(own, counts, `depth ${depth} %, ${keys ?? 1} needles`);
    }
  }
});

Deno.test({
  ...slow("the shipped model answers here what it answered on the device that trained it"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const tested = await openModel(SHIPPED);
    const { f16 } = gpu.capabilities;
    const placed = tested.place(gpu, { dtype: f16 ? "f16" : "f32" });
    try {
      const cellOf = async (context: number, depth: number) => {
        const protocol = { contexts: [context], depths: [depth], seed: 1010 };
        const prompts = planPrompts(protocol);
        const logits = await placed.model.digitLogitsOf!(prompts.map(({ text }) => text));
        const known = new Map(prompts.map(({ text }, i) => [text, logits[i]]));
        const model = { name: tested.name, digitLogits: (text: string) => known.get(text)! };
        const [{ correct }] = await evaluateNeedles(model, protocol);
        // Prompts that another rounding may answer otherwise.
        const near = logits.filter((own) => {
          const [first, second] = Array.from(own).sort((a, b) => b - a);
          return first - second < NEAR_TIE;
        }).length;
        return { correct, near };
      };
      // f16 and f32 gave these counts here.
      assert.deepEqual(await cellOf(256, 50), { correct: 8, near: 0 });
      const own = await cellOf(1024, 15);
      const device = (await evaluatedCells()).find(({ context, depth, keys }) =>
        context === 1024 && depth === 15 && keys === undefined
      )!;
      assert.deepEqual(own, { correct: 8, near: 0 });
      assert.ok(
        Math.abs(own.correct - device.correct) <= own.near,
        `${device.correct} on the device`,
      );
    } finally {
      placed.destroy();
      gpu.destroy();
    }
  },
});
