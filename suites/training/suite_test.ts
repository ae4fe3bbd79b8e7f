import assert from "node:assert/strict";
import { slow } from "../../tools/_cases.ts";
import { testGpu } from "../../kernels/gpu/_test_gpu.ts";
import { compareResults } from "../../reports/gate/compare_results.ts";
import { verdictLine } from "../../reports/claims/claims.ts";
import { renderReport } from "../../reports/render_report.ts";
import { UsageError } from "../errors.ts";
import { unknownFields } from "../result/_strict_schema.ts";
import { type Result, resultSchema } from "../result/result_schema.ts";
import { exitCodeOf } from "../run/runner.ts";
import { caseOf, runTraining, saveTiny, TINY } from "./_test_run.ts";

Deno.test({
  ...slow("training: a run end to end, and again"),
  fn: async (t) => {
    const gpu = await testGpu(t);
    if (!gpu) return;
    const result = await runTraining(gpu);
    const [dense, norm] = ["dense", "lighthouse-norm"].map((name) => caseOf(result, name));

    await t.step("every case is checked and timed, and the result matches the schema", () => {
      assert.deepEqual(result.cases.map(({ status, reason }) => [status, reason]), [
        ["ok", undefined],
        ["ok", undefined],
      ]);
      assert.equal(exitCodeOf(result), 0);
      assert.deepEqual(resultSchema.parse(result), result);
      assert.deepEqual(unknownFields(result), []);
      for (const { check, digest, training, statistic, throughput, samples } of [dense, norm]) {
        assert.deepEqual(
          check!.parts!.map(({ name }) => name),
          [
            "loss of a small model",
            "gradients of a small model",
            "finite",
            "first loss",
            "updates",
            "determinism",
          ],
        );
        assert.ok(check!.passed && check!.maxError! > 0 && check!.maxError! < check!.tolerance!);
        assert.match(digest!.weights!, /^[0-9a-f]{32}$/);
        assert.equal(training!.tokens, 256);
        assert.ok(throughput!.median <= 256 / statistic!.min * (1 + 1e-6));
        assert.ok(throughput!.median >= 256 / statistic!.max * (1 - 1e-6));
        assert.ok(samples.length >= 2);
        assert.equal(training!.checkedSteps, 2);
        assert.ok(training!.steps.length >= 4 && training!.steps.every(({ loss }) => loss > 3));
        assert.ok(training!.after!.steps >= training!.steps.length);
        assert.notEqual(training!.after!.weights, digest!.weights);
      }
      assert.notEqual(dense.digest!.weights, norm.digest!.weights);
      assert.deepEqual(norm.options, { levels: 2, pooling: 2, k: 128 });
    });

    await t.step("memory is planned before, and what is allocated is what was planned", () => {
      for (const { peakBytes, measuredPeakBytes, training } of [dense, norm]) {
        const planned = Object.values(training!.plannedBytes).reduce((sum, one) => sum + one, 0);
        assert.equal(planned, peakBytes);
        // Uniforms and padding are not planned.
        assert.ok(measuredPeakBytes! >= peakBytes && measuredPeakBytes! < 1.1 * peakBytes);
      }
    });

    await t.step("classes of work make up the step, and their FLOP are those of the plan", () => {
      for (const { stages, flops, statistic, training } of [dense, norm]) {
        const sum = (values: number[]) => values.reduce((total, one) => total + one, 0);
        assert.equal(sum(stages.map((stage) => stage.flops)), flops);
        assert.equal(sum(Object.values(training!.flops) as number[]), flops);
        const timed = stages.filter(({ samples }) => samples.length > 0);
        if (result.calibration!.clock === "wall") return;
        assert.deepEqual(timed.map(({ name }) => name), stages.map(({ name }) => name));
        assert.ok(
          stages.every(({ name, statistic }) => name === "sampling" || statistic!.median > 0),
        );
        assert.ok(sum(stages.map(({ statistic }) => statistic!.median)) < 20 * statistic!.median);
      }
    });

    await t.step("dense and Lighthouse share rounds, so that they have a ratio", () => {
      assert.deepEqual(
        result.ratios.map(({ numerator, denominator }) => [numerator, denominator]),
        [[dense.id, norm.id]],
      );
    });

    await t.step("a report shows it", () => {
      const page = renderReport(result);
      assert.match(page, /id="training"/);
      assert.match(page, /lighthouse-norm, L = 2, p = 2, k = 128/);
      assert.match(
        verdictLine(result),
        /^The 21× at 512K was not run\. At 256, a training step with /,
      );
    });

    await t.step("the same run gives the same bits, and the gate finds others", async () => {
      const again = await runTraining(gpu);
      assert.deepEqual(
        again.cases.map(({ digest }) => digest),
        result.cases.map(({ digest }) => digest),
      );
      const fields = (change: (result: Result) => void) => {
        const other = structuredClone(again);
        change(other);
        return compareResults(result, other).cases.flatMap(({ differences }) =>
          differences.map(({ field }) => field)
        );
      };
      assert.deepEqual(fields(() => {}), []);
      const record = (other: Result) => caseOf(other, "dense");
      assert.deepEqual(fields((other) => record(other).digest!.weights = "0".repeat(32)), [
        "digest.weights",
      ]);
      assert.deepEqual(fields((other) => record(other).training!.steps[0].loss += 1e-3), [
        "losses",
      ]);
      // How many steps the time allowed is not compared.
      assert.deepEqual(fields((other) => record(other).training!.steps.pop()), []);
    });

    gpu.destroy();
  },
});

Deno.test("training: what cannot be trained is refused in one line before anything is allocated", async (t) => {
  const gpu = await testGpu(t);
  if (!gpu) return;
  const folder = await Deno.makeTempDir();
  const [short, wide, empty] = ["short", "wide", "empty"].map((name) => `${folder}/${name}.txt`);
  await Deno.writeTextFile(short, "all work");
  await Deno.writeFile(wide, new Uint8Array(1000).fill(200));
  await Deno.writeTextFile(empty, "");
  const [whole, damaged, cut] = ["whole", "damaged", "cut"].map((name) => `${folder}/${name}`);
  const bytes = await saveTiny(gpu, 0);
  await Deno.writeFile(whole, bytes);
  await Deno.writeFile(cut, bytes.subarray(0, bytes.length - 100));
  bytes[bytes.length - 2000] ^= 1;
  await Deno.writeFile(damaged, bytes);
  const created: number[] = [];
  const { device } = gpu;
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    created.push(descriptor.size);
    return createBuffer(descriptor);
  };
  const own = TINY.settings!.training;
  const refused = async (settings: Record<string, unknown>, message: RegExp, more = {}) => {
    const options = { ...more, settings: { training: { ...own, ...settings } } };
    await assert.rejects(runTraining(gpu, options), (error: unknown) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, message);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
  };
  await refused({ corpus: short }, /^corpus .*short\.txt has 8 bytes, a sequence needs 257$/);
  await refused(
    { corpus: wide },
    /has byte 200, the vocabulary ends at 63: a vocabulary of 208 holds it$/,
  );
  await refused({ corpus: empty }, /is empty$/);
  await refused({ corpus: `${folder}/none.txt` }, /cannot be read: /);
  await refused({ start: damaged }, /^checkpoint .*damaged: \S+ is damaged: its checksum is /);
  await refused({ start: cut }, /^checkpoint .*cut: the file has \d+ bytes, its header needs \d+/);
  await refused({ start: short }, /^checkpoint .*short\.txt: .*: no checkpoint/);
  await refused({ start: `${folder}/none` }, /^checkpoint .*none: /);
  await refused(
    { start: whole, vocabularies: [128] },
    /^checkpoint .*whole is of a model with vocabulary 64, the run's has 128$/,
  );
  await refused(
    { model: { layers: 2, width: 60, heads: 2, ffn: 96 } },
    /^plan training: width 60 is not a multiple of 8$/,
  );
  await refused(
    { model: { layers: 4000, width: 512, heads: 8, ffn: 512 }, recompute: ["none"] },
    /^plan training: the model needs .*iB, .*iB may be used: .* would$/,
    { contexts: [8192] },
  );
  assert.deepEqual(created, []);
  await Deno.remove(folder, { recursive: true });
  gpu.destroy();
});
